"""docs/commands.md, and every command line that a document shows, against the command itself."""

import dataclasses
import re
import shlex
from collections.abc import Iterator

import click
import pytest

from boot_resources import errors
from boot_resources.cli import main
from boot_resources.demo import report
from support import documents

TEXT = documents.read("docs/commands.md")
SECTIONS = documents.sections(TEXT, 3)


def _commands(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield name, command
        return
    context = click.Context(command)
    for word in command.list_commands(context):
        inner = command.get_command(context, word)
        assert inner is not None
        yield from _commands(inner, f"{name} {word}".strip())


COMMANDS = dict(_commands(main.command))
EVERY_COMMAND = pytest.mark.parametrize("name", COMMANDS)


def _options(name: str) -> set[str]:
    return {
        option
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }


def _synopsis(name: str) -> str:
    return documents.blocks(SECTIONS[name], "text")[0].strip()


def test_every_command_is_documented_and_no_other() -> None:
    assert set(SECTIONS) == set(COMMANDS)


@EVERY_COMMAND
def test_the_synopsis_of_a_command_names_its_options_and_no_other(name: str) -> None:
    assert _synopsis(name).startswith(f"boot-resources {name}")
    assert set(re.findall(r"--[a-z-]+", _synopsis(name))) == _options(name)


@EVERY_COMMAND
def test_the_synopsis_of_a_command_names_its_arguments(name: str) -> None:
    words = _synopsis(name).removeprefix(f"boot-resources {name}")
    words = re.sub(r"--[a-z-]+( [A-Z/]+)?", "", words)
    arguments = [p for p in COMMANDS[name].params if isinstance(p, click.Argument)]
    assert len(re.findall(r"[A-Z]+", words)) == len(arguments)


@EVERY_COMMAND
def test_every_option_of_a_command_is_explained(name: str) -> None:
    common = {"--settings", "--json"}
    explained = {
        documents.code(row[0]).split()[0] for row in documents.rows(SECTIONS[name]) if row[0]
    }
    assert {each for each in explained if each.startswith("--")} == _options(name) - common


@EVERY_COMMAND
def test_a_default_that_is_documented_is_the_command_s_own(name: str) -> None:
    explained = {
        documents.code(row[0]).split()[0]: row[1] for row in documents.rows(SECTIONS[name])
    }
    for parameter in COMMANDS[name].params:
        if getattr(parameter, "show_default", False) and parameter.opts[0] in explained:
            assert str(parameter.default) in explained[parameter.opts[0]]


def test_every_exit_status_is_documented() -> None:
    chapter = documents.sections(TEXT, 2)["Exit statuses"]
    documented = {int(row[0]) for row in documents.rows(chapter)}
    known = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert documented == known | {130}


def test_every_field_of_the_demonstration_s_report_is_documented() -> None:
    for field in dataclasses.fields(report.Report):
        assert f"`{field.name}`" in SECTIONS["demo"]


def _command_lines() -> list[str]:
    return [
        line.strip()
        for name in documents.ALL
        for block in documents.blocks(documents.read(name), "sh")
        for line in block.splitlines()
        if line.startswith("boot-resources ")
    ]


@pytest.mark.parametrize("line", sorted(set(_command_lines())))
def test_a_command_line_that_is_shown_is_understood(line: str) -> None:
    words = shlex.split(line)[1:]
    name = next(name for name in COMMANDS if words[: len(name.split())] == name.split())
    command = COMMANDS[name]
    parser = command.make_parser(click.Context(command))
    _, left, _ = parser.parse_args(words[len(name.split()) :])
    assert not left
