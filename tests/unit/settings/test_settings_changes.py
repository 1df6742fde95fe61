"""What another reading of a rack's settings file changes, and what has to wait for a restart."""

from pathlib import Path
from typing import Any

import pytest

from boot_resources import units
from boot_resources.settings import changes, rack


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    """Give the values of a whole file."""
    there = tmp_path / "file"
    there.touch()
    identity = dict.fromkeys(("certificate", "key", "authority", "members"), there)
    return {"controller": "rack", "name": "rack-0", "regions": ["a:1"], "plane": identity}


def settings(base: dict[str, Any], **values: Any) -> rack.RackSettings:
    return rack.RackSettings.model_validate(base | values)


def between(before: rack.RackSettings, asked: rack.RackSettings) -> list[changes.Change]:
    return changes.between(before, asked, before.reloaded(asked))


def test_the_same_file_changes_nothing(base: dict[str, Any]) -> None:
    assert between(settings(base), settings(base)) == []


def test_the_size_and_the_log_level_change_as_it_runs(base: dict[str, Any]) -> None:
    before = settings(base)
    asked = settings(base, **{"log-level": "debug", "cache": {"size": "1G"}})
    assert between(before, asked) == [
        changes.Change("log-level", "info", "debug", live=True),
        changes.Change("cache.size", 4 * units.GIB, units.GIB, live=True),
    ]
    assert before.reloaded(asked) == asked


def test_all_else_waits_and_is_not_in_force(base: dict[str, Any]) -> None:
    before = settings(base)
    asked = settings(
        base, regions=["b:2"], cache={"path": "/elsewhere", "size": "1G"}, http={"port": 80}
    )
    found = {change.key: change.live for change in between(before, asked)}
    assert found == {"regions": False, "cache.path": False, "cache.size": True, "http.port": False}
    in_force = before.reloaded(asked)
    assert (in_force.regions, in_force.http.port) == (("a:1",), 5248)
    assert in_force.cache.path == before.cache.path
    assert in_force.cache.size == units.GIB


def test_what_waits_is_named_at_every_reading_until_it_is_put_back(base: dict[str, Any]) -> None:
    before, asked = settings(base), settings(base, http={"port": 80})
    in_force = before.reloaded(asked)
    assert [change.key for change in between(in_force, asked)] == ["http.port"]
    assert between(in_force, settings(base)) == []
