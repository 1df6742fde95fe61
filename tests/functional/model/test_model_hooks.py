"""Which hooks run, in which order, and what they are told."""

import json
import pathlib

import pytest

from support import small_charms
from support.model import agents, charms, state

PEERS = {"cluster": {"interface": "cluster"}}
PROVIDES = {"racks": {"interface": "images"}}
REQUIRES = {"regions": {"interface": "images", "limit": 1}}
STORAGE = {"store": {"type": "filesystem"}}
QUIET = ""
TELLS = """
said = {name: value for name, value in env.items() if name.startswith("JUJU_")}
do("juju-log", "--log-level", "DEBUG", "--", json.dumps(said))
"""


def told(cloud: small_charms.Cloud, unit: str) -> list[dict[str, str]]:
    """Return the variables of each hook of a unit whose charm is TELLS."""
    return [json.loads(message) for _, message in cloud.unit(unit).log]


def related(cloud: small_charms.Cloud, body: str = QUIET) -> int:
    """Deploy a region and a rack and relate them; return the relation's number."""
    cloud.start("region", body, provides=PROVIDES)
    cloud.start("rack", body, requires=REQUIRES)
    return cloud.integrate("region:racks", "rack:regions")


def test_a_unit_starts_in_order(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET, peers=PEERS, storage=STORAGE)
    cloud.settle()
    assert cloud.hooks_of("region/0") == [
        "store-storage-attached",
        "install",
        "cluster-relation-created",
        "leader-elected",
        "config-changed",
        "start",
    ]


def test_juju_3_tells_a_unit_that_it_does_not_lead(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET, units=2)
    cloud.settle()
    assert cloud.hooks_of("region/1") == [
        "install",
        "leader-settings-changed",
        "config-changed",
        "start",
    ]


def test_juju_4_does_not(cloud_4: small_charms.Cloud) -> None:
    cloud_4.start("region", QUIET, units=2)
    cloud_4.settle()
    assert cloud_4.hooks_of("region/1") == ["install", "config-changed", "start"]


def test_nothing_runs_twice_without_a_reason(cloud: small_charms.Cloud) -> None:
    related(cloud)
    cloud.settle()
    before = len(cloud.ran)
    cloud.settle()
    assert len(cloud.ran) == before


def test_related_units_join_and_then_see_a_change(cloud: small_charms.Cloud) -> None:
    related(cloud)
    cloud.settle()
    hooks = cloud.hooks_of("rack/0")
    assert hooks.index("regions-relation-created") < hooks.index("start")
    assert hooks[hooks.index("start") + 1 :] == [
        "regions-relation-joined",
        "regions-relation-changed",
    ]


def test_the_environment_is_jujus(cloud: small_charms.Cloud) -> None:
    cloud.world.proxies["http"] = "http://proxy.example.com:3128"
    cloud.start("region", TELLS)
    cloud.settle()
    env = told(cloud, "region/0")[0]
    context = env.pop("JUJU_CONTEXT_ID")
    assert context.startswith("region/0-install-")
    assert env == {
        "JUJU_AGENT_SOCKET_ADDRESS": f"{cloud.machine.shared}/hook-tools.socket",
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_API_ADDRESSES": "192.0.2.1:17070",
        "JUJU_AVAILABILITY_ZONE": "",
        "JUJU_CHARM_DIR": f"{cloud.machine.agents}/unit-region-0/charm",
        "JUJU_CHARM_FTP_PROXY": "",
        "JUJU_CHARM_HTTPS_PROXY": "",
        "JUJU_CHARM_HTTP_PROXY": "http://proxy.example.com:3128",
        "JUJU_CHARM_NO_PROXY": "",
        "JUJU_DISPATCH_PATH": "hooks/install",
        "JUJU_HOOK_NAME": "install",
        "JUJU_MACHINE_ID": "0",
        "JUJU_MODEL_NAME": "images",
        "JUJU_MODEL_UUID": cloud.world.uuid,
        "JUJU_PRINCIPAL_UNIT": "",
        "JUJU_UNIT_NAME": "region/0",
        "JUJU_VERSION": "3.6.14",
    }


def test_a_relations_hooks_say_which_and_with_whom(cloud: small_charms.Cloud) -> None:
    number = related(cloud, TELLS)
    cloud.settle()
    keys = ("JUJU_HOOK_NAME", "JUJU_RELATION_ID", "JUJU_REMOTE_APP", "JUJU_REMOTE_UNIT")
    said = [[env[key] for key in keys] for env in told(cloud, "rack/0") if "JUJU_RELATION" in env]
    assert said == [
        ["regions-relation-created", f"regions:{number}", "region", ""],
        ["regions-relation-joined", f"regions:{number}", "region", "region/0"],
        ["regions-relation-changed", f"regions:{number}", "region", "region/0"],
    ]


def test_a_storage_hook_says_where(cloud: small_charms.Cloud) -> None:
    cloud.start("region", TELLS, storage=STORAGE)
    cloud.settle()
    env = told(cloud, "region/0")[0]
    assert env["JUJU_STORAGE_ID"] == "store/0"
    assert env["JUJU_STORAGE_LOCATION"] == f"{cloud.machine.storage}/store/0"
    assert env["JUJU_STORAGE_KIND"] == "filesystem"
    assert pathlib.Path(env["JUJU_STORAGE_LOCATION"]).is_dir()


def test_config_changed_runs_only_where_config_changed(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET, config={"level": {"type": "string", "default": "info"}})
    cloud.settle()
    cloud.config("region", level="info")
    cloud.settle()
    cloud.config("region", level="debug")
    cloud.settle()
    assert cloud.hooks_of("region/0").count("config-changed") == 2


def test_a_new_address_is_a_change_of_config(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET)
    cloud.settle()
    cloud.machine.address = "127.0.0.2"
    cloud.settle()
    assert cloud.hooks_of("region/0")[-1] == "config-changed"


def test_leadership_moves(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET, units=2)
    cloud.settle()
    cloud.elect("region/1")
    cloud.settle()
    assert cloud.hooks_of("region/1")[-1] == "leader-elected"


def test_another_unit_leads_when_the_leader_goes(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET, units=2)
    cloud.settle()
    cloud.remove_unit("region/0")
    cloud.settle()
    assert cloud.world.applications["region"].leader == "region/1"
    assert cloud.hooks_of("region/1")[-1] == "leader-elected"


def test_update_status_runs_when_asked(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET)
    cloud.settle()
    cloud.update_status()
    cloud.settle()
    assert cloud.hooks_of("region/0")[-1] == "update-status"


def test_a_unit_starts_again_after_a_reboot(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET)
    cloud.settle()
    cloud.rebooted("0")
    cloud.settle()
    assert cloud.hooks_of("region/0")[-2:] == ["start", "start"]


def test_a_unit_leaves_in_order(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET, provides=PROVIDES)
    cloud.start("rack", QUIET, requires=REQUIRES, storage=STORAGE)
    cloud.integrate("region", "rack")
    cloud.settle()
    before = len(cloud.hooks_of("rack/0"))
    cloud.remove_application("rack")
    cloud.settle()
    assert cloud.hooks_of("rack/0")[before:] == [
        "store-storage-detaching",
        "regions-relation-departed",
        "regions-relation-broken",
        "stop",
        "remove",
    ]
    assert cloud.hooks_of("region/0")[-2:] == ["racks-relation-departed", "racks-relation-broken"]
    assert "rack" not in cloud.world.applications
    assert not cloud.world.relations
    assert pathlib.Path(f"{cloud.machine.storage}/store/0").is_dir()
    assert not pathlib.Path(f"{cloud.machine.agents}/unit-rack-0").exists()


@pytest.mark.parametrize(
    ("leaves", "region_sees", "rack_sees"),
    [
        ("unit", "rack/0", "rack/0"),
        ("relation", "rack/0", "region/0"),
    ],
)
def test_a_departure_says_who_leaves(
    cloud: small_charms.Cloud, leaves: str, region_sees: str, rack_sees: str
) -> None:
    number = related(cloud, TELLS)
    cloud.settle()
    rack_log = cloud.unit("rack/0").log
    if leaves == "unit":
        cloud.remove_unit("rack/0")
    else:
        cloud.remove_relation(number)
    cloud.settle()
    departed = [json.loads(message) for _, message in rack_log]
    (of_rack,) = [env for env in departed if env["JUJU_HOOK_NAME"].endswith("-departed")]
    (of_region,) = [
        env for env in told(cloud, "region/0") if env["JUJU_HOOK_NAME"].endswith("-departed")
    ]
    assert of_rack["JUJU_DEPARTING_UNIT"] == rack_sees
    assert of_region["JUJU_DEPARTING_UNIT"] == region_sees


def test_peers_depart_but_their_relation_does_not_break(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET, units=2, peers=PEERS)
    cloud.settle()
    cloud.remove_unit("region/1")
    cloud.settle()
    assert cloud.hooks_of("region/1")[-3:] == ["cluster-relation-departed", "stop", "remove"]
    assert cloud.hooks_of("region/0")[-1] == "cluster-relation-departed"


def test_a_failed_hook_puts_the_unit_in_error_until_it_is_resolved(
    cloud: small_charms.Cloud, directory: pathlib.Path
) -> None:
    cure = directory / "cure"
    cloud.start(
        "region",
        f"""
        if hook == "config-changed" and not pathlib.Path({str(cure)!r}).exists():
            do("juju-log", "--log-level", "ERROR", "--", "the disk is full")
            sys.exit("a traceback")
        """,
    )
    with pytest.raises(agents.UnitInError, match=r"(?s)region/0 config-changed.*disk.*traceback"):
        cloud.settle()
    assert cloud.status("region/0") == state.Status("error", 'hook failed: "config-changed"')
    with pytest.raises(agents.UnitInError):
        cloud.settle()
    cure.touch()
    cloud.resolve("region/0")
    cloud.settle()
    assert cloud.hooks_of("region/0")[-3:] == ["config-changed", "config-changed", "start"]


def test_the_other_units_go_on_beside_a_failed_one(cloud: small_charms.Cloud) -> None:
    cloud.start("broken", "sys.exit(1)")
    cloud.start("region", QUIET)
    with pytest.raises(agents.UnitInError):
        cloud.settle()
    assert cloud.hooks_of("region/0")[-1] == "start"


def test_a_loop_is_named_with_what_changes(cloud: small_charms.Cloud) -> None:
    cloud.start(
        "region",
        """
        if "relation" in hook:
            relation = ask("relation-ids", "cluster")[0]
            mine = ask("relation-get", "-r", relation, "-", env["JUJU_UNIT_NAME"])
            publish(relation, count=str(int(mine.get("count", 0)) + 1))
        """,
        units=2,
        peers=PEERS,
    )
    with pytest.raises(agents.DoesNotSettle, match=r"(?s)cluster-relation-changed.*count"):
        cloud.settle(limit=20)


def test_a_refresh_replaces_the_charm_and_keeps_what_it_made(cloud: small_charms.Cloud) -> None:
    cloud.start(
        "region",
        'pathlib.Path(".unit-state.db").touch()',
        files={"src/old.py": "", "src/both.py": "before"},
        config={"gone": {"type": "string"}},
    )
    cloud.config("region", gone="value")
    cloud.settle()
    newer = cloud.pack("region", QUIET, files={"src/new.py": "", "src/both.py": "after"})
    cloud.refresh("region", newer)
    cloud.settle()
    charm = pathlib.Path(cloud.unit("region/0").agent_directory) / "charm"
    assert {path.name for path in (charm / "src").iterdir()} == {"new.py", "both.py"}
    assert (charm / "src/both.py").read_text() == "after"
    assert (charm / ".unit-state.db").exists()
    assert cloud.world.applications["region"].config == {}


def test_a_refresh_is_followed_by_config_changed_though_nothing_changed(
    cloud: small_charms.Cloud,
) -> None:
    cloud.start("region", QUIET)
    cloud.settle()
    cloud.refresh("region", cloud.world.applications["region"].charm.path)
    cloud.settle()
    assert cloud.hooks_of("region/0")[-2:] == ["upgrade-charm", "config-changed"]


def test_another_charm_is_no_refresh(cloud: small_charms.Cloud) -> None:
    cloud.start("region", QUIET)
    with pytest.raises(charms.ModelError, match="another charm"):
        cloud.refresh("region", cloud.pack("rack", QUIET))


def test_a_hook_that_hangs_is_ended(cloud: small_charms.Cloud) -> None:
    cloud.machine.patience = 0.5
    cloud.start("region", "import time; time.sleep(600)")
    with pytest.raises(agents.UnitInError, match=r"killed after 0\.5 s"):
        cloud.settle()
