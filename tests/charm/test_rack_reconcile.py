"""A rack unit and the events of its life: each ends in one reconcile, and may come again."""

import dataclasses
import json
from typing import Any

import ops
import pytest
from ops import testing

from boot_resources_charms import failures, workload
from support import stages, workloads

ACTIVE = ops.ActiveStatus("3 images available; cache 1.0 MiB of 4.0 GiB")
RACK_WITH_ODD_NOTICE = stages.RACK_ANSWER | {"notices": [{"severity": "odd", "text": "x"}]}
EVENTS = ["install", "start", "config_changed", "update_status", "upgrade_charm"]


@pytest.fixture
def regions() -> stages.Regions:
    return stages.Regions()


@pytest.fixture
def stage(machine: workloads.FakeWorkload, regions: stages.Regions) -> stages.Stage:
    """Return a rack that is related, and to which nothing has happened yet."""
    return stages.rack(machine, regions.relation)


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
        stages.answered(stage, regions)
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
        stages.answered(stage, regions)
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
        stages.answered(stage, regions, **fields)
        assert stage.status == status
        assert stage.machine.starts == 0

    def test_fields_that_a_newer_minor_version_adds_are_passed_over(
        self, stage: stages.Stage, regions: stages.Regions
    ) -> None:
        stages.answered(stage, regions, weather="fine")
        assert stage.status == ACTIVE

    def test_another_authority_than_its_certificates_is_refused_before_a_start(
        self, stage: stages.Stage, regions: stages.Regions
    ) -> None:
        other = stages.Regions()
        stages.answered(stage, regions, authority=other.authority)
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
        return stages.answered(stage, regions)

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
        before = stages.written(serving)
        regions.answer(serving, **fields)
        serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
        assert isinstance(serving.status, ops.BlockedStatus)
        assert serving.status.message.startswith(why)
        assert "juju refresh" in serving.status.message
        assert stages.written(serving) == before
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
        assert stages.answered(stage, regions).status == ACTIVE
