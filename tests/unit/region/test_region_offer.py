"""What a region offers: the newest list, kept on disk, and those who wait for a newer one."""

import asyncio
import datetime
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from boot_resources import notices
from boot_resources.catalog import availability, names
from boot_resources.region import offer
from support import disks

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
) -> Callable[[], availability.Availability]:
    """Return a catalog that is read."""
    return lambda: availability.Availability(cluster, epoch, images)


def new_offer(path: Path) -> offer.Offer:
    return offer.Offer(path, notices.NoticeBoard("region-0"))


def test_what_was_offered_is_offered_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "available.json"
        first = new_offer(path)
        assert first.current is None
        first.replace(found(3, image("1")))
        assert new_offer(path).current == first.current
        assert first.current is not None
        assert (first.current.cluster, first.current.epoch) == ("c", 3)

    asyncio.run(story())


def test_what_was_withheld_is_withheld_after_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "available.json"
        first = new_offer(path)
        assert (first.serves, first.withheld) == (False, False)
        first.replace(lambda: availability.Availability("c", 3, (), withheld=True))
        again = new_offer(path)
        assert (again.serves, again.withheld) == (False, True)
        again.replace(found(4))
        assert (again.serves, again.withheld) == (True, False)

    asyncio.run(story())


def test_of_several_versions_the_one_in_force_comes_first(tmp_path: Path) -> None:
    async def story() -> None:
        offered = new_offer(tmp_path / "available.json")
        # The date of a version says nothing: what is not superseded is in force.
        offered.replace(found(1, image("3", NOON, superseded=True), image("2", NOON + HOUR)))
        assert offered.current is not None
        assert [each.version for each in offered.current.images] == ["2", "3"]

    asyncio.run(story())


def test_what_is_newer_is_taken_and_what_is_the_same_is_left(tmp_path: Path) -> None:
    async def story() -> None:
        offered = new_offer(tmp_path / "available.json")
        offered.replace(found(3, image("1")))
        before = offered.current
        offered.replace(found(3))
        assert offered.current is before
        offered.replace(found(4))
        assert offered.current is not None
        assert (offered.current.epoch, offered.current.images) == (4, ())

    asyncio.run(story())


def test_a_catalog_that_was_set_back_is_offered_and_said_until_it_has_caught_up(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        board = notices.NoticeBoard("region-0")
        offered = offer.Offer(tmp_path / "available.json", board)
        offered.replace(found(9, image("2")))
        for epoch in (7, 8):
            offered.replace(found(epoch, image("1")))
            assert offered.current is not None
            assert offered.current.epoch == epoch
            assert new_offer(tmp_path / "available.json").current == offered.current
            (standing,) = board.standing()
            assert f"is at epoch {epoch} and was at 9" in standing.notice.text
        offered.replace(found(9, image("1")))
        assert board.standing() == []

    asyncio.run(story())


def test_a_full_disk_does_not_hold_the_list_up(tmp_path: Path) -> None:
    async def story() -> None:
        path = tmp_path / "available.json"
        board = notices.NoticeBoard("region-0")
        disk = disks.Full()
        offered = offer.Offer(path, board, disk)
        disk.full = True
        waiting = asyncio.create_task(offered.newer_than(None, 60))
        await asyncio.sleep(0)
        await asyncio.to_thread(offered.replace, found(1, image("1")))
        newer = await waiting
        assert newer is not None
        assert newer.epoch == 1
        assert not offered.is_kept
        (standing,) = board.standing()
        assert "No space left on device" in standing.notice.text
        assert not path.exists()

        disk.full = False
        offered.replace(found(1, image("1")))
        assert offered.is_kept
        assert board.standing() == []
        assert new_offer(path).current == offered.current

    asyncio.run(story())


def test_whoever_waits_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        offered = new_offer(tmp_path / "available.json")
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
        offered = new_offer(tmp_path / "available.json")
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
            assert new_offer(path).current is None
        assert "damaged" in caplog.text

    asyncio.run(story())


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
def test_a_list_that_cannot_be_read_is_as_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, make: Callable[[Path], None]
) -> None:
    async def story() -> None:
        path = tmp_path / "available.json"
        make(path)
        with caplog.at_level(logging.WARNING):
            offered = new_offer(path)
        assert "cannot be read" in caplog.text
        offered.replace(found(3, image("1")))
        assert offered.current is not None

    asyncio.run(story())
