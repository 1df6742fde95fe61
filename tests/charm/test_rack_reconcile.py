"""A rack unit and the events of its life: each ends in one reconcile, and may come again."""

import dataclasses
import json
from typing import Any

import ops
import pytest
from ops import testing

from boot_resources_charms import failures, problems, workload
from rack import settings, state
from support import stages, workloads

ACTIVE = ops.ActiveStatus("3 images available; cache 1.0 MiB of 4.0 GiB")
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
RACK_WITH_ODD_NOTICE = stages.RACK_ANSWER | {"notices": [{"severity": "odd", "text": "x"}]}
EVENTS = ["install", "start", "config_changed", "update_status", "upgrade_charm"]


@pytest.fixture
def regions() -> stages.Regions:
    return stages.Regions()


@pytest.fixture
def stage(machine: workloads.FakeWorkload, regions: stages.Regions) -> stages.Stage:
    """Return a rack that is related, and to which nothing has happened yet."""
    return stages.rack(machine, regions.relation)


def answered(stage: stages.Stage, leader: stages.Regions, **fields: Any) -> stages.Stage:
    """Have the rack ask, and the regions' leader answer; ``fields`` in place of what it would."""
    stage.run(stage.on.relation_created(stage.relation(stages.PLANE)))
    leader.answer(stage, **fields)
    stage.run(stage.on.relation_changed(stage.relation(stages.PLANE)))
    return stage


def written(stage: stages.Stage) -> list[str]:
    """Return all that a rack was told."""
    names = ("rack.toml", "controller.crt", "authority.crt", "members.json")
    return [stage.machine.read(name) for name in names]


class TestJoining:
    def test_it_tells_where_it_is_and_asks(self, stage: stages.Stage) -> None:
        stage.run(stage.on.relation_created(stage.relation(stages.PLANE)))
        own = stages.own(stage.relation(stages.PLANE))
        assert json.loads(own["schema"]) == 1
        assert json.loads(own["address"]) == "192.0.2.0"
        assert "BEGIN CERTIFICATE REQUEST" in own["request"]
        assert json.loads(own["cache"]) is None
        assert stage.status == ops.WaitingStatus("waiting for the regions' leader to answer")
        assert stage.machine.starts == 0

    def test_answered_it_serves(self, stage: stages.Stage, regions: stages.Regions) -> None:
        answered(stage, regions)
        assert stage.status == ACTIVE
        assert stage.machine.starts == 1
        assert stage.state.opened_ports == {testing.TCPPort(5248)}
        assert stage.state.workload_version == workloads.CARRIED
        settings = stage.machine.settings()
        assert settings["regions"] == ["192.0.2.10:5290"]
        assert settings["name"] == "rack-0"
        assert settings["metrics"]["port"] == 5292
        assert settings["control"]["socket"] == str(stage.machine.places.socket)

    def test_the_storage_of_juju_holds_the_cache(
        self, stage: stages.Stage, regions: stages.Regions
    ) -> None:
        (storage,) = stage.state.storages
        stage.run(stage.on.storage_attached(storage))
        answered(stage, regions)
        root = storage.get_filesystem(stage.context)
        assert stage.machine.settings()["cache"]["path"] == str(root)
        assert stage.machine.directories == (root,)

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            (
                {"certificates": {}},
                ops.WaitingStatus("waiting for the regions' leader to issue a certificate"),
            ),
            (
                {"certificates": {"rack/0": "no PEM"}},
                ops.WaitingStatus("waiting for the regions' leader to issue a certificate"),
            ),
            ({"regions": []}, ops.WaitingStatus("waiting for a region to be ready")),
            (
                {"model": "7d0c1c7e-0000-4000-8000-000000000000"},
                ops.BlockedStatus(
                    "region is in another model, and regions and racks work together within one; "
                    "deploy both applications in one model, and juju integrate them there"
                ),
            ),
            (
                {"schema": 2},
                ops.BlockedStatus(
                    "region speaks schema 2 in boot-resources, and this charm reads 1; upgrade "
                    "this charm with juju refresh"
                ),
            ),
            (
                {"regions": [{"name": "region-0"}]},
                ops.BlockedStatus(
                    "what region says in boot-resources cannot be understood: "
                    "regions.0.address: Field required; upgrade that charm: juju refresh region"
                ),
            ),
        ],
    )
    def test_what_is_missing_is_waited_for_and_what_is_wrong_blocks(
        self,
        stage: stages.Stage,
        regions: stages.Regions,
        fields: dict[str, Any],
        status: ops.StatusBase,
    ) -> None:
        answered(stage, regions, **fields)
        assert stage.status == status
        assert stage.machine.starts == 0

    def test_fields_that_a_newer_minor_version_adds_are_passed_over(
        self, stage: stages.Stage, regions: stages.Regions
    ) -> None:
        answered(stage, regions, weather="fine")
        assert stage.status == ACTIVE

    def test_another_authority_than_its_certificates_is_refused_before_a_start(
        self, stage: stages.Stage, regions: stages.Regions
    ) -> None:
        other = stages.Regions()
        answered(stage, regions, authority=other.authority)
        assert isinstance(stage.status, ops.BlockedStatus)
        assert stage.machine.starts == 0

    def test_while_one_relation_takes_the_place_of_another_the_newer_counts(
        self, machine: workloads.FakeWorkload, regions: stages.Regions
    ) -> None:
        before = dataclasses.replace(stages.Regions().relation, remote_app_name="old")
        after = dataclasses.replace(regions.relation, id=before.id + 1)
        stage = stages.rack(machine, before, after)
        stage.run(stage.on.relation_created(after))
        told = {each.id: stages.own(each) for each in stage.state.get_relations(stages.PLANE)}
        assert "request" in told[after.id]
        assert "request" not in told[before.id]

    def test_unrelated_it_says_what_to_relate(self, machine: workloads.FakeWorkload) -> None:
        stage = stages.rack(machine)
        stage.run(stage.on.start())
        assert stage.status == ops.BlockedStatus(
            "not related to the regions that images come from; juju integrate rack "
            "with the application of boot-resources-region"
        )
        assert machine.installed


class TestServing:
    @pytest.fixture
    def serving(self, stage: stages.Stage, regions: stages.Regions) -> stages.Stage:
        return answered(stage, regions)

    def test_what_is_as_it_should_be_is_left_alone(self, serving: stages.Stage) -> None:
        serving.run(serving.on.update_status())
        before = serving.relation(stages.PLANE)
        for event in EVENTS:
            serving.run(getattr(serving.on, event)())
        assert serving.machine.starts == 1
        assert serving.relation(stages.PLANE) == before

    def test_its_cache_is_told_in_figures_that_do_not_change_with_every_byte(
        self, serving: stages.Stage
    ) -> None:
        cache = {"limit": 4 << 30, "used": (5 << 20) + 17, "hit_ratio": 0.98765}
        serving.machine.answers["status",] = stages.RACK_ANSWER | {"cache": cache}
        serving.run(serving.on.update_status())
        told = json.loads(stages.own(serving.relation(stages.PLANE))["cache"])
        assert told == {"size": 4 << 30, "used": 5 << 20, "hit-ratio": 0.99}

    def test_regions_that_change_need_a_restart(
        self, serving: stages.Stage, regions: stages.Regions
    ) -> None:
        regions.answer(serving, regions=[{"name": "region-1", "address": "192.0.2.11:5290"}])
        serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
        assert serving.machine.settings()["regions"] == ["192.0.2.11:5290"]
        assert serving.machine.starts == 2

    def test_another_member_needs_none(
        self, serving: stages.Stage, regions: stages.Regions
    ) -> None:
        listed = stages.said_by(serving.relation(stages.PLANE), "members")
        stranger = {"name": "rack-1", "role": "rack", "fingerprint": "0" * 64}
        regions.answer(serving, members=[*listed, stranger])
        serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
        assert "rack-1" in serving.machine.read("members.json")
        assert serving.machine.starts == 1

    def test_a_certificate_for_a_key_that_is_gone_is_not_taken(
        self, serving: stages.Stage, regions: stages.Regions
    ) -> None:
        before = serving.machine.read("controller.crt")
        serving.machine.forget_key()
        serving.run(serving.on.update_status())
        assert serving.status == ops.WaitingStatus(
            "waiting for the regions' leader to issue a certificate"
        )
        assert serving.machine.read("controller.crt") == before
        regions.answer(serving)
        serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
        assert serving.status == ACTIVE
        assert serving.machine.read("controller.crt") != before

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            (
                {"authority": "garbage"},
                "the regions' leader gave an authority that did not issue the certificate",
            ),
            (
                {"authority": stages.Regions().authority},
                "the regions' leader gave an authority that did not issue the certificate",
            ),
            ({"members": []}, "the regions' leader gave a member list that is empty"),
            (
                {
                    "members": [
                        {"name": name, "role": "rack", "fingerprint": "0" * 64}
                        for name in ("rack-0", "rack-1")
                    ]
                },
                "the regions' leader gave a member list that is empty, or contradicts itself",
            ),
            (
                {"members": [{"name": "region-0", "role": "region", "fingerprint": "zz"}]},
                "what region says in boot-resources cannot be understood: members.0.fingerprint",
            ),
            (
                {"regions": [{"name": "region-0", "address": "nonsense"}]},
                "what region says in boot-resources cannot be understood: regions.0.address: ",
            ),
            (
                {"cache_size": 0},
                "what region says in boot-resources cannot be understood: cache-size: ",
            ),
            (
                {"cache_size": 10**30},
                "what region says in boot-resources cannot be understood: cache-size: ",
            ),
        ],
    )
    def test_what_cannot_be_used_is_not_written_over_what_can(
        self, serving: stages.Stage, regions: stages.Regions, fields: dict[str, Any], why: str
    ) -> None:
        before = written(serving)
        regions.answer(serving, **fields)
        serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
        assert isinstance(serving.status, ops.BlockedStatus)
        assert serving.status.message.startswith(why)
        assert "juju refresh" in serving.status.message
        assert written(serving) == before
        assert serving.machine.starts == 1

    @pytest.mark.parametrize(
        "answer", [{}, [], "fine", {"images": 0, "cache": {}}, RACK_WITH_ODD_NOTICE]
    )
    def test_an_answer_in_other_words_blocks_with_the_charm_to_upgrade(
        self, serving: stages.Stage, answer: Any
    ) -> None:
        serving.machine.answers["status",] = answer
        serving.run(serving.on.update_status())
        assert isinstance(serving.status, ops.BlockedStatus)
        assert serving.status.message.startswith(
            "the service answers in words that this charm does not know: "
        )
        assert serving.status.message.endswith("; upgrade this charm with juju refresh")
        assert json.loads(stages.own(serving.relation(stages.PLANE))["cache"]) is None

    def test_without_the_relation_it_serves_what_it_has(self, serving: stages.Stage) -> None:
        serving.run(serving.on.relation_broken(serving.relation(stages.PLANE)))
        assert isinstance(serving.status, ops.BlockedStatus)
        assert serving.machine.running
        assert serving.machine.settings()["regions"] == ["192.0.2.10:5290"]

    def test_one_that_does_not_answer_waits(self, serving: stages.Stage) -> None:
        serving.machine.answers["status",] = failures.CommandFailed("no answer", "see it", 3)
        serving.run(serving.on.update_status())
        assert serving.status == ops.WaitingStatus("no answer; see it")
        assert json.loads(stages.own(serving.relation(stages.PLANE))["cache"]) is None

    def test_a_storage_that_leaves_stops_the_service(self, serving: stages.Stage) -> None:
        (storage,) = serving.state.storages
        serving.run(serving.on.storage_detaching(storage))
        serving.change(storages=[])
        serving.run(serving.on.update_status())
        assert not serving.machine.running
        assert "the storage cache is not attached" in serving.status.message

    def test_a_unit_that_goes_takes_its_files_along(self, serving: stages.Stage) -> None:
        serving.run(serving.on.stop())
        assert not serving.machine.running
        serving.run(serving.on.remove())
        assert serving.machine.removed

    def test_an_upgrade_that_went_back_blocks(self, serving: stages.Stage) -> None:
        serving.machine.condition = workload.State(
            workload.Activity.ACTIVE, "1", "2", workload.FailedUpgrade("2", "it does not start")
        )
        serving.run(serving.on.upgrade_charm())
        assert serving.machine.retries == 1
        assert serving.status == ops.BlockedStatus(
            "the upgrade to 2 failed: it does not start; 1 runs on; juju refresh to another "
            "revision"
        )


class TestTheMachine:
    def test_beside_maas_nothing_is_installed(self, stage: stages.Stage) -> None:
        stage.machine.maas = "the package maas-rack-controller"
        stage.run(stage.on.install())
        assert stage.status == ops.BlockedStatus(
            "MAAS is installed on this machine (the package maas-rack-controller); add a unit on "
            "another machine, and juju remove-unit rack/0"
        )
        assert not stage.machine.installed
        assert not stages.own(stage.relation(stages.PLANE)).get("request")

    def test_an_installation_that_fails_blocks_and_is_tried_again(
        self, stage: stages.Stage, regions: stages.Regions
    ) -> None:
        stage.machine.install_error = failures.InstallFailed("no room in /opt", "make some")
        stage.run(stage.on.install())
        assert stage.status == ops.BlockedStatus("no room in /opt; make some")
        stage.machine.install_error = None
        assert answered(stage, regions).status == ACTIVE


class TestOptions:
    @pytest.fixture
    def serving(self, stage: stages.Stage, regions: stages.Regions) -> stages.Stage:
        return answered(stage, regions)

    def test_the_cache_is_as_large_as_the_regions_say(self, serving: stages.Stage) -> None:
        assert serving.machine.settings()["cache"]["size"] == 4 << 30

    def test_what_the_regions_say_anew_takes_effect_live(
        self, serving: stages.Stage, regions: stages.Regions
    ) -> None:
        regions.answer(serving, cache_size=8 << 30)
        serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
        assert serving.machine.settings()["cache"]["size"] == 8 << 30
        assert (serving.machine.starts, serving.machine.reloads) == (1, 1)

    @pytest.mark.parametrize("size", ["512M", " 512M "])
    def test_its_own_size_stands_above_theirs_and_takes_effect_live(
        self, serving: stages.Stage, size: str
    ) -> None:
        assert serving.configure(cache_size=size) == ACTIVE
        assert serving.machine.settings()["cache"]["size"] == 512 << 20
        assert (serving.machine.starts, serving.machine.reloads) == (1, 1)

    def test_without_any_size_the_engine_decides(
        self, stage: stages.Stage, regions: stages.Regions
    ) -> None:
        answered(stage, regions, cache_size=None)
        assert "size" not in stage.machine.settings()["cache"]
        assert stage.status == ACTIVE

    def test_the_log_level_takes_effect_live(self, serving: stages.Stage) -> None:
        serving.configure(log_level="debug")
        assert serving.machine.settings()["log-level"] == "debug"
        assert (serving.machine.starts, serving.machine.reloads) == (1, 1)

    def test_a_reload_that_a_hook_did_not_live_to_see_comes_with_the_next(
        self, serving: stages.Stage
    ) -> None:
        serving.machine.reload_error = failures.CommandFailed("it is busy", "wait", 1)
        assert serving.configure(cache_size="1G") == ops.BlockedStatus("it is busy; wait")
        serving.machine.reload_error = None
        serving.run(serving.on.update_status())
        assert serving.machine.reloads == 1
        assert serving.status == ACTIVE

    @pytest.mark.parametrize(
        ("options", "status"),
        [
            (
                {"cache_size": "4GG"},
                "cache-size: '4GG' is not a size; write for example 512M, 4G or 1.5T",
            ),
            ({"cache_size": "0"}, "cache-size: it must be greater than or equal to 1"),
            (
                {"log_level": "loud"},
                "log-level: it must be 'debug', 'info', 'warning' or 'error'",
            ),
        ],
    )
    def test_a_bad_value_blocks_and_changes_nothing(
        self, serving: stages.Stage, options: dict[str, Any], status: str
    ) -> None:
        before = serving.machine.read("rack.toml")
        (option,) = (name.replace("_", "-") for name in options)
        assert serving.configure(**options) == ops.BlockedStatus(
            f"the option {status}; juju config rack {option}=..."
        )
        assert serving.machine.read("rack.toml") == before
        assert serving.machine.starts == 1

    def test_a_bad_value_does_not_hold_back_a_renewed_certificate(
        self, serving: stages.Stage, regions: stages.Regions
    ) -> None:
        settings, *before = written(serving)
        serving.configure(cache_size="4GG")
        regions.forget()
        regions.answer(serving)
        serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
        unchanged, *after = written(serving)
        assert isinstance(serving.status, ops.BlockedStatus)
        assert unchanged == settings
        assert after[0] != before[0]
        assert serving.machine.starts == 2, "it is read at a start"

    def test_settings_that_the_engine_would_refuse_are_not_rendered(
        self, serving: stages.Stage
    ) -> None:
        unheard_of = state.RackState(
            "rack-0", ("nonsense",), None, "info", serving.machine.places.state
        )
        with pytest.raises(problems.Problem) as refused:
            settings.rendered(unheard_of, serving.machine.places, "rack")
        assert refused.value.sentence.startswith(
            "the engine cannot run with these settings: regions: "
        )
        assert refused.value.sentence.endswith("; see juju config rack")


class TestShowCache:
    @pytest.fixture
    def serving(self, stage: stages.Stage, regions: stages.Regions) -> stages.Stage:
        return answered(stage, regions)

    def test_it_tells_how_full_it_is_and_what_is_in_it(self, serving: stages.Stage) -> None:
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

    def test_of_an_empty_one_it_says_so(self, serving: stages.Stage) -> None:
        empty: dict[str, Any] = {"objects": 0, "hit_ratio": None, "contents": []}
        serving.machine.answers["cache", "status"] = CACHE | empty
        results = serving.act("show-cache") or {}
        assert results["hit-ratio"] == "nothing served yet"
        assert results["contents"] == "none"

    def test_a_rack_that_does_not_answer_is_a_failure(self, serving: stages.Stage) -> None:
        refused = failures.CommandFailed("the rack does not answer", "start it", 3)
        serving.machine.answers["cache", "status"] = refused
        with pytest.raises(testing.ActionFailed) as failed:
            serving.act("show-cache")
        assert failed.value.message == "the rack does not answer; start it"

    def test_one_that_never_started_says_where_to_look(self, stage: stages.Stage) -> None:
        with pytest.raises(testing.ActionFailed) as failed:
            stage.act("show-cache")
        assert failed.value.message == "this unit runs no service; see juju status rack/0"
