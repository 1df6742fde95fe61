"""What a region offers: the newest list, kept on disk, and those who wait for a newer one."""

import asyncio
import datetime
import logging
from pathlib import Path

import pytest

from boot_resources.catalog import availability, names
from boot_resources.region import offer

NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
PRODUCT = names.ProductName("ubuntu", "amd64", "ga-24.04", "noble", "stable")


def image(
    version: str, since: datetime.datetime = NOON, *, superseded: bool = False
) -> availability.AvailableImage:
    return availability.AvailableImage(
        name=names.ImageName(PRODUCT, version),
        title="",
        since=since,
        superseded=since + HOUR if superseded else None,
        product="",
        bootloader_type=None,
        extra={},
        items=(),
    )


def found(
    epoch: int, *images: availability.AvailableImage, cluster: str = "c"
) -> availability.Availability:
    return availability.Availability(cluster, epoch, images)


def test_what_was_offered_is_offered_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "available.json"
        first = offer.Offer(path)
        assert first.current is None
        first.replace(found(3, image("1")))
        assert offer.Offer(path).current == first.current
        assert first.current is not None
        assert (first.current.cluster, first.current.epoch) == ("c", 3)

    asyncio.run(story())


def test_of_several_versions_the_one_in_force_comes_first(tmp_path: Path) -> None:
    async def story() -> None:
        offered = offer.Offer(tmp_path / "available.json")
        # The date of a version says nothing: what is not superseded is in force.
        offered.replace(found(1, image("3", NOON, superseded=True), image("2", NOON + HOUR)))
        assert offered.current is not None
        assert [each.version for each in offered.current.images] == ["2", "3"]

    asyncio.run(story())


@pytest.mark.parametrize(("epoch", "taken"), [(2, False), (3, False), (4, True)])
def test_only_what_is_newer_is_taken(tmp_path: Path, epoch: int, taken: bool) -> None:
    async def story() -> None:
        offered = offer.Offer(tmp_path / "available.json")
        offered.replace(found(3, image("1")))
        offered.replace(found(epoch))
        assert offered.current is not None
        assert (offered.current.epoch == epoch and not offered.current.images) is taken

    asyncio.run(story())


def test_whoever_waits_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        offered = offer.Offer(tmp_path / "available.json")
        offered.replace(found(1))
        waiting = asyncio.create_task(offered.newer_than(1, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(offered.replace, found(2))
        newer = await waiting
        assert newer is not None
        assert newer.epoch == 2

    asyncio.run(story())


def test_whoever_waits_when_the_region_stops_is_sent_away(tmp_path: Path) -> None:
    async def story() -> None:
        offered = offer.Offer(tmp_path / "available.json")
        waiting = asyncio.create_task(offered.newer_than(None, 60))
        await asyncio.sleep(0)
        offered.close()
        assert await waiting is None

    asyncio.run(story())


def test_a_damaged_list_is_as_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def story() -> None:
        path = tmp_path / "available.json"
        path.write_text("{")
        with caplog.at_level(logging.WARNING):
            assert offer.Offer(path).current is None
        assert "damaged" in caplog.text

    asyncio.run(story())
