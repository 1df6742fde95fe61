"""The action of a rack: results, and failures that say what to do."""

from typing import Any

import pytest
from ops import testing

from boot_resources_charms import failures
from support import stages, workloads

CACHE: dict[str, Any] = {
    "limit": 4 << 30,
    "used": 5 << 20,
    "objects": 1,
    "evictions": 2,
    "served_bytes": 20 << 20,
    "fill_bytes": 5 << 20,
    "hit_ratio": 0.75,
    "contents": [
        {"sha256": "0a" * 32, "space": 5 << 20, "whole": True, "name": "ubuntu/boot-initrd"}
    ],
}


@pytest.fixture
def regions() -> stages.Regions:
    return stages.Regions()


@pytest.fixture
def stage(machine: workloads.FakeWorkload, regions: stages.Regions) -> stages.Stage:
    """Return a rack that is related, and to which nothing has happened yet."""
    return stages.rack(machine, regions.relation)


@pytest.fixture
def serving(stage: stages.Stage, regions: stages.Regions) -> stages.Stage:
    """Return a rack that serves."""
    return stages.answered(stage, regions)


def test_it_tells_how_full_it_is_and_what_is_in_it(serving: stages.Stage) -> None:
    serving.machine.answers["cache", "status"] = CACHE
    assert serving.act("show-cache") == {
        "used": "5.0 MiB",
        "size": "4.0 GiB",
        "objects": 1,
        "evictions": 2,
        "served": "20.0 MiB",
        "fetched": "5.0 MiB",
        "hit-ratio": "75.0 %",
        "contents": "0a0a0a0a0a0a  5.0 MiB  whole  ubuntu/boot-initrd",
    }


def test_of_an_empty_one_it_says_so(serving: stages.Stage) -> None:
    empty: dict[str, Any] = {"objects": 0, "hit_ratio": None, "contents": []}
    serving.machine.answers["cache", "status"] = CACHE | empty
    results = serving.act("show-cache") or {}
    assert results["hit-ratio"] == "nothing served yet"
    assert results["contents"] == "none"


def test_a_rack_that_does_not_answer_is_a_failure(serving: stages.Stage) -> None:
    refused = failures.CommandFailed("the rack does not answer", "start it", 3)
    serving.machine.answers["cache", "status"] = refused
    with pytest.raises(testing.ActionFailed) as failed:
        serving.act("show-cache")
    assert failed.value.message == "the rack does not answer; start it"


def test_one_that_never_started_says_where_to_look(stage: stages.Stage) -> None:
    with pytest.raises(testing.ActionFailed) as failed:
        stage.act("show-cache")
    assert failed.value.message == "this unit runs no service; see juju status rack/0"
