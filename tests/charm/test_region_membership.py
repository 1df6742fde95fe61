"""The leader's desk: racks that join, ask, change and leave; leaders that come and go."""

import dataclasses
import datetime
import json
from typing import Any

import ops
import pytest
from cryptography import x509
from ops import testing

from boot_resources import units
from boot_resources_charms import authority, failures
from region import membership
from support import stages, workloads

ACTIVE = ops.ActiveStatus("3 images available")


def asking(address: str = "192.0.2.20", **fields: Any) -> dict[str, str]:
    """Return what a rack unit says that asks."""
    return stages.bag(**({"address": address, "request": stages.request()} | fields))


def racks(*said: dict[str, str], app: str = "rack") -> testing.Relation:
    """Return the relation to a rack application, with what its units say."""
    return testing.Relation(
        stages.PLANE, remote_app_name=app, remote_units_data=dict(enumerate(said))
    )


@pytest.fixture
def stage(machine: workloads.FakeWorkload) -> stages.Stage:
    """Return a region that serves, and no rack yet."""
    stage = stages.region(machine)
    stage.run(stage.on.start())
    assert stage.status == ACTIVE
    return stage


def joined(stage: stages.Stage, *said: dict[str, str]) -> testing.Relation:
    """Relate rack units to the region; return the relation afterwards."""
    stage.relate(racks(*said))
    stage.run(stage.on.relation_changed(stage.relation(stages.PLANE), remote_unit=0))
    found: testing.Relation = stage.relation(stages.PLANE)
    return found


def member_names(stage: stages.Stage) -> list[str]:
    """Return the names in the member list that the region has."""
    return [each["name"] for each in json.loads(stage.machine.read("members.json"))["members"]]


class TestARackThatJoins:
    def test_it_is_told_all_that_it_needs(self, stage: stages.Stage) -> None:
        relation = joined(stage, asking())
        assert stages.said(relation, "schema") == 1
        assert stages.said(relation, "regions") == [
            {"name": "region-0", "address": "192.0.2.0:5290"}
        ]
        assert stages.said(relation, "authority") == stage.machine.read("authority.crt")
        assert list(stages.said(relation, "certificates")) == ["rack/0"]
        assert stages.said(relation, "cache-size") == 4 << 30
        listed = stages.said(relation, "members")
        assert [(each["name"], each["role"]) for each in listed] == [
            ("rack-0", "rack"),
            ("region-0", "region"),
        ]

    def test_the_region_admits_it_without_a_restart(self, stage: stages.Stage) -> None:
        joined(stage, asking(), asking("192.0.2.21"))
        assert member_names(stage) == ["rack-0", "rack-1", "region-0"]
        assert stage.machine.starts == 1

    def test_its_name_and_role_are_those_that_juju_gives(self, stage: stages.Stage) -> None:
        relation = joined(stage, asking(name="region-9", role="region"))
        pem = stages.said(relation, "certificates")["rack/0"]
        subject = x509.load_pem_x509_certificate(pem.encode()).subject
        assert subject.rfc4514_string() == "CN=rack-0,OU=rack"

    def test_nothing_secret_is_said(self, stage: stages.Stage) -> None:
        relation = joined(stage, asking())
        everything = [relation.local_app_data, stage.relation(stages.PEERS).local_app_data]
        assert "PRIVATE KEY" not in json.dumps([dict(each) for each in everything])

    def test_one_that_said_nothing_yet_gets_nothing(self, stage: stages.Stage) -> None:
        relation = joined(stage, {}, {"ingress-address": "192.0.2.21"})
        assert stages.said(relation, "certificates") == {}
        assert stage.status == ACTIVE

    def test_several_applications_are_told_of_their_own_certificates(
        self, stage: stages.Stage
    ) -> None:
        stage.relate(racks(asking(), app="rack"), racks(asking("192.0.2.30"), app="edge"))
        stage.run(stage.on.update_status())
        told = [
            sorted(stages.said(each, "certificates"))
            for each in stage.state.get_relations(stages.PLANE)
        ]
        assert sorted(told) == [["edge/0"], ["rack/0"]]
        assert member_names(stage) == ["edge-0", "rack-0", "region-0"]

    @pytest.mark.parametrize("size", ["4GG", "0", "8388608T"])
    def test_a_bad_option_does_not_keep_it_out_nor_change_the_size_of_caches(
        self, stage: stages.Stage, size: str
    ) -> None:
        joined(stage, asking())
        stage.configure(cache_size=size)
        relation = stage.relation(stages.PLANE)
        stage.relate(dataclasses.replace(relation, remote_units_data={0: asking(), 1: asking()}))
        stage.run(stage.on.relation_changed(stage.relation(stages.PLANE), remote_unit=1))
        relation = stage.relation(stages.PLANE)
        assert sorted(stages.said(relation, "certificates")) == ["rack/0", "rack/1"]
        assert stages.said(relation, "cache-size") == 4 << 30
        assert member_names(stage) == ["rack-0", "rack-1", "region-0"]
        assert isinstance(stage.status, ops.BlockedStatus)

    def test_another_size_of_caches_is_passed_on(self, stage: stages.Stage) -> None:
        joined(stage, asking())
        stage.configure(cache_size="20G")
        assert stages.said(stage.relation(stages.PLANE), "cache-size") == 20 << 30
        assert stage.machine.starts == 1


class TestWhatCannotBeUnderstood:
    """It is named, and takes from nobody what they have."""

    @pytest.mark.parametrize(
        ("said", "what"),
        [
            ({"schema": "one"}, "schema 'one'"),
            ({"schema": "1e999"}, "schema '1e999'"),
            ({"schema": "Infinity"}, "schema 'Infinity'"),
            ({"schema": "NaN"}, "schema 'NaN'"),
            ({"schema": "1.9"}, "schema '1.9'"),
            ({"schema": "true"}, "schema 'true'"),
            ({"schema": '"1"'}, "schema '\"1\"'"),
            ({"schema": "[1]"}, "schema '[1]'"),
            ({"schema": "0"}, "schema '0'"),
            ({"schema": "-5"}, "schema '-5'"),
            ({"schema": "9" * 5000}, f"schema '{'9' * 20}'"),
            ({"schema": "1"}, "address: Field required"),
            (stages.bag(address=[1], request="x"), "address: Input should be a valid string"),
            (stages.bag(address="192.0.2.20") | {"request": "{"}, "a field is not JSON"),
            (stages.bag(address="192.0.2.20") | {"request": "[" * 100_000}, "a field is not JSON"),
        ],
    )
    def test_it_blocks_with_the_charm_to_upgrade(
        self, stage: stages.Stage, said: dict[str, str], what: str
    ) -> None:
        relation = joined(stage, said, asking("192.0.2.21"))
        assert stage.status == ops.BlockedStatus(
            f"what rack/0 says in boot-resources cannot be understood: {what}; upgrade that "
            "charm: juju refresh rack"
        )
        assert list(stages.said(relation, "certificates")) == ["rack/1"]

    def test_of_a_newer_schema_nothing_is_taken(self, stage: stages.Stage) -> None:
        relation = joined(stage, asking(schema=2), asking("192.0.2.21"))
        assert stage.status == ops.BlockedStatus(
            "rack/0 speaks schema 2 in boot-resources, and this charm reads 1; upgrade this "
            "charm with juju refresh"
        )
        assert list(stages.said(relation, "certificates")) == ["rack/1"]

    def test_a_rack_that_was_upgraded_first_keeps_what_it_has(self, stage: stages.Stage) -> None:
        relation = joined(stage, asking())
        before = stages.said(relation, "certificates")
        stage.relate(dataclasses.replace(relation, remote_units_data={0: {"schema": "2"}}))
        stage.run(stage.on.update_status())
        assert stages.said(stage.relation(stages.PLANE), "certificates") == before
        assert member_names(stage) == ["rack-0", "region-0"]

    @pytest.mark.parametrize(
        ("fields", "why"),
        [
            ({"request": "no PEM"}, "rack/0 gets no certificate: this is neither a request"),
            ({"address": "*.example"}, "rack/0 gets no certificate: '*.example' is neither"),
        ],
    )
    def test_a_request_that_cannot_be_certified_is_named(
        self, stage: stages.Stage, fields: dict[str, str], why: str
    ) -> None:
        relation = joined(stage, asking(**fields))
        assert stages.said(relation, "certificates") == {}
        assert isinstance(stage.status, ops.BlockedStatus)
        assert stage.status.message.startswith(why)
        assert stage.status.message.endswith("juju remove-unit rack/0, and add another")

    def test_a_copied_key_takes_nothing_from_its_owner(self, stage: stages.Stage) -> None:
        first = asking()
        stage.relate(racks({}, first))
        stage.run(stage.on.update_status())
        relation = stage.relation(stages.PLANE)
        stage.relate(dataclasses.replace(relation, remote_units_data={0: first, 1: first}))
        stage.run(stage.on.update_status())
        assert list(stages.said(stage.relation(stages.PLANE), "certificates")) == ["rack/1"]
        assert "its key is another unit's already" in stage.status.message

    def test_one_in_another_model_is_refused(self, stage: stages.Stage) -> None:
        elsewhere = asking(model="7d0c1c7e-0000-4000-8000-000000000000")
        relation = joined(stage, elsewhere, asking("192.0.2.21", model=stage.state.model.uuid))
        assert list(stages.said(relation, "certificates")) == ["rack/1"]
        assert stage.status == ops.BlockedStatus(
            "rack/0 is in another model, and regions and racks work together within one; deploy "
            "both applications in one model, and juju integrate them there"
        )


class TestARackThatLeaves:
    def test_a_unit_that_departs_loses_certificate_and_membership(
        self, stage: stages.Stage
    ) -> None:
        relation = joined(stage, asking(), asking("192.0.2.21"))
        # ops.testing lists a unit that departs until a test takes it away; Juju does not.
        stage.run(stage.on.relation_departed(relation, remote_unit=1, departing_unit=1))
        assert list(stages.said(stage.relation(stages.PLANE), "certificates")) == ["rack/0"]
        assert member_names(stage) == ["rack-0", "region-0"]

    @pytest.mark.parametrize("obstacle", ["option", "secret", "storage", "machine"])
    def test_nothing_keeps_the_door_open_for_it(self, stage: stages.Stage, obstacle: str) -> None:
        relation = joined(stage, asking(), asking("192.0.2.21"))
        match obstacle:
            case "option":
                stage.configure(sync_interval="soon")
            case "secret":
                stage.change(secrets=[*stage.state.secrets, secret := testing.Secret({"url": ""})])
                stage.configure(migration_database=secret.id)
            case "storage":
                stage.change(storages=[])
            case "machine":
                stage.machine.install_error = failures.InstallFailed("no room", "make some")
        stage.run(stage.on.relation_departed(relation, remote_unit=1, departing_unit=1))
        assert isinstance(stage.status, ops.BlockedStatus)
        assert member_names(stage) == ["rack-0", "region-0"]

    @pytest.mark.parametrize("is_gone", [True, False])
    def test_it_needs_nobody_who_can_sign(
        self, stage: stages.Stage, monkeypatch: pytest.MonkeyPatch, is_gone: bool
    ) -> None:
        relation = joined(stage, asking(), asking("192.0.2.21"))
        if is_gone:
            stage.change(secrets=[])
        else:
            stages.refuse(monkeypatch, "secret_get")
        stage.run(stage.on.relation_departed(relation, remote_unit=1, departing_unit=1))
        relation = stage.relation(stages.PLANE)
        assert list(stages.said(relation, "certificates")) == ["rack/0"]
        assert [each["name"] for each in stages.said(relation, "members")] == [
            "rack-0",
            "region-0",
        ]
        assert member_names(stage) == ["rack-0", "region-0"]

    def test_with_the_relation_all_of_its_units_go(self, stage: stages.Stage) -> None:
        relation = joined(stage, asking())
        stage.run(stage.on.relation_broken(relation))
        assert member_names(stage) == ["region-0"]
        assert stage.machine.starts == 1
        assert stage.status == ACTIVE


class TestCertificatesOverTime:
    @pytest.fixture
    def days(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """Return how to move the clock ahead, in days."""
        real = units.utc_now

        def ahead(count: float) -> None:
            step = datetime.timedelta(days=count)
            monkeypatch.setattr(units, "utc_now", lambda: real() + step)

        return ahead

    def certificate(self, stage: stages.Stage) -> str:
        stage.run(stage.on.update_status())
        found: str = stages.said(stage.relation(stages.PLANE), "certificates")["rack/0"]
        return found

    def test_one_with_a_third_of_its_life_left_stays(self, stage: stages.Stage, days: Any) -> None:
        joined(stage, asking())
        before = self.certificate(stage)
        days(240)
        assert self.certificate(stage) == before

    def test_one_with_less_is_renewed_for_the_same_key(
        self, stage: stages.Stage, days: Any
    ) -> None:
        joined(stage, asking())
        before, listed = self.certificate(stage), stage.machine.read("members.json")
        days(250)
        renewed = self.certificate(stage)
        assert renewed != before
        assert stage.machine.read("members.json") == listed
        assert stage.machine.starts == 2, "the region has a new certificate of its own"

    def test_only_the_leader_renews(self, stage: stages.Stage, days: Any) -> None:
        joined(stage, asking())
        before = self.certificate(stage)
        stage.change(leader=False)
        days(250)
        assert self.certificate(stage) == before

    def test_an_authority_that_ended_signs_nothing(self, stage: stages.Stage, days: Any) -> None:
        joined(stage, asking())
        days(3651)
        stage.run(stage.on.update_status())
        assert isinstance(stage.status, ops.BlockedStatus)
        assert stage.status.message.startswith("the authority ended at ")


class TestTheAuthority:
    def secret(self, stage: stages.Stage) -> testing.Secret:
        (found,) = stage.state.secrets
        return found

    def content(self, stage: stages.Stage) -> dict[str, str]:
        return dict(self.secret(stage).tracked_content)

    def test_its_key_is_in_a_secret_of_the_application(self, stage: stages.Stage) -> None:
        secret = self.secret(stage)
        assert (secret.owner, secret.label) == ("app", authority.LABEL)
        assert self.content(stage)["certificate"] == stage.machine.read("authority.crt")

    def test_a_follower_makes_none(self, machine: workloads.FakeWorkload) -> None:
        stage = stages.region(machine, leader=False)
        stage.run(stage.on.update_status())
        assert not list(stage.state.secrets)

    def test_relation_data_that_was_lost_is_said_again(self, stage: stages.Stage) -> None:
        before = stage.machine.read("authority.crt")
        stage.change(relations=[testing.PeerRelation(stages.PEERS)])
        stage.run(stage.on.leader_elected())
        assert stages.said(stage.relation(stages.PEERS), "authority") == before
        assert len(list(stage.state.secrets)) == 1
        assert stage.status == ACTIVE

    def test_a_secret_that_is_gone_is_not_made_again(self, stage: stages.Stage) -> None:
        stage.change(secrets=[])
        stage.run(stage.on.leader_elected())
        assert not list(stage.state.secrets)
        assert stage.machine.running
        assert stage.status == ops.BlockedStatus(
            "the secret with the authority's key is gone: no certificate can be issued; what has "
            "one works until it ends; then deploy both applications anew"
        )

    @pytest.mark.parametrize("tool", ["secret_get", "secret_add"])
    def test_a_juju_that_refuses_is_asked_again_at_the_next_hook(
        self, machine: workloads.FakeWorkload, monkeypatch: pytest.MonkeyPatch, tool: str
    ) -> None:
        stage = stages.region(machine)
        with monkeypatch.context() as refusing:
            stages.refuse(refusing, tool)
            stage.run(stage.on.start())
        assert stage.status == ops.WaitingStatus(
            "Juju refused: ERROR lost the connection; it is tried again at the next hook"
        )
        assert not list(stage.state.secrets)
        stage.run(stage.on.update_status())
        assert stage.status == ACTIVE

    @pytest.mark.parametrize("damage", ["key", "certificate", "other"])
    def test_a_damaged_secret_signs_nothing_and_is_not_quoted(
        self, stage: stages.Stage, damage: str
    ) -> None:
        secret = self.secret(stage)
        content = self.content(stage)
        if damage == "other":
            content["key"] = authority.Authority.create(units.utc_now()).content()["key"]
        else:
            content[damage] = "-----BEGIN gobbledegook-----"
        damaged = dataclasses.replace(secret, tracked_content=content, latest_content=content)
        stage.change(secrets=[damaged])
        joined(stage, asking())
        assert isinstance(stage.status, ops.BlockedStatus)
        assert stage.status.message.startswith("the secret 'authority' of this application does")
        assert "BEGIN" not in stage.status.message


@pytest.mark.parametrize(
    ("before", "present", "planned", "chosen"),
    [
        ("", {"region/1"}, 1, "region/1"),
        ("region/1", {"region/1"}, 1, "region/1"),
        ("region/0", {"region/0", "region/1"}, 2, "region/0"),
        # A new leader that has not met the region yet does not take its place.
        ("region/0", {"region/1"}, 2, "region/0"),
        ("region/0", {"region/1", "region/2"}, 2, "region/1"),
        ("region/0", {"region/1"}, 1, "region/1"),
    ],
)
def test_the_region_stays_until_it_is_known_to_be_gone(
    before: str, present: set[str], planned: int, chosen: str
) -> None:
    assert membership.chosen(before, "region/1", present, planned) == chosen
