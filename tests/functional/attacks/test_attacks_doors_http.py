"""Requests that attack, against the machine port and the plane port, over real sockets.

The corpus is kept: one file a request. ``refused/`` are answered with one 400 and the end,
``closed/`` are answered and the connection closed, ``in-step/`` are answered and the connection
goes on. Which of them it is, is proved by a marker, an honest request that is sent behind: it is
answered as the last one, or not at all. ``@OBJECT@`` in a file stands for the path of an object,
``@1000*TEXT@`` for a thousand times that text.
"""

import collections
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from support import endurance, wire

CORPUS = Path(__file__).parent / "corpus"
KINDS = ("refused", "closed", "in-step")
# The newlines in front end a head that the attack left open.
MARKER = b"\r\n\r\nGET /images/the-marker HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n"
EXPECTED = {200, 206, 304, 400, 404, 405, 416, 417}


def attack(file: Path, path: str) -> bytes:
    raw = file.read_bytes().replace(b"@OBJECT@", path.encode())
    return re.sub(rb"@(\d+)\*(.*?)@", lambda m: m[2] * int(m[1]), raw, flags=re.DOTALL)


def corpus(kind: str) -> list[object]:
    files = sorted((CORPUS / kind).glob("*.http"))
    return [pytest.param(file, id=file.stem) for file in files]


@pytest.fixture(autouse=True)
def no_defect(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever is asked, the log has neither an error nor a traceback."""
    with caplog.at_level(logging.DEBUG, "boot_resources"):
        yield
    assert [
        record for record in caplog.records if record.levelno >= logging.ERROR or record.exc_info
    ] == []


def say(door: wire.Door, raw: bytes) -> list[wire.Answer]:
    """Send an attack with the marker behind; return what it was answered, checked."""
    found = [
        answer
        for answer in wire.answers(wire.exchange(door.connect(), raw + MARKER))
        if answer.status != 100
    ]
    for answer in found:
        check(door, answer)
    return found


def check(door: wire.Door, answer: wire.Answer) -> None:
    """Fail unless an answer is whole, no error of ours, and has the bytes that were asked for."""
    assert answer.status in EXPECTED
    assert answer.whole
    assert b"smuggled" not in answer.body
    if answer.status == 200:
        assert (answer.headers["etag"], answer.body) == (door.tag, door.content)
    if answer.status == 206:
        assert answer.headers["etag"] == door.tag
        place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.headers["content-range"])
        assert place is not None
        first, last, size = map(int, place.groups())
        assert size == len(door.content)
        assert answer.body == door.content[first : last + 1]


def serves(door: wire.Door) -> bool:
    """Return whether an honest request on a connection of its own gets the right bytes."""
    return [(got.status, got.body) for got in door.fetch()] == [(200, door.content)]


@pytest.mark.parametrize("file", corpus("refused"))
def test_what_is_no_request_is_refused_and_nothing_behind_it_heard(
    door: wire.Door, file: Path
) -> None:
    assert [got.status for got in say(door, attack(file, door.path))] == [400]
    assert serves(door)


@pytest.mark.parametrize("file", corpus("closed"))
def test_an_odd_request_is_answered_and_nothing_behind_it_heard(
    door: wire.Door, file: Path
) -> None:
    assert len(say(door, attack(file, door.path))) == 1
    assert serves(door)


@pytest.mark.parametrize("file", corpus("in-step"))
def test_an_odd_request_is_answered_and_the_next_one_rightly(door: wire.Door, file: Path) -> None:
    *_, marker = found = say(door, attack(file, door.path))
    assert len(found) == (4 if file.stem == "pipeline-three" else 2)
    assert marker.status == 404
    assert serves(door)


def test_the_corpus_is_all_replayed() -> None:
    replayed = {path for kind in KINDS for path in (CORPUS / kind).glob("*.http")}
    assert {path for path in CORPUS.rglob("*") if path.suffix == ".http"} == replayed
    assert len(replayed) > 180


@pytest.mark.parametrize("host", ["", "Host: door\r\n"])
def test_firmware_of_http_1_0_is_served(door: wire.Door, host: str) -> None:
    asked = f"GET {door.path} HTTP/1.0\r\n{host}\r\n"
    (got,) = wire.answers(wire.exchange(door.connect(), asked.encode()))
    assert (got.status, got.body) == (200, door.content)


METHODS = st.sampled_from(["GET", "GET", "GET", "POST", "PUT", "OPTIONS", "get", "CONNECT", ""])
VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""])
TARGETS = st.sampled_from(
    ["@", "@?x=1", "http://door@", "/images/smuggled", "/", "*", "door:80", "//@", "@/..", "@%00"]
)
FIELDS = {
    "Content-Length": ["0", "5", "1000", "-1", "+5", "5, 5", "0x5", "9" * 20, "", "5\x00"],
    "Transfer-Encoding": [
        "chunked",
        "Chunked",
        "identity",
        "gzip, chunked",
        "xchunked",
        "\x0b",
        "",
    ],
    "Range": [
        "bytes=0-4",
        "bytes=-5",
        "bytes=5-",
        "bytes=0-1,3-4",
        "bytes=9-1",
        "\xff",
        "a" * 9000,
    ],
    "If-Range": ["*", '"x"', ""],
    "If-None-Match": ["*", '"x"', 'W/"x", "y"'],
    "Connection": ["keep-alive", "close", "Upgrade", "close, keep-alive"],
    "Upgrade": ["h2c", "websocket", ""],
    "Expect": ["100-continue", "200-ok"],
    "Host": ["door", "", "a b"],
    "Content-Encoding": ["gzip", "x"],
    "Content-Length ": ["5"],
    " X": ["a\tb"],
}
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\r\n", "\n", "\r", "\r\n ", "\r\n\t", "\r\r\n"])
BODIES = st.sampled_from(
    [
        *("", "", "hello", "0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;x=y\r\nhello\r\n0\r\n\r\n"),
        *("ffffffffffffffffff\r\n", "5\nhello\n0\n\n", "-1\r\n", "3\r\nhello\r\n0\r\n\r\n"),
    ]
)


@st.composite
def fields(draw: st.DrawFn) -> str:
    """Draw a line of a head, with its value and its end."""
    name = draw(st.sampled_from(list(FIELDS)))
    separator = draw(st.sampled_from([": ", ": ", ":", " : "]))
    return f"{name}{separator}{draw(st.sampled_from(FIELDS[name]))}{draw(ENDS)}"


@st.composite
def requests(draw: st.DrawFn) -> str:
    """Draw a request that has a little wrong, or much; ``@`` stands for the object's path."""
    line = " ".join([draw(METHODS), draw(TARGETS), draw(VERSIONS)])
    host = draw(st.sampled_from(["Host: door\r\n", "Host: door\r\n", ""]))
    lines = "".join(draw(st.lists(fields(), max_size=4)))
    return f"{line}{draw(ENDS)}{host}{lines}\r\n{draw(BODIES)}"


def test_no_mixture_of_requests_gets_what_it_should_not(door: wire.Door) -> None:
    statuses: collections.Counter[int] = collections.Counter()

    @hypothesis.seed(endurance.seed("requests"))
    @endurance.histories(25)
    @hypothesis.given(
        parts=st.lists(requests(), min_size=1, max_size=3),
        flips=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    )
    def attack_with(parts: list[str], flips: list[tuple[int, int]]) -> None:
        raw = bytearray("".join(parts).replace("@", door.path).encode("latin-1"))
        for place, value in flips:
            raw[place % len(raw)] = value
        for answer in wire.answers(wire.exchange(door.connect(), bytes(raw) + MARKER)):
            statuses[answer.status] += 1
            if answer.status != 100 and b"smuggled" not in answer.body:
                check(door, answer)
        assert serves(door)

    attack_with()
    endurance.tally("requests", **{str(status): count for status, count in statuses.items()})
