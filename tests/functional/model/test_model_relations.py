"""Databags: who reads and writes what, and when a change is one."""

import json
import pathlib
from collections.abc import Mapping

import pytest

from support import small_charms
from support.model import agents, charms

PEERS = {"cluster": {"interface": "cluster"}}
PROVIDES = {"racks": {"interface": "images"}}
REQUIRES = {"regions": {"interface": "images", "limit": 1}}
LISTENS = """
if "relation" in hook and not hook.endswith("-created"):
    seen = {"hook": hook, "units": ask("relation-list"), "bag": ask("relation-get")}
    do("juju-log", "--", json.dumps(seen))
"""


def heard(cloud: small_charms.Cloud, unit: str) -> list[dict[str, object]]:
    """Return what each relation hook of a unit saw, whose charm is LISTENS."""
    return [json.loads(message) for _, message in cloud.unit(unit).log]


def logged(cloud: small_charms.Cloud, unit: str) -> list[str]:
    """Return what a unit logged."""
    return [message for _, message in cloud.unit(unit).log]


def test_a_bag_crosses_a_relation(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "racks-relation-created":
        publish("racks:1", address="198.51.100.1")
    """
    cloud.start("region", body, provides=PROVIDES)
    cloud.start("rack", LISTENS, requires=REQUIRES)
    cloud.integrate("region", "rack")
    cloud.settle()
    bag = {
        "address": "198.51.100.1",
        "egress-subnets": "127.0.0.1/32",
        "ingress-address": "127.0.0.1",
        "private-address": "127.0.0.1",
    }
    assert heard(cloud, "rack/0") == [
        {"hook": "regions-relation-joined", "units": ["region/0"], "bag": bag},
        {"hook": "regions-relation-changed", "units": ["region/0"], "bag": bag},
    ]
    assert cloud.refusals == []


def test_juju_4_keeps_no_private_address_in_a_bag(cloud_4: small_charms.Cloud) -> None:
    cloud_4.start("region", "", peers=PEERS)
    cloud_4.settle()
    assert cloud_4.bag(1, "region/0") == {
        "egress-subnets": "127.0.0.1/32",
        "ingress-address": "127.0.0.1",
    }


def test_the_same_content_again_is_no_change(cloud: small_charms.Cloud) -> None:
    body = """
    for relation in ask("relation-ids", "racks"):
        publish(relation, address="198.51.100.1")
        publish(relation, "--app", regions="1")
    """
    cloud.start("region", body, provides=PROVIDES)
    cloud.start("rack", "", requires=REQUIRES)
    cloud.integrate("region", "rack")
    cloud.settle()
    before = len(cloud.hooks_of("rack/0"))
    cloud.update_status()
    cloud.settle()
    assert cloud.hooks_of("rack/0")[before:] == ["update-status"]


def test_an_applications_bag_is_a_change_of_its_own(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "update-status":
        publish("racks:1", "--app", members="[]")
    """
    says = """
    if hook == "regions-relation-changed":
        bag = ask("relation-get", "--app", "-", env["JUJU_REMOTE_APP"])
        do("juju-log", "--", json.dumps([env["JUJU_REMOTE_UNIT"], bag]))
    """
    cloud.start("region", body, provides=PROVIDES)
    cloud.start("rack", says, requires=REQUIRES)
    cloud.integrate("region", "rack")
    cloud.settle()
    cloud.update_status()
    cloud.settle()
    assert logged(cloud, "rack/0")[-1] == '["", {"members": "[]"}]'


def test_an_empty_value_removes_a_key(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "cluster-relation-created":
        publish("cluster:1", a="1", b="2")
    if hook == "start":
        publish("cluster:1", a="")
        do("juju-log", "--", json.dumps(ask("relation-get", "-r", "cluster:1", "b", "region/0")))
    """
    cloud.start("region", body, peers=PEERS)
    cloud.settle()
    assert cloud.bag(1, "region/0").keys() & {"a", "b"} == {"b"}
    assert logged(cloud, "region/0") == ['"2"']


def test_a_unit_reads_what_it_has_just_written(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "cluster-relation-created":
        publish("cluster:1", "--app", a="1")
        bag = ask("relation-get", "-r", "cluster:1", "--app", "-", "region")
        do("juju-log", "--", json.dumps(bag))
    """
    cloud.start("region", body, peers=PEERS)
    cloud.settle()
    assert logged(cloud, "region/0") == ['{"a": "1"}']


def test_nothing_is_published_by_a_hook_that_fails(
    cloud: small_charms.Cloud, directory: pathlib.Path
) -> None:
    cure = directory / "cure"
    body = f"""
    if hook == "racks-relation-changed":
        publish("racks:1", address="198.51.100.1")
        if not pathlib.Path({str(cure)!r}).exists():
            sys.exit(1)
    """
    cloud.start("region", body, provides=PROVIDES)
    cloud.start("rack", "", requires=REQUIRES)
    cloud.integrate("region", "rack")
    with pytest.raises(agents.UnitInError):
        cloud.settle()
    assert "address" not in cloud.bag(1, "region/0")
    cure.touch()
    cloud.resolve("region/0")
    cloud.settle()
    assert cloud.bag(1, "region/0")["address"] == "198.51.100.1"
    assert cloud.hooks_of("rack/0")[-1] == "regions-relation-changed"


ATTEMPTS = {
    "relation-set -r racks:1 --app a=1": "cannot write relation settings",
    "relation-get --format=json -r racks:1 --app - region": "permission denied",
    "relation-get --format=json -r racks:1 --app - other": "permission denied",
    "relation-get --format=json -r racks:1 - rack/7": "permission denied",
    "relation-get --format=json -r racks:1 - region/0": "permission denied",
    "relation-get --format=json -r racks:1 - rack": "expected unit name",
    "relation-get --format=json -r racks:1": "no unit or application specified",
    "relation-get --format=json -r cluster:1 - rack/0": "relation not found",
    "relation-set -r racks:1 --file -": "the value of 'number' is no string",
    "relation-set -r racks:1 a": 'expected "key=value"',
}


@pytest.fixture(scope="module")
def refused(shared_cloud: small_charms.Cloud) -> Mapping[str, str]:
    """Return what a unit hears that does not lead and tries each of these."""
    body = f"""
    for attempt in {list(ATTEMPTS)!r} * (env["JUJU_UNIT_NAME"] == "region/1"):
        if hook == "update-status":
            status, _, error = tool(*attempt.split(), stdin='{{"number": 1}}')
            assert status == 1, attempt
            do("juju-log", "--", error)
    """
    shared_cloud.start("region", body, units=2, provides=PROVIDES)
    shared_cloud.start("rack", "", requires=REQUIRES)
    shared_cloud.integrate("region", "rack")
    shared_cloud.settle()
    shared_cloud.update_status()
    shared_cloud.settle()
    return dict(zip(ATTEMPTS, logged(shared_cloud, "region/1"), strict=True))


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_bag_is_only_for_those_whom_it_is_for(
    shared_cloud: small_charms.Cloud, refused: Mapping[str, str], attempt: str
) -> None:
    assert ATTEMPTS[attempt] in refused[attempt]
    assert attempt in [" ".join(each.command) for each in shared_cloud.refusals]


def test_a_unit_that_has_not_joined_yet_is_not_readable(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "regions-relation-created":
        ask("relation-get", "-r", "regions:1", "-", "region/0")
    """
    cloud.start("region", "", provides=PROVIDES)
    cloud.start("rack", body, requires=REQUIRES)
    cloud.integrate("region", "rack")
    with pytest.raises(agents.UnitInError, match="permission denied"):
        cloud.settle()


def test_a_peer_reads_its_applications_bag(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "leader-elected":
        publish("cluster:1", "--app", authority="PEM")
    if hook == "start":
        bag = ask("relation-get", "-r", "cluster:1", "--app", "-", "region")
        do("juju-log", "--", json.dumps(bag))
    """
    cloud.start("region", body, units=2, peers=PEERS)
    cloud.settle()
    assert logged(cloud, "region/1") == ['{"authority": "PEM"}']
    assert cloud.refusals == []


def test_a_bag_outlives_its_unit_for_those_who_knew_it(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "racks-relation-departed":
        seen = [ask("relation-list"), ask("relation-get", "name", env["JUJU_REMOTE_UNIT"])]
        do("juju-log", "--", json.dumps(seen))
    """
    named = """
    if hook == "regions-relation-created":
        publish("regions:1", name="rack-0")
    """
    cloud.start("region", body, provides=PROVIDES)
    cloud.start("rack", named, requires=REQUIRES)
    cloud.integrate("region", "rack")
    cloud.settle()
    cloud.remove_unit("rack/0")
    cloud.settle()
    assert logged(cloud, "region/0") == ['[[], "rack-0"]']


def test_a_broken_relation_is_no_longer_listed(cloud: small_charms.Cloud) -> None:
    body = 'do("juju-log", "--", json.dumps([hook, ask("relation-ids", "regions")]))'
    cloud.start("region", "", provides=PROVIDES)
    cloud.start("rack", body, requires=REQUIRES)
    number = cloud.integrate("region", "rack")
    cloud.settle()
    cloud.remove_relation(number)
    cloud.settle()
    cloud.update_status()
    cloud.settle()
    assert logged(cloud, "rack/0")[-2:] == [
        '["regions-relation-broken", ["regions:1"]]',
        '["update-status", []]',
    ]


def test_the_other_application_is_known_before_its_units(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "regions-relation-created":
        seen = [ask("relation-list"), ask("relation-list", "--app", "-r", "regions:1")]
        do("juju-log", "--", json.dumps([*seen, ask("relation-model-get", "-r", "regions:1")]))
    """
    cloud.start("region", "", provides=PROVIDES)
    cloud.start("rack", body, requires=REQUIRES)
    cloud.integrate("region", "rack")
    cloud.settle()
    uuid = cloud.world.uuid
    assert logged(cloud, "rack/0") == [f'[[], "region", {{"uuid": "{uuid}"}}]']


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("region:racks", "rack:nothing", 'application "rack" has no "nothing" relation'),
        ("region", "other", 'application "other" not found'),
        ("region:cluster", "rack", "no relation between region:cluster and rack"),
    ],
)
def test_only_what_fits_is_related(
    cloud: small_charms.Cloud, one: str, other: str, why: str
) -> None:
    cloud.start("region", "", provides=PROVIDES, peers=PEERS)
    cloud.start("rack", "", requires=REQUIRES)
    with pytest.raises(charms.ModelError, match=why):
        cloud.integrate(one, other)


def test_a_limit_of_relations_holds(cloud: small_charms.Cloud) -> None:
    cloud.start("region", "", provides=PROVIDES)
    cloud.start("rack", "", requires=REQUIRES)
    cloud.deploy(cloud.world.applications["region"].charm.path, "second", to=["0"])
    cloud.integrate("region", "rack")
    with pytest.raises(charms.ModelError, match=r"rack:regions takes 1 relation\(s\) at most"):
        cloud.integrate("second", "rack")
