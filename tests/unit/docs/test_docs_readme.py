"""The README and what all documents share: targets, links, names of rooms, the closing table."""

import dataclasses
import itertools
import pathlib
import re
from typing import Any

import pytest

import boot_resources
from boot_resources.demo import report
from support import documents

README = documents.read("README.md")


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    (commands,) = documents.blocks(documents.sections(README, 2)["See it run"], "sh")
    targets = [line.split() for line in commands.splitlines()]
    assert targets == [["make", "demo"], ["make", "test"]]
    makefile = documents.read("Makefile")
    for _, target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_closing_table_is_the_one_that_the_demonstration_prints() -> None:
    counted: Any = dict.fromkeys((field.name for field in dataclasses.fields(report.Report)), 1)
    made = report.Report(**counted | {"regions_detail": (), "disagreements": ()})
    table = next(block for block in documents.blocks(README, "text") if "hit ratio" in block)
    shown = [re.split(r"  +", line, maxsplit=1)[0] for line in table.splitlines()]
    assert shown == [name for name, _ in made.rows()]


def test_every_room_of_the_engine_is_named_and_no_other() -> None:
    chapter = documents.sections(README, 2)["Where things are"]
    rows = (re.findall(r"`(\w+)`", row[0]) for row in documents.rows(chapter))
    package = pathlib.Path(boot_resources.__file__).parent
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(itertools.chain.from_iterable(rows)) == rooms


@pytest.mark.parametrize("name", documents.ALL)
def test_a_link_to_another_file_leads_there(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", documents.read(name))
    folder = (documents.ROOT / name).parent
    assert [link for link in links if not (folder / link).exists()] == []


@pytest.mark.parametrize("name", documents.ALL)
def test_a_document_is_linked_from_the_readme(name: str) -> None:
    assert name == "README.md" or f"({name})" in README


def test_the_units_of_systemd_run_the_controllers() -> None:
    units = documents.blocks(documents.read("docs/getting-started.md"), "ini")
    started = [re.findall(r"^ExecStart=.*/boot-resources (.*)$", unit, re.M) for unit in units]
    assert started == [["region run"], ["rack run"]]
    assert all("Type=notify" in unit for unit in units)
