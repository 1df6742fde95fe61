import json

import pytest

from boot_resources.source import document


def refusal(payload: bytes) -> str:
    with pytest.raises(document.DocumentRefused) as caught:
        document.parse("streams/v1/x.sjson", payload)
    assert caught.value.document == "streams/v1/x.sjson"
    assert caught.value.cure
    return str(caught.value)


def test_a_document_that_is_not_utf8_is_refused() -> None:
    assert refusal(b'{"a": "\xff"}') == "streams/v1/x.sjson: is not UTF-8 at byte 7"


def test_a_document_that_is_not_json_is_refused() -> None:
    assert "is not JSON" in refusal(b'{"a": 1')
    assert "is not JSON" in refusal(b"")


def test_a_key_given_twice_is_refused_at_any_depth() -> None:
    assert "'os' is given twice" in refusal(b'{"products": {"p": {"os": "a", "os": "b"}}}')


def test_nesting_of_32_is_read_and_of_33_is_refused() -> None:
    top = document.parse("x", b'{"a":' * 32 + b"1" + b"}" * 32)
    assert isinstance(top.value("a"), dict)
    assert "deeper than 32" in refusal(b'{"a":' * 33 + b"1" + b"}" * 33)
    assert "deeper than 32" in refusal(b'{"a":' + b"[" * 32 + b"]" * 32 + b"}")


def test_nesting_beyond_the_interpreter_s_own_limit_is_refused() -> None:
    assert "deeper than 32" in refusal(b"[" * 200_000 + b"]" * 200_000)


def test_a_number_that_is_none_is_refused() -> None:
    assert "NaN" in refusal(b'{"size": NaN}')


def test_a_number_of_absurd_length_is_refused() -> None:
    assert "is not JSON as we read it" in refusal(b'{"size": ' + b"9" * 5000 + b"}")


def test_text_that_no_database_holds_is_refused() -> None:
    assert "holds a NUL" in refusal(json.dumps({"title": "a\0b"}).encode())
    assert "is not Unicode" in refusal(b'{"title": "\\ud800"}')
    assert "is not Unicode" in refusal(b'{"\\udfff": 1}')


def test_anything_but_an_object_at_the_top_is_refused() -> None:
    assert "is a list, not an object" in refusal(b"[]")
    assert "is null, not an object" in refusal(b"null")


def test_a_refusal_names_the_place_outermost_first() -> None:
    top = document.parse("x", b'{"products": {"p": {"os": 5}}}')
    _, node = next(top.children("products"))
    with pytest.raises(document.DocumentRefused) as caught:
        node.text("os")
    assert str(caught.value) == "x, products / p / os: is a number, not a text"
