"""What the hook tools answer about a unit, and what they refuse."""

import json
import pathlib
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from support import small_charms
from support.model import agents, charms, context, state

DECLARED: dict[str, Any] = {
    "config": {
        "cache-size": {"type": "string", "default": "4G"},
        "count": {"type": "int"},
        "unsigned": {"type": "boolean", "default": False},
        "database": {"type": "secret"},
    },
    "provides": {"racks": {"interface": "images"}},
    "storage": {"store": {"type": "filesystem"}},
    "extra-bindings": {"machines": None},
}


def start(cloud: small_charms.Cloud, body: str, units: int = 1) -> None:
    """Run the body in every ``start`` hook of a charm that declares one of each."""
    cloud.start("region", f"if hook == 'start':\n    {body}", units, **DECLARED)
    cloud.settle()


QUERIES = [
    (("config-get",), '{"cache-size": "4G", "unsigned": false}'),
    (("config-get", "cache-size"), '"4G"'),
    (("config-get", "count"), "null"),
    (("is-leader",), "true"),
    (("relation-ids", "racks"), "[]"),
    (("storage-list",), '["store/0"]'),
    (("storage-list", "store"), '["store/0"]'),
    (
        ("status-get", "--include-data", "--application=false"),
        '{"status": "maintenance", "message": "installing charm software", "status-data": {}}',
    ),
    (
        ("status-get", "--include-data", "--application=true"),
        (
            '{"application-status": {"status": "unknown", "message": "", "status-data": {}, '
            '"units": {"region/0": {"status": "maintenance", '
            '"message": "installing charm software", "status-data": {}}}}}'
        ),
    ),
    (
        ("network-get", "juju-info"),
        (
            '{"bind-addresses": [{"mac-address": "", "interface-name": "eth0", "addresses": '
            '[{"hostname": "", "value": "127.0.0.1", "cidr": "127.0.0.0/24"}]}], '
            '"egress-subnets": ["127.0.0.1/32"], "ingress-addresses": ["127.0.0.1"]}'
        ),
    ),
    (("network-get", "racks", "--ingress-address"), '"127.0.0.1"'),
    (("network-get", "machines", "--bind-address"), '"127.0.0.1"'),
    (("secret-ids",), "[]"),
    (("state-get",), "{}"),
    (("opened-ports",), "[]"),
    (("storage-get", "-s", "store/0"), '{"kind": "filesystem", "location": "%s/store/0"}'),
]


@pytest.fixture(scope="module")
def answers(shared_cloud: small_charms.Cloud) -> Mapping[tuple[str, ...], str]:
    """Return what each query answers in a ``start`` hook."""
    queries = [query for query, _ in QUERIES]
    start(shared_cloud, f"for q in {queries!r}: do('juju-log', '--', json.dumps(ask(*q)))")
    assert shared_cloud.refusals == []
    messages = [message for _, message in shared_cloud.unit("region/0").log]
    return dict(zip(queries, messages, strict=True))


@pytest.mark.parametrize(("query", "expected"), QUERIES)
def test_a_query_answers(
    shared_cloud: small_charms.Cloud,
    answers: Mapping[tuple[str, ...], str],
    query: tuple[str, ...],
    expected: str,
) -> None:
    assert answers[query] == expected.replace("%s", shared_cloud.machine.storage)


WRONG = [
    (["config-get", "--format=json", "cash-size"], 'option "cash-size" is not declared'),
    (["config-get", "--format=yaml"], "--format=json only"),
    (["config-get"], "--format=json only"),
    (["config-get", "--frmat=json"], "option provided but not defined: --frmat"),
    (["config-get", "--format=json", "count", "more"], "unrecognized args: ['more']"),
    (["is-leader", "--format"], "option needs an argument: --format"),
    (["status-set", "--application=maybe", "active"], 'invalid value "maybe"'),
    (["status-set", "--application=False", "error"], 'invalid status "error"'),
    (["status-set", "unknown"], 'invalid status "unknown"'),
    (["status-set"], "invalid args, require <status> [message]"),
    (["relation-ids", "--format=json", "rack"], 'endpoint "rack" is not declared'),
    (["relation-list", "--format=json"], "no relation id specified"),
    (["relation-get", "--format=json", "-r", "racks:7", "-", "a/0"], "relation not found"),
    (["network-get", "--format=json", "world"], 'no network config found for binding "world"'),
    (["storage-list", "--format=json", "cash"], 'storage "cash" is not declared'),
    (["storage-get", "--format=json", "-s", "store/9"], "storage not found"),
    (["storage-get", "--format=json"], "no storage instance specified"),
    (["open-port", "http"], 'invalid port range "http"'),
    (["open-port", "70000/tcp"], 'invalid port range "70000/tcp"'),
    (["open-port", "20-10/tcp"], 'invalid port range "20-10/tcp"'),
    (["open-port", "--endpoints", "racks", "80/tcp"], "for all endpoints only"),
    (["action-get", "--format=json"], "not running an action"),
    (["action-set", "a=1"], "not running an action"),
    (["secret-get", "--format=json"], "require either a secret URI or label"),
    (["relation-set", "--file", "-"], "no relation id specified"),
]


@pytest.fixture(scope="module")
def refused(shared_cloud: small_charms.Cloud) -> Mapping[str, context.Refusal]:
    """Return what the simulator kept of each command that was not right."""
    commands = [command for command, _ in WRONG]
    body = f"""
    for command in {commands!r} * (hook == "start"):
        status, output, error = tool(*command, stdin="{{}}")
        assert (status, output) == (1, "") and error.startswith("ERROR "), command
    """
    shared_cloud.start("wrong", body, **DECLARED)
    shared_cloud.settle()
    assert {(each.unit, each.hook) for each in shared_cloud.refusals} == {("wrong/0", "start")}
    return {" ".join(each.command): each for each in shared_cloud.refusals}


@pytest.mark.parametrize(("command", "why"), WRONG)
def test_what_is_not_right_is_refused_and_kept(
    refused: Mapping[str, context.Refusal], command: list[str], why: str
) -> None:
    assert why in refused[" ".join(command)].message


def test_only_the_leader_speaks_for_the_application(cloud: small_charms.Cloud) -> None:
    start(cloud, "print(tool('status-set', '--application=True', 'active', '--', 'ready'))", 2)
    assert cloud.world.applications["region"].status == state.Status("active", "ready")
    assert [(r.unit, r.message) for r in cloud.refusals] == [
        ("region/1", "this unit is not the leader")
    ]


def test_a_tool_that_is_not_there_is_not_found(cloud: small_charms.Cloud) -> None:
    cloud.start("region", "do('leader-get')")
    with pytest.raises(agents.UnitInError, match="leader-get"):
        cloud.settle()


def test_a_unit_says_its_version_and_status(cloud: small_charms.Cloud) -> None:
    start(
        cloud,
        "do('application-version-set', '--', '1.2'); "
        "do('status-set', '--application=False', 'maintenance', '--', 'syncing'); "
        "do('status-set', '--application=False', 'active')",
    )
    unit = cloud.unit("region/0")
    assert unit.version == "1.2"
    assert unit.statuses == [state.Status("maintenance", "syncing"), state.Status("active")]


def test_ports_open_and_close_when_the_hook_has_ended_well(cloud: small_charms.Cloud) -> None:
    cloud.start(
        "region",
        """
        if hook == "install":
            do("open-port", "5290/tcp"), do("open-port", "80-90/udp"), do("open-port", "icmp")
        if hook == "config-changed":
            do("close-port", "80-90/udp")
        do("juju-log", "--", json.dumps(ask("opened-ports")))
        """,
    )
    cloud.settle()
    messages = [message for _, message in cloud.unit("region/0").log]
    opened = '["5290/tcp", "80-90/udp", "icmp"]'
    assert messages == ["[]", opened, opened, '["5290/tcp", "icmp"]']
    assert cloud.unit("region/0").ports == {"5290/tcp", "icmp"}


def test_a_failed_hook_leaves_only_what_is_seen_at_once(
    cloud: small_charms.Cloud, directory: pathlib.Path
) -> None:
    cure = directory / "cure"
    cloud.start(
        "region",
        f"""
        if hook == "start":
            do("open-port", "5290/tcp")
            do("secret-add", "--owner", "unit", "key=value")
            do("state-set", "--file", "-", stdin='{{"a": "1"}}')
            do("status-set", "active")
            if not pathlib.Path({str(cure)!r}).exists():
                sys.exit(1)
        """,
    )
    with pytest.raises(agents.UnitInError):
        cloud.settle()
    unit = cloud.unit("region/0")
    assert (unit.ports, unit.state, cloud.world.secrets) == (set(), {}, {})
    assert unit.status == state.Status("active")
    cure.touch()
    cloud.resolve("region/0")
    cloud.settle()
    assert (unit.ports, unit.state, len(cloud.world.secrets)) == ({"5290/tcp"}, {"a": "1"}, 1)


def test_a_process_that_outlives_its_hook_is_refused(
    cloud: small_charms.Cloud, directory: pathlib.Path
) -> None:
    start(cloud, "do('juju-log', '--', env['JUJU_CONTEXT_ID'])")
    late = subprocess.run(
        [cloud.machine.shared / "tools" / "is-leader", "--format=json"],
        env={
            "PATH": "/usr/bin:/bin",
            "JUJU_CONTEXT_ID": cloud.unit("region/0").log[-1][1],
            "JUJU_AGENT_SOCKET_ADDRESS": str(cloud.machine.shared / "hook-tools.socket"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (late.returncode, late.stderr) == (1, "ERROR bad request: unknown context\n")
    assert cloud.refusals[-1].message == "no such hook is running"


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("cash_size", "4G", 'unknown option "cash-size"'),
        ("cache_size", 4, 'option "cache-size" expected string, got 4'),
        ("count", "4", "option \"count\" expected int, got '4'"),
        ("count", True, 'option "count" expected int, got True'),
        ("unsigned", "yes", "option \"unsigned\" expected boolean, got 'yes'"),
        ("database", "postgresql://", 'option "database" expected a secret'),
    ],
)
def test_config_is_checked(
    cloud: small_charms.Cloud, option: str, value: object, why: str
) -> None:
    cloud.start("region", "", **DECLARED)
    with pytest.raises(charms.ModelError, match=why.replace("[", r"\[")):
        cloud.config("region", **{option: value})


def test_a_config_is_reset_to_its_default(cloud: small_charms.Cloud) -> None:
    cloud.start("region", "", **DECLARED)
    cloud.config("region", cache_size="8G", count=3)
    cloud.config("region", cache_size=None)
    assert cloud.world.applications["region"].config == {
        "cache-size": "4G",
        "count": 3,
        "unsigned": False,
    }


def test_the_goal_names_all_units_there_will_be(cloud: small_charms.Cloud) -> None:
    cloud.start(
        "region",
        'if hook == "install": do("juju-log", "--", json.dumps(ask("goal-state")))',
        units=2,
        peers={"cluster": {"interface": "cluster"}},
    )
    cloud.settle()
    goal = json.loads(cloud.unit("region/1").log[-1][1])
    assert {name: unit["status"] for name, unit in goal["units"].items()} == {
        "region/0": "maintenance",
        "region/1": "maintenance",
    }
    assert list(goal["relations"]["cluster"]) == ["region/0"]
