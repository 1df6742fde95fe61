"""The actions of a region: progress in the log, results, and failures that say what to do."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from boot_resources_charms import command, failures
from support import stages, workloads

URL = "postgresql://maas:hunter2@db.example:5432/maasdb"
UNREACHABLE = failures.CommandFailed("the region controller does not answer", "start it", 3)
NOBLE = "ubuntu/amd64/ga-24.04/noble/stable/20250718"
IMAGES = {
    "images": [
        {"name": NOBLE, "state": "available", "size": 300 << 20},
        {"name": "grub-efi/amd64/generic/uefi/stable/1", "state": "syncing", "size": 2048},
    ]
}


@pytest.fixture
def stage(machine: workloads.FakeWorkload) -> stages.Stage:
    """Return a region that serves."""
    machine.answers["images", "list"] = IMAGES
    stage = stages.region(machine)
    stage.run(stage.on.start())
    return stage


def failure(stage: stages.Stage, action: str, **params: Any) -> str:
    """Run an action that fails; return its message."""
    with pytest.raises(testing.ActionFailed) as failed:
        stage.act(action, **params)
    assert failed.value.state is not None
    assert failed.value.state.unit_status == ops.ActiveStatus("3 images available")
    return failed.value.message


SPEAKING = """#!{python}
import json
from boot_resources.service import local

def follow(*_, **__):
    for said in json.loads({said!r}):
        if "error" in said:
            raise local.Refused(said["error"], said["cure"], 1)
        yield said

local.Controller.follow = follow
local.Controller.post = lambda *_, **__: list(follow())[-1]
from boot_resources.cli.main import main
main()
"""


@pytest.fixture
def region_says(
    stage: stages.Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., None]:
    """Return what has the engine's real command run, with a region that answers with documents."""

    def says(*documents: dict[str, Any]) -> None:
        launcher = tmp_path / "boot-resources"
        text = json.dumps(documents)
        launcher.write_text(SPEAKING.format(python=sys.executable, said=text))
        launcher.chmod(0o755)
        real = command.Command(launcher, stage.machine.places.settings)
        monkeypatch.setattr(stage.machine, "follow", real.follow)

    return says


def logged(stage: stages.Stage) -> list[str]:
    return list(stage.context.action_logs)


class TestSyncImages:
    def test_it_tells_how_far_it_is_and_what_came_of_it(self, stage: stages.Stage) -> None:
        lines = ["syncing 50 % of 300.0 MiB", "2 objects brought, 300.0 MiB from upstream"]
        stage.machine.lines["sync",] = [*lines]
        assert stage.act("sync-images") == {
            "summary": "2 objects brought, 300.0 MiB from upstream",
            "available": 1,
        }
        assert logged(stage) == lines

    def test_its_failure_is_in_the_words_of_the_engine(self, stage: stages.Stage) -> None:
        refused = failures.CommandFailed("the source cannot be read: 404", "check its URL", 1)
        stage.machine.lines["sync",] = ["warning: 404", refused]
        assert failure(stage, "sync-images") == "the source cannot be read: 404; check its URL"
        assert logged(stage) == ["warning: 404"]

    def test_a_notice_after_the_summary_is_not_the_summary(
        self, stage: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        region_says(synced(notice("info", "nothing is selected", "select images", "sync")))
        assert stage.act("sync-images") == {"summary": SYNCED, "available": 1}
        assert "info: nothing is selected" in logged(stage)[1]

    def test_it_fails_with_what_is_in_the_way(
        self, stage: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        region_says(
            {"phase": "fetching", "here": 1, "total": 2, "objects_done": 1, "objects_total": 2},
            synced(
                notice("info", "idle", "wait", "sync"),
                notice("warning", "the source (a mirror) says 404", "check its URL", "source"),
                notice("warning", "2 objects are missing", "ask again", "sync"),
            ),
        )
        said = failure(stage, "sync-images")
        assert said == "the source (a mirror) says 404 (and 1 more); check its URL"
        assert logged(stage)[0] == "syncing 50 % of 2 B"

    def test_a_critical_notice_is_the_reason_before_a_warning(
        self, stage: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        warning = notice("warning", "404", "check its URL", "source")
        region_says(synced(warning, notice("critical", "the disk is full", "make room", "sync")))
        assert failure(stage, "sync-images") == "the disk is full (and 1 more); make room"

    def test_a_refusal_is_the_reason(
        self, stage: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        region_says({"error": "the catalog is busy", "cure": "ask again"})
        assert failure(stage, "sync-images") == "the catalog is busy; ask again"


def notice(severity: str, text: str, cure: str, scope: str) -> dict[str, str]:
    return {
        "scope": scope,
        "severity": severity,
        "text": text,
        "cure": cure,
        "since": "2026-11-22T05:00:00+00:00",
        "unit": "region-0",
    }


SYNCED = "2 objects brought, 2 B from upstream, 0 no longer needed"


def synced(*notices: dict[str, str]) -> dict[str, Any]:
    """Return what a region says at the end of a sync."""
    brought = {"objects": 2, "upstream_bytes": 2, "restored": 0, "dropped": 0}
    return {"phase": "idle", "brought": brought, "notices": notices, "last_error": None}


class TestListImages:
    def test_of_very_many_it_lists_some(self, stage: stages.Stage) -> None:
        images = [{"name": f"i{n}", "state": "available", "size": 1} for n in range(101)]
        stage.machine.answers["images", "list"] = {"images": images}
        results = stage.act("list-images")
        assert results is not None
        lines = str(results["images"]).splitlines()
        assert len(lines) == 101
        assert lines[-1] == "and 1 more; boot-resources images list has them all"

    def test_it_lists_them_with_state_and_size(self, stage: stages.Stage) -> None:
        assert stage.act("list-images") == {
            "count": 2,
            "images": f"{NOBLE}  available  300.0 MiB\n"
            "grub-efi/amd64/generic/uefi/stable/1  syncing  2.0 KiB",
        }

    def test_with_none_it_says_so(self, stage: stages.Stage) -> None:
        stage.machine.answers["images", "list"] = {"images": []}
        assert stage.act("list-images") == {"count": 0, "images": "none"}

    def test_a_region_that_does_not_answer_is_a_failure(self, stage: stages.Stage) -> None:
        stage.machine.answers["images", "list"] = UNREACHABLE
        said = failure(stage, "list-images")
        assert said == "the region controller does not answer; start it"


class TestVerifyStorage:
    def test_all_that_is_sound(self, stage: stages.Stage) -> None:
        stage.machine.lines["verify",] = ["verifying 100 % of 9 B", "2 of 2 objects are sound"]
        assert stage.act("verify-storage") == {"summary": "2 of 2 objects are sound"}

    def test_damage_fails_it_and_is_named_in_its_log(self, stage: stages.Stage) -> None:
        lines = ["1 of 2 objects are sound", "0a1b  altered: wrong sha256"]
        damaged = failures.CommandFailed("0a1b  altered: wrong sha256", "", 4)
        stage.machine.lines["verify",] = [*lines, damaged]
        assert failure(stage, "verify-storage") == (
            "objects were damaged, and are fetched again; the log of this action names them; "
            "check the disk's health"
        )
        assert logged(stage) == lines

    def test_one_that_did_not_run_is_another_failure(self, stage: stages.Stage) -> None:
        stage.machine.lines["verify",] = [UNREACHABLE]
        said = failure(stage, "verify-storage")
        assert said == "the region controller does not answer; start it"


class TestMigrateImages:
    @pytest.fixture
    def told(self, stage: stages.Stage) -> stages.Stage:
        """Return a region that is told of a MAAS database."""
        secret = testing.Secret({"url": URL})
        stage.change(secrets=[*stage.state.secrets, secret])
        stage.configure(migration_database=secret.id)
        return stage

    def test_without_a_database_it_says_what_to_configure(self, stage: stages.Stage) -> None:
        assert failure(stage, "migrate-images", check=True) == (
            "no MAAS database is configured; juju add-secret NAME url#file=FILE, juju "
            "grant-secret NAME region, juju config region migration-database=SECRET-ID"
        )

    @pytest.mark.parametrize(
        ("params", "arguments"),
        [
            ({}, ()),
            ({"check": True, "online": True}, ("--check", "--online")),
            (
                {"finish": True, "yes-i-have-a-backup": True, "orphans": True},
                ("--finish", "--yes-i-have-a-backup", "--orphans"),
            ),
            (
                {"accept-lost": ["custom/amd64/generic/a/b/1", "--finish"]},
                ("--accept-lost=custom/amd64/generic/a/b/1", "--accept-lost=--finish"),
            ),
        ],
    )
    def test_its_parameters_are_the_options_of_the_command(
        self, told: stages.Stage, params: dict[str, Any], arguments: tuple[str, ...]
    ) -> None:
        told.machine.lines["migrate", *arguments] = [
            "migrating 10 % of 9 B",
            "3 images taken over",
        ]
        assert told.act("migrate-images", **params) == {"summary": "3 images taken over"}
        assert logged(told) == ["migrating 10 % of 9 B", "3 images taken over"]

    def test_it_fails_with_what_is_open_and_how_to_give_it_up(
        self, told: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        region_says(exported([set_aside("open"), set_aside("open"), set_aside("lost")]))
        assert failure(told, "migrate-images") == (
            "not done yet: custom/amd64/generic/forge/uploaded/1 root-tgz open: 3 bytes short "
            "(and 1 more); mend it in MAAS and run the action again, or give the image up: "
            """accept-lost='["custom/amd64/generic/forge/uploaded/1"]'"""
        )

    def test_what_was_taken_over_is_the_summary(
        self, told: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        region_says(exported([set_aside("lost")], succeeded=True))
        assert told.act("migrate-images") == {
            "summary": "0 images taken over, 0 became available, 5 B read; MAAS's database is as "
            "it was"
        }

    def test_a_check_fails_with_what_is_in_the_way(
        self, told: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        cure = "stop MAAS's region controllers, or migrate --online and leave its images alone"
        region_says(checked({"text": "MAAS is connected", "cure": cure}))
        assert failure(told, "migrate-images", check=True) == (
            "MAAS is connected; stop MAAS's region controllers, or migrate online=true and leave "
            "its images alone"
        )

    def test_a_check_without_a_hitch_says_so(
        self, told: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        region_says(checked())
        assert told.act("migrate-images", check=True) == {
            "summary": "it would fit and work; nothing was changed"
        }

    def test_what_left_the_database_is_the_summary(
        self, told: stages.Stage, region_says: Callable[..., None]
    ) -> None:
        removed = {"objects": 2, "largefiles": 1}
        space = {"given_back": 0, "vacuum": "VACUUM FULL x", "problem": "it is read by another"}
        counted = {"objects": 2, "hashed": 9, "rows": "3 rows"}
        region_says({**counted, "removed": removed, "space": space})
        found = told.act("migrate-images", finish=True, **{"yes-i-have-a-backup": True})
        assert found is not None
        assert str(found["summary"]).splitlines() == [
            (
                "sound here: 2 objects, 9 B hashed; 2 large objects and 1 large file left "
                "MAAS's database (3 rows); 0 B came back"
            ),
            (
                "the space did not come back: it is read by another; later, the database's owner "
                "or a superuser says: VACUUM FULL x;"
            ),
        ]

    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({"finish": True}, "say so: finish=true yes-i-have-a-backup=true"),
            ({"check": True, "finish": True}, "check changes nothing"),
            ({"check": True, "accept-lost": ["a"]}, "neither finish nor accept-lost"),
            ({"finish": True, "online": True}, "neither online nor accept-lost"),
            ({"orphans": True}, "add finish=true"),
            ({"yes-i-have-a-backup": True}, "add finish=true"),
        ],
    )
    def test_parameters_that_do_not_go_together_are_refused_by_their_names(
        self, told: stages.Stage, params: dict[str, Any], said: str
    ) -> None:
        found = failure(told, "migrate-images", **params)
        assert said in found
        assert "--" not in found

    def test_an_option_that_the_command_does_not_know_is_said(
        self, told: stages.Stage, region_says: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        region_says()
        real = told.machine.follow
        monkeypatch.setattr(told.machine, "follow", lambda *given: real(*given, "--novel"))
        assert "No such option" in failure(told, "migrate-images")

    def test_a_secret_that_is_not_granted_any_more_does_not_stop_it(
        self, told: stages.Stage
    ) -> None:
        told.machine.lines["migrate",] = ["3 images taken over"]
        told.change(secrets=[each for each in told.state.secrets if each.owner == "app"])
        assert told.act("migrate-images") == {"summary": "3 images taken over"}


def set_aside(resolution: str) -> dict[str, str]:
    image = "custom/amd64/generic/forge/uploaded/1"
    reason = "3 bytes short"
    return {
        "image": image,
        "filename": "root-tgz",
        "resolution": resolution,
        "reason": reason,
    }


def exported(aside: list[dict[str, str]], *, succeeded: bool = False) -> dict[str, Any]:
    """Return what a region says at the end of a migration."""
    lists: dict[str, Any] = {"added": [], "available": [], "parted": []}
    return lists | {"set_aside": aside, "read": 5, "succeeded": succeeded}


def checked(*blockers: dict[str, str]) -> dict[str, Any]:
    """Return what a region says of a migration that it was asked to check."""
    counted = (
        "synced",
        "uploaded",
        "files",
        "distinct",
        "shared",
        "leftovers",
        "unused",
        "orphans",
    )
    return {
        "counts": dict.fromkeys(counted, 0),
        "maas": "3.5",
        "seconds": None,
        "to_read": 5,
        "needed": 5,
        "free": 9,
        "reserve": 1,
        "clients": [],
        "reader": None,
        "query": "select 1",
        "broken": [],
        "grant": None,
        "blockers": blockers,
        "ready": not blockers,
    }


def test_while_an_action_runs_the_unit_says_so(stage: stages.Stage) -> None:
    stage.act("list-images")
    history = stage.context.unit_status_history
    assert ops.MaintenanceStatus("running the action list-images") in history
    assert stage.status == ops.ActiveStatus("3 images available")


def test_no_secret_is_in_an_argument_a_log_or_a_result(
    stage: stages.Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = testing.Secret({"url": URL})
    stage.change(secrets=[*stage.state.secrets, secret])
    stage.configure(migration_database=secret.id)
    asked: list[str] = []
    real: Callable[..., Iterator[str]] = stage.machine.follow

    def follow(*arguments: str) -> Iterator[str]:
        asked.extend(arguments)
        return real(*arguments)

    monkeypatch.setattr(stage.machine, "follow", follow)
    stage.machine.lines["migrate",] = ["3 images taken over"]
    results = stage.act("migrate-images")
    assert asked == ["migrate"]
    assert "hunter2" not in f"{results}{caplog.text}{logged(stage)}"


def test_an_action_on_a_unit_that_is_no_region_says_which_one_is(
    machine: workloads.FakeWorkload,
) -> None:
    stage = stages.region(machine, leader=False, unit_id=1, planned=2)
    said = stages.bag(region="region/0", authority="PEM")
    peers = testing.PeerRelation(stages.PEERS, local_app_data=said, peers_data={0: {}})
    stage.change(relations=[peers])
    with pytest.raises(testing.ActionFailed) as failed:
        stage.act("list-images")
    assert failed.value.message == "this unit runs no service; see juju status region/1"
