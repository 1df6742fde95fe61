"""Settings as TOML: whatever is written is read back as it was."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources_charms import toml_text

KEYS = st.from_regex(r"[a-z]+(-[a-z]+)?", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8"))
PLAIN = st.one_of(
    TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.lists(TEXTS), st.floats(0, 1e9)
)
TABLES = st.dictionaries(KEYS, PLAIN)
SETTINGS = st.dictionaries(
    KEYS, st.one_of(PLAIN, TABLES, st.lists(TABLES, min_size=1)), max_size=6
)


@given(SETTINGS)
def test_what_is_written_is_read_back(settings: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text.written(settings)) == settings


def test_what_is_none_is_left_out() -> None:
    settings = {"proxy": None, "source": {"url": "x", "keyring": None}, "migration": None}
    assert toml_text.written(settings) == '[source]\nurl = "x"\n'


@pytest.mark.parametrize("empty", [[], ()])
def test_an_empty_list_stands_before_the_tables(empty: Any) -> None:
    text = toml_text.written({"source": {"url": "x"}, "selections": empty})
    assert text == 'selections = []\n\n[source]\nurl = "x"\n'
