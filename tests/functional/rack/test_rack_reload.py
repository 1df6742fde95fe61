"""A rack reads its settings again as it runs: by command, by SIGHUP; not when they are wrong."""

import contextlib
import dataclasses
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import units
from support import cloud as clouds
from support import command, nursery, plane_region

MIB = units.MIB
IMAGE = clouds.Image({"squashfs": clouds.noise(2 * MIB), "boot-kernel": clouds.noise(MIB, 1)})


@dataclasses.dataclass
class Place:
    """A rack that runs, as a process of its own, and what its settings file says.

    Attributes:
        wishes: what the file says now.
    """

    rack: nursery.RackProcess
    region: clouds.Region
    wishes: nursery.Wishes

    def write(self, **values: object) -> None:
        """Write other values into the settings file."""
        self.wishes = dataclasses.replace(self.wishes, **values)  # type: ignore[arg-type]
        self.wishes.write(self.rack.settings)

    def reload(self, *options: str) -> command.Done:
        """Do what an operator does."""
        return command.run("rack", "reload", "--settings", self.rack.settings, *options)

    def limit(self) -> int:
        """Return the bound in force."""
        limit: int = self.rack.local.get("/cache")["limit"]
        return limit

    def notices(self) -> dict[str, dict[str, str]]:
        """Return what is wrong with the settings, by its key."""
        standing = self.rack.local.get("/status")["notices"]
        return {each["key"]: each for each in standing if each["scope"] == "settings"}


@pytest.fixture(scope="module")
def shared() -> Iterator[nursery.Nursery]:
    """Give the nursery of all racks of this module."""
    with nursery.Nursery("support.moody:prepare") as shared:
        yield shared


@pytest.fixture
def place(tmp_path: Path, shared: nursery.Nursery) -> Iterator[Place]:
    """Give a rack that runs."""
    members = plane_region.Cluster(tmp_path / "members")
    with contextlib.ExitStack() as stack:
        region = stack.enter_context(clouds.Region(members.region()))
        region.offer(IMAGE)
        wishes = nursery.Wishes(tmp_path / "cache", 64 * MIB, [region.address], members)
        rack = nursery.RackProcess(shared, tmp_path / "rack.toml", wishes.ports[0])
        place = Place(rack, region, wishes)
        place.write()
        rack.start()
        clouds.wait_until(lambda: rack.local.get("/status")["images"])
        yield place
        rack.end(signal.SIGTERM)
        assert "Traceback" not in rack.log.read_text()


def test_the_size_of_the_cache_and_the_log_level_change_at_once(place: Place) -> None:
    for filename in IMAGE.files:
        assert clouds.get(place.rack.port, IMAGE.path(filename)).status == 200
    clouds.wait_until(lambda: place.rack.local.get("/cache")["objects"] == 2)
    place.write(size=2 * MIB, log_level="error")
    done = place.reload()
    assert done.status == 0
    assert done.out.splitlines() == [
        "setting\tin force before\tin the file\ttakes effect",
        "log-level\tinfo\terror\tnow",
        "cache.size\t64.0 MiB\t2.0 MiB\tnow",
    ]
    found = place.rack.local.get("/cache")
    assert (found["limit"], found["objects"]) == (2 * MIB, 1)
    # What is less than an error is no longer logged, this reading among it.
    assert "log-level: " not in place.rack.log.read_text()
    again = place.reload()
    assert (again.status, again.out) == (0, "the settings file says what is in force\n")


def test_what_needs_a_restart_is_named_until_it_is_in_force(place: Place) -> None:
    before, ports = list(place.wishes.regions), place.wishes.ports
    place.write(size=3 * MIB, regions=[*before, "127.0.0.1:1"], ports=(ports[0], 9))
    done = place.reload("--json")
    live = {each["key"]: each["live"] for each in done.document["changed"]}
    assert live == {"regions": False, "cache.size": True, "metrics.port": False}
    assert place.limit() == 3 * MIB
    assert "regions, metrics.port" in place.notices()["restart"]["text"]
    assert "restart the rack" in place.notices()["restart"]["cure"]
    # It still waits when the file is read once more, and no longer once it is put back.
    assert [each["key"] for each in place.reload("--json").document["changed"]] == [
        "regions",
        "metrics.port",
    ]
    place.write(regions=before, ports=ports)
    assert place.reload("--json").document == {"changed": []}
    assert place.notices() == {}


def test_a_file_that_is_wrong_is_refused_and_changes_nothing(place: Place) -> None:
    right = place.rack.settings.read_text()
    wrong = right.replace(f"size = {64 * MIB}", 'size = "lots"').replace("info", "loud")
    assert "lots" in wrong
    place.rack.settings.write_text(wrong)
    done = place.reload()
    assert done.status == 2
    said = done.err.splitlines()
    assert [line.split(": ")[2] for line in said if line.startswith("error")] == [
        "log-level",
        "cache.size",
    ]
    assert place.limit() == 64 * MIB
    assert "cache.size" in place.notices()["refused"]["text"]
    place.rack.settings.write_text(right)
    assert place.reload().status == 0
    assert place.notices() == {}


def test_a_file_that_is_no_toml_or_a_region_s_or_gone_is_refused(place: Place) -> None:
    settings = place.rack.settings
    right = settings.read_text()
    for wrong in ("= nonsense", right.replace('"rack"', '"region"', 1), None):
        if wrong is None:
            settings.unlink()
        else:
            settings.write_text(wrong)
        place.rack.signal(signal.SIGHUP)
        clouds.wait_until(lambda: "refused" in place.notices())
        assert place.reload().status == 2
        assert place.limit() == 64 * MIB
        settings.write_text(right)
        assert place.reload().status == 0
        assert place.notices() == {}


def test_sighup_does_the_same_and_the_log_tells_what(place: Place) -> None:
    place.write(size=5 * MIB)
    place.rack.signal(signal.SIGHUP)
    clouds.wait_until(lambda: place.limit() == 5 * MIB)
    clouds.wait_until(lambda: "cache.size: 5242880" in place.rack.log.read_text())
    assert clouds.get(place.rack.port, IMAGE.path("squashfs")).status == 200
