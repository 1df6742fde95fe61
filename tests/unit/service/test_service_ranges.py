"""Which bytes a request asks for, as RFC 9110 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources.service import ranges

SHA256 = "ab" * 32
TAG = f'"{SHA256}"'


def answer(size: int = 1000, /, **headers: str) -> ranges.Answer:
    return ranges.answer({k.replace("_", "-"): v for k, v in headers.items()}, SHA256, size)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-499", 0, 500),
        ("bytes=500-999", 500, 1000),
        ("bytes=500-", 500, 1000),
        ("bytes=999-", 999, 1000),
        ("bytes=990-5000", 990, 1000),
        ("bytes=-1", 999, 1000),
        ("bytes=-500", 500, 1000),
        ("bytes=-1000", 0, 1000),
        ("bytes=-2000", 0, 1000),
        ("Bytes=1-2", 1, 3),
        ("bytes= 1-2\t", 1, 3),
        ("bytes=007-008", 7, 9),
    ],
)
def test_a_part_is_what_was_asked_for(asked: str, start: int, stop: int) -> None:
    found = answer(Range=asked)
    assert (found.status, found.start, found.stop) == (206, start, stop)
    assert found.headers["Content-Range"] == f"bytes {start}-{stop - 1}/1000"
    assert found.headers["Content-Length"] == str(found.length) == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=1000-", "bytes=1000-2000", "bytes=-0"])
def test_a_part_beyond_the_end_cannot_be_had(asked: str) -> None:
    found = answer(Range=asked)
    assert (found.status, found.length) == (416, 0)
    assert found.headers["Content-Range"] == "bytes */1000"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_an_object_without_bytes_has_no_part(asked: str) -> None:
    found = answer(0, Range=asked)
    assert (found.status, found.length) == (416, 0)
    assert found.headers["Content-Range"] == "bytes */0"


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=2-1",
        "bytes=a-b",
        "bytes=0x0-0x1",
        "bytes=1-2-3",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1.0-2",
        "bytes=0-1,3-4",
        "bytes=0 - 1",
        "lines=0-1",
        "bytes:0-1",
        "bytes=\u0661-\u0662",
        "bytes=0-" + "9" * 40,
        "bytes=0-1\nX: y",
    ],
)
def test_a_range_that_is_not_understood_is_as_if_it_were_not_there(asked: str) -> None:
    found = answer(Range=asked)
    assert (found.status, found.start, found.stop) == (200, 0, 1000)
    assert found.headers["Content-Length"] == "1000"
    assert "Content-Range" not in found.headers


@pytest.mark.parametrize(
    "condition", [TAG, f"W/{TAG}", "*", f'"x", {TAG}', f'W/"x" ,W/{TAG},"y"', f" {TAG} "]
)
def test_who_has_it_already_gets_nothing(condition: str) -> None:
    found = answer(If_None_Match=condition, Range="bytes=0-1")
    assert (found.status, found.length) == (304, 0)
    assert found.headers["ETag"] == TAG
    assert "Content-Range" not in found.headers


@pytest.mark.parametrize("condition", ['"x"', SHA256, f'"{SHA256}', "", "W/*", TAG.upper()])
def test_who_has_something_else_gets_the_object(condition: str) -> None:
    assert answer(If_None_Match=condition).status == 200


def test_a_part_of_this_object_is_given_to_who_has_the_rest_of_it() -> None:
    assert answer(If_Range=TAG, Range="bytes=5-").status == 206


@pytest.mark.parametrize("condition", ['"x"', f"W/{TAG}", "Sat, 21 Nov 2026 22:00:00 GMT", ""])
def test_who_has_the_rest_of_something_else_gets_all_of_it(condition: str) -> None:
    found = answer(If_Range=condition, Range="bytes=5-")
    assert (found.status, found.length) == (200, 1000)


def test_if_range_without_range_means_nothing() -> None:
    assert answer(If_Range='"x"').status == 200


def test_every_answer_carries_the_tag_of_the_object() -> None:
    part, beyond = answer(Range="bytes=0-1"), answer(Range="bytes=5000-")
    for found in (answer(), part, beyond, answer(If_None_Match="*")):
        assert found.headers["ETag"] == TAG
        assert found.headers["Accept-Ranges"] == "bytes"


NUMBERS = st.one_of(
    st.integers(min_value=0, max_value=3000).map(str), st.text("0123456789", max_size=22)
)
WELL_FORMED = st.builds("bytes={}-{}".format, NUMBERS, NUMBERS)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Range": st.one_of(WELL_FORMED, st.text(max_size=30)),
        "If-Range": st.one_of(st.just(TAG), st.text(max_size=5)),
        "If-None-Match": st.one_of(st.just(TAG), st.text(max_size=5)),
    },
)


@given(HEADERS, st.integers(min_value=0, max_value=2500))
def test_whatever_is_asked_the_answer_lies_within_the_object(
    headers: dict[str, str], size: int
) -> None:
    found = ranges.answer(headers, SHA256, size)
    assert 0 <= found.start <= found.stop <= size
    match found.status:
        case 200:
            assert found.length == size
        case 206:
            assert found.length > 0
            last = found.stop - 1
            assert found.headers["Content-Range"] == f"bytes {found.start}-{last}/{size}"
        case 304 | 416:
            assert found.length == 0
        case _:
            pytest.fail(f"status {found.status}")
    if found.status in (200, 206):
        assert found.headers["Content-Length"] == str(found.length)
