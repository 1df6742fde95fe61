"""What the documents say of the charms, against what the charms declare and say."""

import ast
import pathlib
import re
import shlex
from typing import Any

import pytest
import yaml

from support import documents

NAMES = ("README.md", "docs/charms.md", "charms/region/README.md", "charms/rack/README.md")
CHARMS: dict[str, dict[str, Any]] = {
    name: yaml.safe_load(documents.read(f"charms/{name}/charmcraft.yaml"))
    for name in ("region", "rack")
}
COMMANDS = {
    *("add-model", "add-secret", "add-unit", "config", "debug-log", "deploy", "grant-secret"),
    *("integrate", "model-config", "refresh", "remove-relation", "remove-unit", "run", "ssh"),
    *("status", "storage"),
}
"""The commands of Juju 3.6 and 4.0 that we tell of."""
KINDS = {"boolean": bool, "array": list}


def _lines() -> list[str]:
    return sorted(
        {
            line
            for name in NAMES
            for block in documents.blocks(documents.read(name), "sh")
            for line in block.splitlines()
            if line.startswith("juju ")
        }
    )


LINES = _lines()


def _words(command: str) -> list[list[str]]:
    """Return the words behind each line with that command."""
    split = (shlex.split(line)[1:] for line in LINES)
    return [words[1:] for words in split if words[0] == command]


def _charm(application: str) -> dict[str, Any]:
    """Return what the charm of an application, or of a unit of it, declares."""
    return CHARMS[re.split(r"[-/]", application)[0]]


def _values(words: list[str]) -> dict[str, str]:
    return dict(word.split("=", 1) for word in words if "=" in word and not word.startswith("-"))


def test_every_command_is_one_of_juju() -> None:
    assert {shlex.split(line)[1] for line in LINES} == COMMANDS


@pytest.mark.parametrize("words", _words("run"), ids=" ".join)
def test_an_action_that_is_shown_is_there_with_its_parameters(words: list[str]) -> None:
    unit, action, *rest = words
    declared = _charm(unit)["actions"][action].get("params", {})
    for name, value in _values(rest).items():
        assert isinstance(yaml.safe_load(value), KINDS[declared[name]["type"]])


def test_every_action_is_shown() -> None:
    shown = {(words[0].split("/")[0], words[1]) for words in _words("run")}
    assert shown == {(name, each) for name, charm in CHARMS.items() for each in charm["actions"]}


@pytest.mark.parametrize("words", _words("config"), ids=" ".join)
def test_an_option_that_is_shown_is_there(words: list[str]) -> None:
    application, *rest = words
    named = set(_values(rest)) | ({rest[1]} if rest[0] == "--reset" else set())
    assert named
    assert named <= _charm(application)["config"]["options"].keys()


@pytest.mark.parametrize("words", _words("deploy"), ids=" ".join)
def test_what_is_deployed_is_what_make_charms_writes(words: list[str]) -> None:
    if words == ["./bundle.yaml"]:
        assert (documents.ROOT / "bundle.yaml").exists()
        return
    path, application, *options = words
    charm = _charm(application)
    assert pathlib.Path(path).name == f"{charm['name']}_amd64.charm"
    given = dict(zip(options[::2], options[1::2], strict=True))
    assert given.get("--base", charm["base"]) == charm["base"]
    assert given["--storage"].split("=")[0] in charm["storage"]


@pytest.mark.parametrize("words", _words("integrate"), ids=" ".join)
def test_what_is_related_has_the_endpoints(words: list[str]) -> None:
    (region, provided), (rack, required) = (word.split(":") for word in words)
    assert provided in _charm(region)["provides"]
    assert required in _charm(rack)["requires"]


@pytest.mark.parametrize("words", _words("refresh"), ids=" ".join)
def test_an_upgrade_takes_the_charm_of_that_application(words: list[str]) -> None:
    application, option, path = words
    assert option == "--path"
    assert pathlib.Path(path).name.startswith(f"{_charm(application)['name']}_")


def test_a_status_that_is_explained_is_one_that_the_charms_say() -> None:
    sources = [*(documents.ROOT / "charms").glob("common/boot_resources_charms/*.py")]
    sources += (documents.ROOT / "charms").glob("*/src/**/*.py")
    said = "\n".join(_texts(path) for path in sources)
    table = documents.sections(documents.read("docs/charms.md"), 2)["When something is wrong"]
    explained = [documents.code(row[0]) for row in documents.rows(table)]
    assert len(explained) > 5
    for status in explained:
        for part in filter(None, re.split(r" ?…:? ?", status)):
            assert part in said, status


def _texts(path: pathlib.Path) -> str:
    """Return every text in a module, those of formatted ones without what is put in."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return "\n".join(
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


@pytest.mark.parametrize("name", CHARMS)
def test_a_charm_s_own_readme_names_its_storage_and_its_actions(name: str) -> None:
    text = documents.read(f"charms/{name}/README.md")
    for each in (*CHARMS[name]["storage"], *CHARMS[name]["actions"]):
        assert f"`{each}`" in text or f" {each}" in text


def test_no_password_is_shown_on_a_command_line() -> None:
    told = [*LINES, *_texts(documents.ROOT / "charms/region/src/region/orders.py").splitlines()]
    told += _texts(documents.ROOT / "charms/region/src/region/state.py").splitlines()
    secrets = [line for line in told if "-secret " in line and "grant-" not in line]
    assert secrets
    assert [line for line in secrets if "url=" in line or "PASSWORD" in line] == []


def test_a_file_that_a_first_reader_is_told_to_give_was_made_before() -> None:
    assert "@" not in "".join(documents.blocks(documents.read("README.md"), "sh"))


def test_the_selections_that_are_shown_are_selections() -> None:
    (shown,) = documents.blocks(documents.read("docs/charms.md"), "yaml")
    known = {"os", "release", "arches", "subarches", "labels"}
    selections = yaml.safe_load(shown)
    assert all({"os", "release"} <= set(each) <= known for each in selections)
