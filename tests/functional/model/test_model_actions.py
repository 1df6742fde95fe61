"""Actions: their parameters, log, results and failures."""

import pytest

from support import small_charms
from support.model import charms, state

ACTIONS = {
    "migrate": {
        "params": {
            "check": {"type": "boolean", "default": False},
            "accept-lost": {"type": "array", "items": {"type": "string"}},
            "mode": {"type": "string", "enum": ["fast", "sure"]},
        },
        "required": ["mode"],
        "additionalProperties": False,
    },
    "open": {},
}
WORKS = """
if env.get("JUJU_ACTION_NAME"):
    do("action-log", "--", "begun")
    do("status-set", "--application=False", "maintenance", "--", "migrating")
    do("action-set", "given=" + json.dumps(ask("action-get")), "moved.count=3", "moved.bytes=9")
    do("open-port", "80/tcp")
    do("status-set", "--application=False", "active")
"""


def started(cloud: small_charms.Cloud, body: str) -> None:
    """Start a unit that runs the body in every hook and action."""
    cloud.start("region", body, actions=ACTIONS)
    cloud.settle()


def test_an_action_runs_and_says_what_it_did(cloud: small_charms.Cloud) -> None:
    started(cloud, WORKS)
    action = cloud.run("region/0", "migrate", mode="sure", accept_lost=["one"])
    assert action.log == ["begun"]
    assert action.results == {
        "given": '{"check": false, "mode": "sure", "accept-lost": ["one"]}',
        "moved": {"count": "3", "bytes": "9"},
    }
    assert (action.failed, action.message) == (False, "")
    unit = cloud.unit("region/0")
    assert unit.ports == {"80/tcp"}
    assert unit.statuses[-2:] == [state.Status("maintenance", "migrating"), state.Status("active")]


def test_an_action_sees_its_own_environment(cloud: small_charms.Cloud) -> None:
    names = ("JUJU_HOOK_NAME", "JUJU_DISPATCH_PATH", "JUJU_ACTION_NAME", "JUJU_ACTION_TAG")
    started(
        cloud,
        f"""
        if "JUJU_ACTION_UUID" in env:
            said = [env[name] for name in {names!r}]
            do("action-set", "env=" + " ".join([*said, env["JUJU_ACTION_UUID"]]))
        """,
    )
    action = cloud.run("region/0", "open")
    assert action.results == {"env": " actions/open open action-1 1"}


def test_one_parameter_is_got_by_its_name(cloud: small_charms.Cloud) -> None:
    started(
        cloud,
        'if "JUJU_ACTION_NAME" in env: do("action-set", f"a={ask(\'action-get\', \'mode\')}")',
    )
    assert cloud.run("region/0", "migrate", mode="fast").results == {"a": "fast"}


def test_an_action_that_fails_keeps_what_it_said(cloud: small_charms.Cloud) -> None:
    started(
        cloud,
        """
        if "JUJU_ACTION_NAME" in env:
            do("action-set", "left=2")
            do("action-fail", "--", "two images are missing")
        """,
    )
    action = cloud.run("region/0", "open")
    assert (action.failed, action.message) == (True, "two images are missing")
    assert action.results == {"left": "2"}


def test_an_action_whose_process_fails_does_not_put_the_unit_in_error(
    cloud: small_charms.Cloud,
) -> None:
    started(
        cloud,
        """
        if "JUJU_ACTION_NAME" in env:
            do("open-port", "80/tcp")
            sys.exit("a traceback")
        """,
    )
    action = cloud.run("region/0", "open")
    assert action.failed
    assert action.message == "exit status 1\na traceback\n"
    assert cloud.unit("region/0").ports == set()
    cloud.settle()


@pytest.mark.parametrize(
    ("action", "parameters", "why"),
    [
        ("move", {}, 'action "move" not defined'),
        ("migrate", {}, 'parameter "mode" is required'),
        ("migrate", {"mode": "slow"}, 'parameter "mode" must be one of'),
        ("migrate", {"mode": "fast", "check": "yes"}, 'parameter "check" must be of type boolean'),
        ("migrate", {"mode": "fast", "accept_lost": "all"}, "must be of type array"),
        ("migrate", {"mode": "fast", "accept_lost": [1]}, "must be of type string"),
        ("migrate", {"mode": "fast", "finish": True}, 'property "finish" is not allowed'),
    ],
)
def test_parameters_are_checked(
    cloud: small_charms.Cloud, action: str, parameters: dict[str, object], why: str
) -> None:
    cloud.start("region", "", actions=ACTIONS)
    cloud.unit("region/0").installed = True
    with pytest.raises(charms.ModelError, match=why):
        cloud.run("region/0", action, **parameters)


def test_juju_3_takes_a_parameter_that_is_not_declared(cloud: small_charms.Cloud) -> None:
    started(cloud, 'if "JUJU_ACTION_NAME" in env: do("action-set", f"a={ask(\'action-get\')}")')
    assert cloud.run("region/0", "open", extra=1).results == {"a": "{'extra': 1}"}


def test_juju_4_does_not(cloud_4: small_charms.Cloud) -> None:
    started(cloud_4, "")
    with pytest.raises(charms.ModelError, match='property "extra" is not allowed'):
        cloud_4.run("region/0", "open", extra=1)


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("Count=3", 'key "Count" must start and end with lowercase'),
        ("a..b=3", 'key "" must start and end with lowercase'),
        ("stdout=3", 'cannot set reserved action key "stdout"'),
        ("count", 'expected "key=value"'),
    ],
)
def test_results_have_names_that_are_allowed(
    cloud: small_charms.Cloud, pair: str, why: str
) -> None:
    started(cloud, f'if "JUJU_ACTION_NAME" in env: do("action-set", {pair!r})')
    action = cloud.run("region/0", "open")
    assert why in action.message
    assert [why in refusal.message for refusal in cloud.refusals] == [True]
