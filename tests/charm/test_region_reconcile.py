"""A region unit and the events of its life: each ends in one reconcile, and may come again."""

import dataclasses
from typing import Any

import ops
import pytest
from ops import testing

from boot_resources_charms import failures, workload
from support import stages, workloads

ACTIVE = ops.ActiveStatus("3 images available")
EVENTS = [
    "install",
    "start",
    "config_changed",
    "leader_elected",
    "update_status",
    "upgrade_charm",
]


@pytest.fixture
def stage(machine: workloads.FakeWorkload) -> stages.Stage:
    return stages.region(machine)


def serving(stage: stages.Stage) -> stages.Stage:
    stage.run(stage.on.start())
    assert stage.status == ACTIVE
    return stage


@pytest.mark.parametrize("event", EVENTS)
def test_from_nothing_any_event_ends_with_a_region_that_serves(
    stage: stages.Stage, event: str
) -> None:
    stage.run(getattr(stage.on, event)())
    assert stage.status == ACTIVE
    assert stage.machine.starts == 1
    assert stage.state.opened_ports == {testing.TCPPort(5290)}
    assert stage.state.workload_version == workloads.CARRIED


@pytest.mark.parametrize("juju", ["3.6.0", "4.0.0"])
def test_it_serves_under_each_juju_that_it_is_for(
    machine: workloads.FakeWorkload, juju: str
) -> None:
    stage = stages.region(machine, juju=juju)
    assert serving(stage).status == ACTIVE


def test_what_is_as_it_should_be_is_left_alone(stage: stages.Stage) -> None:
    before = serving(stage).state
    for event in EVENTS:
        stage.run(getattr(stage.on, event)())
    assert stage.machine.starts == 1
    assert {r.id: r for r in stage.state.relations} == {r.id: r for r in before.relations}
    assert [s.id for s in stage.state.secrets] == [s.id for s in before.secrets]


def test_the_storage_of_juju_holds_the_images(stage: stages.Stage) -> None:
    (storage,) = stage.state.storages
    stage.run(stage.on.storage_attached(storage))
    root = storage.get_filesystem(stage.context)
    assert stage.machine.settings()["storage"]["path"] == str(root)
    assert stage.machine.directories == (root,)


def test_a_storage_that_leaves_stops_the_service_and_its_absence_keeps_it_stopped(
    stage: stages.Stage,
) -> None:
    serving(stage)
    (storage,) = stage.state.storages
    stage.run(stage.on.storage_detaching(storage))
    assert not stage.machine.running
    stage.change(storages=[])
    stage.run(stage.on.update_status())
    assert not stage.machine.running
    assert isinstance(stage.status, ops.BlockedStatus)


def test_without_its_storage_a_region_is_blocked(stage: stages.Stage) -> None:
    stage.change(storages=[])
    stage.run(stage.on.start())
    assert stage.status == ops.BlockedStatus(
        "the storage image-storage is not attached; juju add-storage region/0 image-storage, or "
        "juju attach-storage"
    )
    assert stage.machine.starts == 0


def test_a_unit_without_an_address_waits(stage: stages.Stage) -> None:
    nowhere = testing.Network("boot-resources", ingress_addresses=[], bind_addresses=[])
    stage.change(networks={nowhere})
    stage.run(stage.on.start())
    assert stage.status == ops.WaitingStatus("waiting for Juju to give this unit an address")


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("10.0.0.5", "10.0.0.5:5290"),
        ("2001:db8::5", "[2001:db8::5]:5290"),
        ("fe80::5%eth0", "[fe80::5%eth0]:5290"),
        ("region.example", "region.example:5290"),
    ],
)
def test_the_address_is_the_one_that_juju_advertises_to_racks(
    stage: stages.Stage, address: str, written: str
) -> None:
    stage.change(networks={testing.Network("boot-resources", ingress_addresses=[address])})
    stage.run(stage.on.start())
    assert stage.machine.settings()["plane"]["address"] == written


def test_another_address_is_certified_and_needs_a_restart(stage: stages.Stage) -> None:
    certificate = serving(stage).machine.read("controller.crt")
    moved = testing.Network("boot-resources", ingress_addresses=["198.51.100.7"])
    stage.change(networks={moved})
    stage.run(stage.on.config_changed())
    assert stage.machine.settings()["plane"]["address"] == "198.51.100.7:5290"
    assert stage.machine.read("controller.crt") != certificate
    assert stage.machine.starts == 2
    assert stage.status == ACTIVE


def test_a_machine_made_anew_gets_a_certificate_for_its_new_key(stage: stages.Stage) -> None:
    serving(stage).machine.forget_key()
    stage.run(stage.on.start())
    assert stage.status == ACTIVE


@pytest.mark.parametrize("event", ["install", "start", "update_status"])
def test_beside_maas_nothing_is_installed(stage: stages.Stage, event: str) -> None:
    stage.machine.maas = "the snap maas"
    stage.run(getattr(stage.on, event)())
    assert stage.status == ops.BlockedStatus(
        "MAAS is installed on this machine (the snap maas); add a unit on another machine, and "
        "juju remove-unit region/0"
    )
    assert not stage.machine.installed


def test_maas_that_comes_later_blocks_and_the_service_is_left_alone(stage: stages.Stage) -> None:
    settings = serving(stage).machine.read("region.toml")
    stage.machine.maas = "the snap maas"
    assert isinstance(stage.configure(sync_interval="2h"), ops.BlockedStatus)
    assert stage.machine.read("region.toml") == settings
    assert stage.machine.running


def test_an_installation_that_fails_blocks_and_the_next_hook_tries_again(
    stage: stages.Stage,
) -> None:
    stage.machine.install_error = failures.InstallFailed("apt cannot be reached", "see apt update")
    stage.run(stage.on.install())
    assert stage.status == ops.BlockedStatus("apt cannot be reached; see apt update")
    stage.machine.install_error = None
    stage.run(stage.on.update_status())
    assert stage.status == ACTIVE


def test_a_refresh_tries_an_engine_again_that_failed_before(stage: stages.Stage) -> None:
    serving(stage)
    stage.run(stage.on.update_status())
    assert stage.machine.retries == 0
    stage.run(stage.on.upgrade_charm())
    assert stage.machine.retries == 1


def test_an_upgrade_that_went_back_blocks_until_a_good_version_comes(
    stage: stages.Stage,
) -> None:
    serving(stage)
    stage.machine.condition = workload.State(
        workload.Activity.ACTIVE,
        "0.1.0-0a1b2c3d",
        "0.2.0-ffffffff",
        workload.FailedUpgrade("0.2.0-ffffffff", "the catalog is newer"),
    )
    for event in (stage.on.upgrade_charm(), stage.on.update_status()):
        stage.run(event)
        assert stage.status == ops.BlockedStatus(
            "the upgrade to 0.2.0-ffffffff failed: the catalog is newer; 0.1.0-0a1b2c3d runs on; "
            "juju refresh to another revision"
        )
        assert stage.state.workload_version == "0.1.0-0a1b2c3d"
    stage.machine.condition = None
    stage.run(stage.on.upgrade_charm())
    assert stage.status == ACTIVE


@pytest.mark.parametrize(
    "answer", [{}, [], {"images": None}, {"images": 3, "sync": None}, {"images": 3, "notices": {}}]
)
def test_an_answer_in_other_words_blocks_with_the_charm_to_upgrade(
    stage: stages.Stage, answer: Any
) -> None:
    serving(stage).machine.answers["status",] = answer
    stage.run(stage.on.update_status())
    assert isinstance(stage.status, ops.BlockedStatus)
    assert stage.status.message.startswith(
        "the service answers in words that this charm does not know: "
    )
    assert stage.status.message.endswith("; upgrade this charm with juju refresh")


def test_a_storage_that_juju_does_not_find_is_looked_for_again(
    stage: stages.Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as refusing:
        stages.refuse(refusing, "storage_get")
        stage.run(stage.on.start())
    assert stage.status == ops.WaitingStatus(
        "Juju refused: ERROR lost the connection; it is tried again at the next hook"
    )
    assert stage.machine.starts == 0
    stage.run(stage.on.update_status())
    assert stage.status == ACTIVE


def test_a_unit_that_goes_stops_its_service_and_takes_its_files_along(
    stage: stages.Stage,
) -> None:
    serving(stage)
    stage.run(stage.on.stop())
    assert not stage.machine.running
    assert not stage.machine.removed
    stage.run(stage.on.remove())
    assert stage.machine.removed


def test_what_cannot_be_removed_is_said_and_does_not_hold_the_unit(
    stage: stages.Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise failures.InstallFailed("the disk is read-only", "see dmesg")

    monkeypatch.setattr(stage.machine, "remove", refuse)
    serving(stage).run(stage.on.remove())
    assert stage.status == ops.BlockedStatus("the disk is read-only; see dmesg")


class TestSeveralUnits:
    """One region unit for now: which one is recorded, and stays."""

    def peers(self, said: dict[str, Any] | None = None, **units: Any) -> testing.PeerRelation:
        return testing.PeerRelation(
            stages.PEERS,
            local_app_data=stages.bag(**(said or {})) if said else {},
            peers_data={int(number.removeprefix("u")): data for number, data in units.items()},
        )

    def test_a_second_unit_is_blocked_and_installs_nothing(
        self, machine: workloads.FakeWorkload
    ) -> None:
        stage = stages.region(machine, leader=False, unit_id=1, planned=2)
        stage.relate()
        stage.change(relations=[self.peers({"region": "region/0", "authority": "PEM"}, u0={})])
        stage.run(stage.on.start())
        assert stage.status == ops.BlockedStatus(
            "there is one region unit for now, and region/0 is it; juju remove-unit region/1"
        )
        assert not machine.installed

    def test_a_unit_whose_leader_said_nothing_yet_waits(
        self, machine: workloads.FakeWorkload
    ) -> None:
        stage = stages.region(machine, leader=False)
        stage.run(stage.on.start())
        assert stage.status == ops.WaitingStatus(
            "waiting for the regions' leader to issue a certificate"
        )
        assert machine.starts == 0

    def test_a_leader_that_stands_by_certifies_the_region(
        self, machine: workloads.FakeWorkload
    ) -> None:
        stage = stages.region(machine, unit_id=1, planned=2)
        asked = stages.bag(address="192.0.2.10", request=stages.request())
        before = {"region": "region/0", "authority": ""}
        stage.change(relations=[self.peers(before, u0=asked)])
        stage.run(stage.on.leader_elected())
        certificates = stages.said(stage.relation(stages.PEERS), "certificates")
        assert list(certificates) == ["region/0"]
        assert isinstance(stage.status, ops.BlockedStatus)

    def test_a_unit_that_stands_by_gets_no_certificate_even_if_it_asks(
        self, stage: stages.Stage
    ) -> None:
        asked = stages.bag(address="192.0.2.11", request=stages.request())
        stage.change(relations=[self.peers(u1=asked)], planned_units=2)
        serving(stage)
        peers = stage.relation(stages.PEERS)
        assert list(stages.said(peers, "certificates")) == ["region/0"]
        assert [each["name"] for each in stages.said(peers, "members")] == ["region-0"]

    def test_when_the_leadership_moves_the_region_stays_where_it_is(
        self, stage: stages.Stage
    ) -> None:
        serving(stage)
        stage.change(leader=False, planned_units=2)
        peers = stage.relation(stages.PEERS)
        stage.relate(dataclasses.replace(peers, peers_data={1: {}}))
        stage.run(stage.on.update_status())
        assert stage.status == ACTIVE
        assert stage.machine.starts == 1

    def test_without_the_peer_relation_a_leader_waits(
        self, machine: workloads.FakeWorkload
    ) -> None:
        stage = stages.region(machine)
        stage.change(relations=[])
        stage.run(stage.on.install())
        assert isinstance(stage.status, ops.WaitingStatus)
        assert machine.installed
        assert machine.starts == 0
