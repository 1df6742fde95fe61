"""docs/security.md against the tests that hold what it says, and the limits that the code has."""

import re

import pytest

from boot_resources import units
from boot_resources.source import fetch, limits
from support import documents

TEXT = documents.read("docs/security.md")
TESTS = sorted((documents.ROOT / "tests").rglob("test_*.py"))
DEFINED = {
    name
    for path in TESTS
    for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.M)
}
FEED = {
    name
    for path in TESTS
    if path.name.startswith("test_attacks_feed_")
    for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
}


def test_every_line_of_a_table_names_tests_and_all_of_them_exist() -> None:
    named = [re.findall(r"`(test_\w+)`", row[-1]) for row in documents.rows(TEXT)]
    assert all(named)
    assert {name for names in named for name in names} - DEFINED == set()


def test_every_attack_on_the_feed_is_in_the_tables() -> None:
    told = set(re.findall(r"`(test_\w+)`", TEXT))
    elsewhere = {
        # What an operator sees of any attack, and what is no attack.
        "test_a_refused_document_is_seen_in_the_status_until_the_source_is_well",
        "test_a_source_that_is_not_signed_is_read_only_where_an_operator_allows_it",
    }
    assert FEED - told == elsewhere


@pytest.mark.parametrize("name", ["docs/security.md", "docs/configuration.md"])
def test_the_limits_of_a_document_are_those_of_the_code(name: str) -> None:
    assert limits.Limits().document == 16 * units.MIB
    assert limits.Limits().min_rate == units.KIB
    text = documents.read(name)
    assert "16 MiB" in text
    assert "1 KiB/s" in text
    assert fetch.MAX_REDIRECTS == 5
