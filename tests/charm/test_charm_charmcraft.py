"""Each ``charmcraft.yaml`` against the code that it declares, and what a charm is packed from."""

import ast
import importlib.metadata
import os
import pathlib
import re
import sys
import tomllib
import types
import xml.etree.ElementTree
from typing import Any

import ops
import pytest
import yaml

from boot_resources import units
from boot_resources.settings import rack as rack_settings
from boot_resources.settings import region as region_settings
from boot_resources_charms import relations
from rack import state as rack_state
from region import orders as region_orders
from region import state as region_state

ROOT = pathlib.Path(__file__).parents[2]
STATES: dict[str, types.ModuleType] = {"region": region_state, "rack": rack_state}
EVERY_CHARM = pytest.mark.parametrize("name", STATES)
KINDS = {
    str(bool): "boolean",
    str(list[str]): "array",
    str(ops.Secret | None): "secret",
}
"""What Juju calls the kinds of value that the code reads; all others are strings."""
SHARED = ("LICENSE", "README.md", "icon.svg", "version")


def declared(name: str) -> dict[str, Any]:
    """Return what a charm declares."""
    found: dict[str, Any] = yaml.safe_load((folder(name) / "charmcraft.yaml").read_text())
    return found


def folder(name: str) -> pathlib.Path:
    return ROOT / "charms" / name


def defaults(name: str) -> dict[str, Any]:
    """Return the options with their defaults, under the names that the code has for them."""
    options = declared(name)["config"]["options"]
    return {
        option.replace("-", "_"): each["default"]
        for option, each in options.items()
        if "default" in each
    }


@EVERY_CHARM
def test_a_charm_is_for_both_architectures_of_noble_and_for_juju_3_6_on(name: str) -> None:
    charm = declared(name)
    assert charm["name"] == f"boot-resources-{name}"
    assert charm["base"] == "ubuntu@24.04"
    assert set(charm["platforms"]) == {"amd64", "arm64"}
    assert charm["assumes"] == ["juju >= 3.6"]


@EVERY_CHARM
def test_every_option_is_read_and_no_other(name: str) -> None:
    fields = STATES[name].Config.model_fields
    options = declared(name)["config"]["options"]
    assert {option.replace("-", "_") for option in options} == set(fields)
    for option, each in options.items():
        annotation = fields[option.replace("-", "_")].annotation
        assert each["type"] == KINDS.get(str(annotation), "string")


@EVERY_CHARM
def test_the_defaults_of_the_options_can_be_used(name: str) -> None:
    assert STATES[name].Config.model_validate(defaults(name))


def test_the_defaults_of_a_region_are_those_of_the_engine() -> None:
    config = region_state.Config.model_validate(defaults("region"))
    assert config.source_url == region_settings.SEED_SOURCE
    assert config.sync_interval == region_settings.Download().sync_interval
    assert config.cache_size == rack_settings.Cache().size == 4 * units.GIB
    assert config.log_level == region_settings.RegionSettings.model_fields["log_level"].default
    (selection,) = config.selections
    assert (selection.os, selection.release, selection.arches) == ("ubuntu", "noble", ("amd64",))


def test_a_rack_leaves_its_cache_s_size_to_the_regions_unless_told() -> None:
    assert rack_state.Config.model_validate(defaults("rack")).cache_size is None


@EVERY_CHARM
def test_every_action_is_listened_to_and_refuses_what_it_does_not_know(name: str) -> None:
    actions = declared(name)["actions"]
    source = (folder(name) / "src/charm.py").read_text()
    listened = re.findall(r"self\.on\.(\w+)_action\b", source)
    assert sorted(listened) == sorted(action.replace("-", "_") for action in actions)
    assert all(action["additionalProperties"] is False for action in actions.values())


def test_the_parameters_of_migrate_images_are_the_ones_that_are_read() -> None:
    params = declared("region")["actions"]["migrate-images"]["params"]
    fields = region_orders.MigrateParams.model_fields
    assert {param.replace("-", "_") for param in params} == set(fields)
    for param, each in params.items():
        field = fields[param.replace("-", "_")]
        assert (each["type"], each["default"]) == (KINDS[str(field.annotation)], field.default)


@EVERY_CHARM
def test_no_other_action_takes_parameters(name: str) -> None:
    actions = declared(name)["actions"]
    assert {each for each in actions if "params" in actions[each]} <= {"migrate-images"}


def test_the_endpoints_are_the_ones_that_the_code_names() -> None:
    region, rack = declared("region"), declared("rack")
    assert set(region["peers"]) == {relations.PEERS}
    assert set(region["provides"]) == set(rack["requires"]) == {relations.PLANE}
    assert region["provides"][relations.PLANE]["interface"] == "boot_resources"
    assert rack["requires"][relations.PLANE]["interface"] == "boot_resources"
    assert rack["requires"][relations.PLANE]["limit"] == 1
    assert region["peers"][relations.PEERS]["interface"] == "boot_resources_peers"


@EVERY_CHARM
def test_the_storage_is_the_one_that_the_code_names(name: str) -> None:
    (storage,) = declared(name)["storage"].items()
    assert storage[0] == STATES[name].STORAGE
    assert storage[1]["type"] == "filesystem"


@EVERY_CHARM
def test_what_a_charm_carries_beside_its_code_is_there(name: str) -> None:
    charm = declared(name)
    assert tuple(charm["parts"]["files"]["stage"]) == SHARED
    assert (folder(name) / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    icon = xml.etree.ElementTree.parse(folder(name) / "icon.svg").getroot()
    assert (icon.get("width"), icon.get("height")) == ("100", "100")
    assert os.access(folder(name) / "src/charm.py", os.X_OK)


@EVERY_CHARM
def test_a_recipe_takes_the_engine_and_the_shared_package_from_this_repository(name: str) -> None:
    part = declared(name)["parts"]["charm"]
    assert (folder(name) / part["source"]).resolve() == ROOT
    assert part["source-subdir"] == f"charms/{name}"
    sources = project(folder(name))["tool"]["uv"]["sources"]
    assert {source["path"] for source in sources.values()} == {"../../lib", "../common"}


def test_both_recipes_differ_in_nothing_but_the_name() -> None:
    region, rack = (declared(name)["parts"] for name in ("region", "rack"))
    region["charm"]["source-subdir"] = rack["charm"]["source-subdir"]
    assert region == rack


# What a charm is packed from


def project(path: pathlib.Path) -> dict[str, Any]:
    return tomllib.loads((path / "pyproject.toml").read_text())


def locked(path: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Return the packages of a lock file."""
    packages = tomllib.loads((path / "uv.lock").read_text())["package"]
    return {package["name"]: package for package in packages}


@EVERY_CHARM
def test_a_charm_brings_the_versions_that_the_tests_run_with(name: str) -> None:
    ours, theirs = locked(ROOT), locked(folder(name))
    both = ours.keys() & theirs.keys()
    assert {"ops", "boot-resources", "aiohttp"} <= both
    assert {each: theirs[each]["version"] for each in both} == {
        each: ours[each]["version"] for each in both
    }
    assert theirs.keys() - ours.keys() == {f"boot-resources-{name}-charm"}


@EVERY_CHARM
def test_a_lock_file_is_of_what_the_projects_say(name: str) -> None:
    for package, path in {
        f"boot-resources-{name}-charm": folder(name),
        "boot-resources-charms": ROOT / "charms/common",
        "boot-resources": ROOT / "lib",
    }.items():
        recorded = locked(folder(name))[package]["metadata"]["requires-dist"]
        said = project(path)["project"]
        extras = said.get("optional-dependencies", {})
        wanted = [*said["dependencies"], *(each for extra in extras.values() for each in extra)]
        assert sorted(map(spelt, recorded)) == sorted(re.sub(r" ", "", each) for each in wanted)


def spelt(requirement: dict[str, Any]) -> str:
    """Return a requirement of a lock file as a project writes it."""
    extras = ",".join(requirement.get("extras", ()))
    named = requirement["name"] + (f"[{extras}]" if extras else "")
    return f"{named}{requirement.get('specifier', '')}"


def test_a_rack_brings_no_database_and_no_gpg() -> None:
    unwanted = {"alembic", "psycopg", "psycopg-binary", "python-gnupg", "sqlalchemy"}
    assert unwanted & locked(folder("rack")).keys() == set()
    assert unwanted <= locked(folder("region")).keys()


@pytest.mark.parametrize(
    ("place", "package"), [("common", "boot_resources_charms"), ("region",) * 2, ("rack",) * 2]
)
def test_all_that_is_imported_is_a_dependency_by_name(place: str, package: str) -> None:
    dependencies = project(folder(place))["project"]["dependencies"]
    named = {re.split(r"[\[<>=]", each)[0] for each in dependencies}
    distributions = importlib.metadata.packages_distributions()
    for module in imported(folder(place)) - {package} - set(sys.stdlib_module_names):
        # What is installed in place does not say which modules it has.
        owners = distributions.get(module, [module.replace("_", "-")])
        assert {each.lower() for each in owners} & named, module


def imported(path: pathlib.Path) -> set[str]:
    """Return the first part of the name of every module that is imported below a folder."""
    found: set[str] = set()
    for source in path.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
    return found
