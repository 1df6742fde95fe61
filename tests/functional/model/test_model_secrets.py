"""Secrets: who reads them, who changes them, and which revision a reader goes on with."""

import json
from collections.abc import Mapping

import pytest

from support import small_charms

PEERS = {"cluster": {"interface": "cluster"}}
PROVIDES = {"racks": {"interface": "images"}}
REQUIRES = {"regions": {"interface": "images"}}
DATABASE = {"database": {"type": "secret"}}
LOGS_SECRET = """
if hook in ("update-status", "secret-changed"):
    status, output, error = tool("secret-get", "--format=json", *ARGUMENTS)
    do("juju-log", "--", f"{hook}: {output or error}".strip())
"""


def logged(cloud: small_charms.Cloud, unit: str) -> list[str]:
    """Return what a unit logged."""
    return [message for _, message in cloud.unit(unit).log]


def again(cloud: small_charms.Cloud) -> None:
    """Let every unit run once more."""
    cloud.update_status()
    cloud.settle()


def test_the_leaders_secret_is_read_by_its_peers_by_label(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "leader-elected":
        pathlib.Path("key").write_text("PEM")
        do("secret-add", "--label", "authority", "--owner", "application", "key#file=key")
    if hook == "start":
        content = ask("secret-get", "--label", "authority")
        do("juju-log", "--", json.dumps([content, tool("secret-ids", "--format=json")[1]]))
    """
    cloud.start("region", body, units=2)
    cloud.settle()
    (id_,) = cloud.world.secrets
    content = {"key": "PEM"}
    assert json.loads(logged(cloud, "region/0")[-1]) == [content, f'["{id_}"]\n']
    assert json.loads(logged(cloud, "region/1")[-1]) == [content, "[]\n"]


def test_only_the_leader_has_the_applications_secret_at_hand(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "leader-elected":
        do("secret-add", "--label", "authority", "--description", "signs", "key=PEM")
    if hook == "start":
        do("juju-log", "--", json.dumps(
            [tool("secret-info-get", "--format=json", "--label", "authority"),
             tool("secret-add", "--owner", "application", "key=PEM")]))
    """
    cloud.start("region", body, units=2)
    cloud.settle()
    first, _ = (secret for secret in cloud.world.secrets.values())
    info, added = json.loads(logged(cloud, "region/0")[-1])
    assert json.loads(info[1]) == {
        first.id: {
            "revision": 1,
            "label": "authority",
            "owner": "application",
            "rotation": "never",
            "description": "signs",
        }
    }
    assert added[0] == 0
    assert json.loads(logged(cloud, "region/1")[-1]) == [
        [1, "", 'ERROR secret "authority" not found\n'],
        [1, "", "ERROR this unit is not the leader\n"],
    ]


def test_a_secret_can_be_read_in_the_hook_that_makes_it(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "install":
        made = do("secret-add", "--owner", "unit", "--label", "mine", "key=value").strip()
        read = [ask("secret-get", made), ask("secret-get", "--label", "mine")]
        do("juju-log", "--", json.dumps(read))
    """
    cloud.start("region", body)
    cloud.settle()
    assert logged(cloud, "region/0") == ['[{"key": "value"}, {"key": "value"}]']


def test_a_reader_goes_on_with_its_revision_until_it_asks_for_the_newest(
    cloud: small_charms.Cloud,
) -> None:
    uri = cloud.add_secret("database", {"url": "one"})
    for option in ("", "--peek", "--refresh"):
        body = LOGS_SECRET.replace("*ARGUMENTS", f"{uri!r}, *{[option] if option else []!r}")
        cloud.start(f"reader{option.replace('-', '')}", body)
        cloud.grant_secret("database", f"reader{option.replace('-', '')}")
    cloud.settle()
    again(cloud)
    cloud.update_secret("database", {"url": "two"})
    cloud.settle()
    again(cloud)
    one, two = '{"url": "one"}', '{"url": "two"}'
    told = [f"update-status: {one}", f"secret-changed: {two}", f"update-status: {two}"]
    assert logged(cloud, "readerpeek/0") == told
    assert logged(cloud, "readerrefresh/0") == told
    assert logged(cloud, "reader/0") == [line.replace(two, one) for line in told]


def test_who_has_not_read_a_secret_is_not_told_of_a_change(cloud: small_charms.Cloud) -> None:
    cloud.start("region", "", config=DATABASE)
    cloud.config("region", database=cloud.add_secret("database", {"url": "one"}))
    cloud.grant_secret("database", "region")
    cloud.settle()
    cloud.update_secret("database", {"url": "two"})
    cloud.settle()
    assert "secret-changed" not in cloud.hooks_of("region/0")


def test_a_secret_is_denied_until_it_is_granted(cloud: small_charms.Cloud) -> None:
    uri = cloud.add_secret("database", {"url": "one"})
    cloud.start("region", LOGS_SECRET.replace("*ARGUMENTS", repr(uri)))
    cloud.settle()
    again(cloud)
    cloud.grant_secret("database", "region")
    again(cloud)
    assert logged(cloud, "region/0") == [
        "update-status: ERROR permission denied",
        'update-status: {"url": "one"}',
    ]
    assert cloud.refusals == []  # A charm in order meets this.


@pytest.mark.parametrize("name", ["secret:d00000000000000000000", "secret://uuid/d0000"])
def test_a_secret_that_is_not_there_is_not_found(cloud: small_charms.Cloud, name: str) -> None:
    cloud.start("region", LOGS_SECRET.replace("*ARGUMENTS", repr(name)))
    cloud.settle()
    again(cloud)
    id_ = name.rpartition("/")[2].removeprefix("secret:")
    assert logged(cloud, "region/0") == [f'update-status: ERROR secret "{id_}" not found']


def test_a_secret_is_granted_over_a_relation_and_ends_with_it(cloud: small_charms.Cloud) -> None:
    gives = """
    if hook == "racks-relation-joined":
        made = do("secret-add", "--label", "token", "key=value").strip()
        do("secret-grant", "--relation", "1", made)
        publish("racks:1", "--app", token=made)
    """
    takes = """
    if hook == "regions-relation-changed" and not env["JUJU_REMOTE_UNIT"]:
        uri = ask("relation-get", "--app", "token", "region")
        do("juju-log", "--", json.dumps(ask("secret-get", uri, "--label", "theirs")))
    if hook == "regions-relation-broken":
        do("juju-log", "--", json.dumps(ask("secret-get", "--label", "theirs")))
    if hook == "update-status":
        do("juju-log", "--", tool("secret-get", "--format=json", "--label", "theirs")[2].strip())
    """
    cloud.start("region", gives, provides=PROVIDES)
    cloud.start("rack", takes, requires=REQUIRES)
    number = cloud.integrate("region", "rack")
    cloud.settle()
    cloud.remove_relation(number)
    cloud.settle()
    again(cloud)
    content = '{"key": "value"}'
    assert logged(cloud, "rack/0") == [content, content, "ERROR permission denied"]


def test_a_new_revision_is_one_only_if_it_differs(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "install":
        do("secret-add", "--owner", "unit", "--label", "mine", "key=one")
    if hook == "update-status":
        (id_,) = ask("secret-ids")
        for value in ("one", "two", "two"):
            do("secret-set", "--owner", "unit", f"secret:{id_}", f"key={value}")
        do("secret-set", id_, "--label", "ours")
    """
    cloud.start("region", body)
    cloud.settle()
    again(cloud)
    (secret,) = cloud.world.secrets.values()
    assert secret.revisions == {1: {"key": "one"}, 2: {"key": "two"}}
    assert secret.label == "ours"


def test_an_owner_removes_a_revision_or_all(cloud: small_charms.Cloud) -> None:
    body = """
    if hook == "install":
        made = do("secret-add", "--owner", "unit", "key=one").strip()
        do("secret-set", made, "key=two")
        do("secret-remove", made, "--revision", "1")
        do("secret-remove", do("secret-add", "--owner", "unit", "key=three").strip())
    """
    cloud.start("region", body)
    cloud.settle()
    (secret,) = cloud.world.secrets.values()
    assert secret.revisions == {2: {"key": "two"}}


def test_a_units_secrets_end_with_it(cloud: small_charms.Cloud) -> None:
    body = 'if hook == "install": do("secret-add", "--owner", "unit", "key=one")'
    cloud.start("region", body, units=2)
    cloud.settle()
    cloud.remove_unit("region/1")
    cloud.settle()
    assert [secret.owner for secret in cloud.world.secrets.values()] == ["region/0"]


WRONG = {
    "secret-add Key=value": 'key "Key" not valid',
    "secret-add ab=value": 'key "ab" not valid',
    "secret-add key": 'key "key" not valid',
    "secret-add key=": "empty secret value not valid",
    "secret-add": "missing secret value",
    "secret-add --owner model key=value": 'secret owner "model" not valid',
    "secret-add --rotate often key=value": 'rotate policy "often" not valid',
    "secret-add --label mine key=value": 'label "mine" already exists',
    "secret-grant --relation 7 MINE": "relation not found",
    "secret-set THEIRS key=value": "permission denied",
    "secret-remove THEIRS": "permission denied",
    "secret-remove MINE --revision 9": "revision 9 of secret",
    "secret-get --format=json MINE --peek --refresh": "but not both",
    "secret-info-get --format=json MINE --label mine": "but not both",
}


@pytest.fixture(scope="module")
def refused(shared_cloud: small_charms.Cloud) -> Mapping[str, str]:
    """Return what a leader with a secret of its own hears that tries each of these."""
    theirs = shared_cloud.add_secret("theirs", {"key": "value"})
    body = f"""
    if hook == "leader-elected":
        mine = do("secret-add", "--label", "mine", "key=value").strip()
        for command in {list(WRONG)!r}:
            words = command.replace("MINE", mine).replace("THEIRS", {theirs!r}).split()
            status, _, error = tool(*words)
            assert status == 1, command
            do("juju-log", "--", error)
    """
    shared_cloud.start("region", body)
    shared_cloud.settle()
    assert len(shared_cloud.refusals) == len(WRONG)
    return dict(zip(WRONG, logged(shared_cloud, "region/0"), strict=True))


@pytest.mark.parametrize("command", WRONG)
def test_what_is_not_right_about_a_secret_is_refused(
    refused: Mapping[str, str], command: str
) -> None:
    assert refused[command].startswith("ERROR ")
    assert WRONG[command] in refused[command]
