"""A clock that is wrong: what is available goes on being served, and status names the cause."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import units
from support import clocks, cloud, real_region, towns

DAY = datetime.timedelta(hours=25)
NOW = datetime.timedelta(0)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[towns.Town]:
    """Give a town whose source has had its key for days, as real ones have; nothing runs."""
    town = towns.Town(tmp_path, real_region.SIZE)
    then = units.utc_now() - datetime.timedelta(days=9)
    town.source.key = town.source.keychain.new_key("Old <old@example.com>", created=then)
    town.source.keyring.write_bytes(town.source.keychain.export([town.source.key]))
    town.source.publish(units.utc_now())
    with town:
        yield town


def serves_all(town: towns.Town) -> bool:
    paths = {
        f"/images/{t.os}/{t.arch}/{t.subarch}/{t.release}/{t.label}/{t.version}/{t.filename}": t
        for t in town.source.truth
    }
    got = {path: cloud.get(town.rack_port, path) for path in paths}
    return all(cloud.name_of(got[path].body) == truth.sha256 for path, truth in paths.items())


def test_a_clock_that_is_a_day_off_or_steps_is_survived_and_named(
    town: towns.Town, wrong_clock: clocks.WrongClock
) -> None:
    def sync() -> str:
        return str(list(town.site.region.follow("/sync"))[-1]["notices"])

    # Behind from the beginning: the certificates, made a moment ago, are of tomorrow.
    wrong_clock.set(-DAY)
    for each in ("region", "rack"):
        town.site.start(each)
    said = sync()
    assert "ahead of this host" in said
    assert "check this host's clock" in said
    assert town.site.rack.get("/status")["notices"] == []
    wrong_clock.set(NOW)
    assert "clock" not in sync()
    town.wait_for_images()
    town.site.wait_until_listed(town.site.region.get("/status")["images"])
    for off in (DAY, -DAY):
        wrong_clock.set(off)
        sync()
        assert serves_all(town)
    # It starts in the wrong time, too.
    town.site.stop("rack")
    town.site.start("rack")
    assert serves_all(town)
    wrong_clock.set(NOW)
    town.publish("20260101")
    assert "clock" not in sync()
    town.wait_for_images()
    for each in ("region", "rack"):
        assert "Traceback" not in town.log(each)
