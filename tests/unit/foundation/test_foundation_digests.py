"""The name of an object may become a file name, so only 64 hexadecimal digits pass."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources import digests


@given(st.binary())
def test_every_sha256_is_a_name(content: bytes) -> None:
    name = hashlib.sha256(content).hexdigest()
    assert digests.is_sha256(name)
    assert digests.check_sha256(name) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 63,
        "a" * 65,
        "A" * 64,
        "g" * 64,
        "a" * 64 + "\n",
        "\n" + "a" * 63,
        "../" + "a" * 61,
        "a" * 63 + "\0",
        "٣" * 64,
        None,
        ("a" * 64).encode(),
    ],
)
def test_nothing_else_is(text: object) -> None:
    assert not digests.is_sha256(text)
    with pytest.raises(ValueError, match="is not a sha256 in 64 lower-case hexadecimal digits"):
        digests.check_sha256(text)


@given(st.text())
def test_what_passes_is_safe_as_a_file_name(text: str) -> None:
    if digests.is_sha256(text):
        assert set(text) <= set("0123456789abcdef")


def test_a_refusal_shows_only_the_beginning_of_what_was_given() -> None:
    with pytest.raises(ValueError) as caught:
        digests.check_sha256("x" * 10_000)
    assert len(str(caught.value)) < 200


def test_the_empty_object_has_its_name() -> None:
    assert hashlib.sha256(b"").hexdigest() == digests.EMPTY_SHA256
