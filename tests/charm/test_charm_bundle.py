"""``bundle.yaml`` against both charms; and that the check finds what it is for."""

import copy
import pathlib
from typing import Any

import pytest
import yaml

from support import bundles

ROOT = pathlib.Path(__file__).parents[2]
BUNDLE: dict[str, Any] = yaml.safe_load((ROOT / "bundle.yaml").read_text())
CHARMS: dict[str, Any] = {
    name: yaml.safe_load((ROOT / f"charms/{name}/charmcraft.yaml").read_text())
    for name in ("region", "rack")
}


def test_juju_would_deploy_the_bundle() -> None:
    assert bundles.problems(BUNDLE, CHARMS) == []


@pytest.mark.parametrize("name", CHARMS)
def test_an_application_takes_the_file_that_make_charms_writes(name: str) -> None:
    charm, application = CHARMS[name], BUNDLE["applications"][name]
    key, _, architecture = application["constraints"].partition("=")
    assert key == "arch"
    assert architecture in charm["platforms"]
    assert application["charm"] == f"./dist/{charm['name']}_{architecture}.charm"


def test_the_bundle_has_one_region_with_one_rack() -> None:
    applications = BUNDLE["applications"]
    assert {name: each["num_units"] for name, each in applications.items()} == {
        "region": 1,
        "rack": 1,
    }
    assert BUNDLE["relations"] == [["region:boot-resources", "rack:boot-resources"]]


@pytest.mark.parametrize("name", CHARMS)
def test_every_storage_of_a_charm_is_given_its_minimum_at_least(name: str) -> None:
    given = BUNDLE["applications"][name]["storage"]
    for storage, declared in CHARMS[name]["storage"].items():
        assert int(given[storage].rstrip("G")) >= int(declared["minimum-size"].rstrip("G"))


RACK = ("applications", "rack")
FAULTS: dict[str, tuple[tuple[Any, ...], object]] = {
    "bundle: unknown key series": (("series",), "noble"),
    "bundle: noble is not a base": (("default-base",), "noble"),
    "bundle: it has no applications": (("applications",), {}),
    "machine 0: no placement refers to it": (("machines",), {"0": None}),
    "machine one: the name is not a number": (("machines",), {"one": {}}),
    "machine 0: unknown key series": (("machines",), {"0": {"series": "noble"}}),
    "machine 0: debian@12 is not a base": (("machines",), {"0": {"base": "debian@12"}}),
    "machine 0: constraints 'much' are": (("machines",), {"0": {"constraints": "much"}}),
    "application rack-0: the name is not valid": (("applications", "rack-0"), {"charm": "./x"}),
    "application rack: it has no charm": ((*RACK, "charm"), ""),
    "application rack: unknown key units": ((*RACK, "units"), 1),
    "application rack: jammy is not a base": ((*RACK, "base"), "jammy"),
    "application rack: the charm is for ubuntu@24.04": ((*RACK, "base"), "ubuntu@22.04/stable"),
    "application rack: constraints 'arch' are not": ((*RACK, "constraints"), "arch"),
    "application rack: its charm has no option size": ((*RACK, "options"), {"size": "4G"}),
    "application rack: option cache-size is a string, not 4": (
        (*RACK, "options"),
        {"cache-size": 4},
    ),
    "application region: option source-allow-unsigned is a boolean, not 'no'": (
        ("applications", "region", "options"),
        {"source-allow-unsigned": "no"},
    ),
    "application region: option migration-database is a secret": (
        ("applications", "region", "options"),
        {"migration-database": "postgresql://maas"},
    ),
    "application rack: its charm has no endpoint machines": (
        (*RACK, "bindings"),
        {"machines": "x"},
    ),
    "application rack: its charm has no storage images": ((*RACK, "storage"), {"images": "4G"}),
    "application rack: storage cache is not": ((*RACK, "storage"), {"cache": "much room"}),
    "application rack: it wants the cloud's credentials": ((*RACK, "trust"), True),
    "application rack: num_units is not a count": ((*RACK, "num_units"), -1),
    "application rack: more placements than units": ((*RACK, "to"), ["new", "new"]),
    "application rack: a placement is not": ((*RACK, "to"), ["lxc:0"]),
    "application rack: it is placed on machine 0": ((*RACK, "to"), ["lxd:0"]),
    "application rack: it is placed with application maas": ((*RACK, "to"), ["maas"]),
    "application rack: it is placed with a unit that region": ((*RACK, "to"), ["lxd:region/1"]),
    "relation ['region:boot-resources']: it has not two ends": (
        ("relations", 0),
        ["region:boot-resources"],
    ),
    "relation ['region:boot-resources', 'shelf:x']: application shelf": (
        ("relations", 0),
        ["region:boot-resources", "shelf:x"],
    ),
    "relation ['rack:boot-resources', 'rack:x']: it relates an application to itself": (
        ("relations", 0),
        ["rack:boot-resources", "rack:x"],
    ),
    "relation ['rack:boot-resources', 'region:boot-resources']: it is there twice": (
        ("relations",),
        [
            ["region:boot-resources", "rack:boot-resources"],
            ["rack:boot-resources", "region:boot-resources"],
        ],
    ),
    "relation ['region:images', 'rack:boot-resources']: the charm of region has no": (
        ("relations", 0),
        ["region:images", "rack:boot-resources"],
    ),
    "relation ['region:region-peers', 'rack:boot-resources']: one end must provide": (
        ("relations", 0),
        ["region:region-peers", "rack:boot-resources"],
    ),
}


@pytest.mark.parametrize("problem", FAULTS)
def test_a_fault_in_the_bundle_is_found(problem: str) -> None:
    path, value = FAULTS[problem]
    spoilt = _with(path, value)
    assert any(found.startswith(problem) for found in bundles.problems(spoilt, CHARMS))


def test_interfaces_that_differ_are_found() -> None:
    charms = copy.deepcopy(CHARMS)
    charms["rack"]["requires"]["boot-resources"]["interface"] = "boot_images"
    (problem,) = bundles.problems(BUNDLE, charms)
    assert problem.endswith("interfaces boot_resources and boot_images differ")


def test_what_the_bundle_might_also_say_is_accepted() -> None:
    richer = copy.deepcopy(BUNDLE)
    richer["machines"] = {"0": {"base": "ubuntu@24.04", "constraints": "mem=4G cores=2"}}
    richer["applications"]["region"] |= {
        "bindings": {"": "alpha", "boot-resources": "racks"},
        "expose": True,
        "options": {"source-allow-unsigned": True, "migration-database": "secret:9m4e2mr0ui3e8a"},
        "storage": {"image-storage": "ebs,1,100G"},
        "to": ["0"],
    }
    richer["applications"]["rack"]["to"] = ["lxd:region/0"]
    assert bundles.problems(richer, CHARMS) == []


def _with(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    """Return the bundle with another value at a path of keys."""
    spoilt = copy.deepcopy(BUNDLE)
    place: Any = spoilt
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return spoilt
