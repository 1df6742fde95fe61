"""How a unit is, in Juju's words, for everything that systemd and the engine can say."""

from typing import Any

import ops
import pytest

from boot_resources_charms import status, workload

ABSENT, ACTIVE, STARTING, STOPPED, FAILED = (
    workload.Activity.ABSENT,
    workload.Activity.ACTIVE,
    workload.Activity.STARTING,
    workload.Activity.STOPPED,
    workload.Activity.FAILED,
)


def notice(severity: str, text: str, cure: str = "", scope: str = "sync") -> dict[str, str]:
    return {"scope": scope, "severity": severity, "text": text, "cure": cure, "key": "k"}


def worst(statuses: Any) -> ops.StatusBase:
    """Return what Juju shows: the worst, of several the first."""
    order = [ops.ActiveStatus, ops.WaitingStatus, ops.MaintenanceStatus, ops.BlockedStatus]
    found: ops.StatusBase = max(statuses, key=lambda each: order.index(type(each)))
    return found


def region(**fields: Any) -> ops.StatusBase:
    return worst(
        status.of_region(status.Region.model_validate({"images": 2, "notices": []} | fields))
    )


def rack(**fields: Any) -> ops.StatusBase:
    cache = {"limit": 4 << 30, "used": 3 << 20, "hit_ratio": 0.5}
    whole = {"images": 2, "notices": [], "names_age": 1.0, "regions": [], "cache": cache}
    return worst(status.of_rack(status.Rack.model_validate(whole | fields)))


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (
            workload.State(ABSENT, None, "1"),
            ops.WaitingStatus("the service is not installed yet"),
        ),
        (
            workload.State(ABSENT, None, "1", None, "bad settings", "mend them"),
            ops.BlockedStatus("bad settings; mend them"),
        ),
        (workload.State(STARTING, None, "1"), ops.WaitingStatus("the service is starting")),
        (
            workload.State(STARTING, None, "1", None, "port 5290 is taken"),
            ops.BlockedStatus("port 5290 is taken"),
        ),
        (
            workload.State(STOPPED, None, "1"),
            ops.BlockedStatus("the service does not run; see journalctl on its host"),
        ),
        (
            workload.State(FAILED, None, "1", None, "the store is another cluster's", "adopt it"),
            ops.BlockedStatus("the store is another cluster's; adopt it"),
        ),
        (
            workload.State(ACTIVE, "1", "1", None, "the new settings\nare refused", "see them"),
            ops.BlockedStatus("the new settings are refused; see them"),
        ),
        (
            workload.State(
                FAILED, None, "2", workload.FailedUpgrade("2", "no such table"), "it ended"
            ),
            ops.BlockedStatus(
                "the upgrade to 2 failed: no such table; juju refresh to another revision"
            ),
        ),
    ],
)
def test_what_systemd_says(state: workload.State, shown: ops.StatusBase) -> None:
    assert worst(status.of_service(state)) == shown


def test_of_a_service_that_runs_as_it_should_nothing_is_said() -> None:
    assert not list(status.of_service(workload.State(ACTIVE, "1", "1")))


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, ops.ActiveStatus("2 images available")),
        ({"images": 1}, ops.ActiveStatus("1 image available")),
        (
            {"images": 0, "sync": {"phase": "source"}},
            ops.MaintenanceStatus("reading the boot source"),
        ),
        (
            {"images": 0, "sync": {"phase": "fetching", "done": 1 << 20, "total": 4 << 20}},
            ops.MaintenanceStatus("fetching images: 1.0 MiB of 4.0 MiB"),
        ),
        (
            {"sync": {"phase": "fetching", "done": 0, "total": 0}},
            ops.ActiveStatus("2 images available; fetching images"),
        ),
        ({"sync": {"phase": "tidying"}}, ops.ActiveStatus("2 images available")),
        (
            {"migration": {"under_way": True, "progress": {"here": 0, "total": 2048}}},
            ops.MaintenanceStatus("migrating images: 0 B of 2.0 KiB"),
        ),
        (
            {"migration": {"under_way": True, "progress": None}},
            ops.MaintenanceStatus("migrating images"),
        ),
        (
            {"notices": [notice("critical", "no space", "free 3 GiB")]},
            ops.BlockedStatus("no space; free 3 GiB"),
        ),
        (
            {"notices": [notice("warning", "404", "see it"), notice("critical", "no space")]},
            ops.BlockedStatus("no space"),
        ),
        (
            {"notices": [notice("warning", "the source cannot be read", "check its URL")]},
            ops.ActiveStatus(
                "2 images available; warning: the source cannot be read; check its URL"
            ),
        ),
        (
            {"images": 0, "notices": [notice("warning", "the source cannot be read")]},
            ops.BlockedStatus("the source cannot be read"),
        ),
        (
            {"images": 0, "notices": [notice("warning", "404"), notice("critical", "no space")]},
            ops.BlockedStatus("no space"),
        ),
        (
            {"notices": [notice("warning", "2 files did not come", scope="migration")]},
            ops.BlockedStatus("2 files did not come"),
        ),
        ({"notices": [notice("info", "a stranger")]}, ops.ActiveStatus("2 images available")),
    ],
)
def test_what_a_region_says(fields: dict[str, Any], shown: ops.StatusBase) -> None:
    assert region(**fields) == shown


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, ops.ActiveStatus("2 images available; cache 3.0 MiB of 4.0 GiB")),
        (
            {
                "images": 0,
                "names_age": None,
                "regions": [{"address": "192.0.2.10:5290", "problem": "connection refused"}],
            },
            ops.WaitingStatus(
                "waiting for a region to answer; 192.0.2.10:5290: connection refused"
            ),
        ),
        (
            {"images": 0, "names_age": None},
            ops.WaitingStatus("waiting for a region to answer"),
        ),
        (
            {
                "images": 0,
                "names_age": None,
                "notices": [
                    notice("warning", "no region answers"),
                    notice("critical", "the cache's disk is full", "make room"),
                ],
            },
            ops.BlockedStatus("the cache's disk is full; make room"),
        ),
        (
            {
                "images": 0,
                "names_age": None,
                "notices": [notice("warning", "no region answers")],
            },
            ops.WaitingStatus("waiting for a region to answer"),
        ),
        (
            {"images": 0},
            ops.ActiveStatus("0 images available; cache 3.0 MiB of 4.0 GiB"),
        ),
        (
            {"names_age": None, "notices": [notice("warning", "no region answers")]},
            ops.ActiveStatus("2 images available; warning: no region answers"),
        ),
        (
            {"notices": [notice("critical", "the disk refuses writes", "see dmesg")]},
            ops.BlockedStatus("the disk refuses writes; see dmesg"),
        ),
    ],
)
def test_what_a_rack_says(fields: dict[str, Any], shown: ops.StatusBase) -> None:
    assert rack(**fields) == shown
