"""Rows of a COPY stream, however it is cut into messages."""

import itertools
import random
import struct

import pytest

from boot_resources.migration import copystream

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
WIDTH = 2
Row = tuple[bytes | None, ...]


def row(*fields: bytes | None) -> bytes:
    coded = (
        struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field
        for field in fields
    )
    return struct.pack(">h", len(fields)) + b"".join(coded)


def stream(*rows: Row) -> bytes:
    return HEADER + b"".join(row(*each) for each in rows) + TRAILER


def parse(*messages: bytes) -> list[Row]:
    return [
        tuple(None if field is None else bytes(field) for field in fields)
        for fields in copystream.rows(messages, WIDTH)
    ]


SOME: list[Row] = [(b"0", b"a" * 5000), (b"", b""), (None, b"b"), (b"\xff\xff", None)]


def test_a_stream_gives_its_rows() -> None:
    assert parse(stream(*SOME)) == SOME


@pytest.mark.parametrize("seed", range(20))
def test_how_a_stream_is_cut_does_not_matter(seed: int) -> None:
    whole = stream(*SOME)
    lots = random.Random(seed)
    cuts = sorted(lots.sample(range(len(whole)), lots.choice([1, 5, 200])))
    edges = [0, *cuts, len(whole)]
    assert parse(*(whole[a:b] for a, b in itertools.pairwise(edges))) == SOME


def test_a_stream_byte_by_byte() -> None:
    whole = stream((b"xy", None), (b"z", b"\0"))
    assert parse(*(bytes([byte]) for byte in whole)) == [(b"xy", None), (b"z", b"\0")]


def test_a_row_that_came_in_one_message_is_not_copied() -> None:
    message = bytearray(row(b"number", b"data"))
    rows = copystream.rows([HEADER, message, TRAILER], WIDTH)
    _, data = next(rows)
    message[-4:] = b"DATA"
    assert bytes(data or b"") == b"DATA"


@pytest.mark.parametrize(
    "broken",
    [
        stream(*SOME)[:-2],
        stream(*SOME)[:-40],
        HEADER,
        b"",
        b"ERROR: no" + bytes(40),
        HEADER[:15] + b"\0\0\0\4" + TRAILER,
        HEADER + struct.pack(">hi", 2, -2) + bytes(20) + TRAILER,
    ],
    ids=[
        "no end",
        "cut",
        "no rows",
        "nothing",
        "another text",
        "an extension",
        "a length below none",
    ],
)
def test_what_is_no_such_stream_is_refused(broken: bytes) -> None:
    with pytest.raises(copystream.BadStream):
        parse(broken)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(copystream.BadStream, match="3 fields instead of 2"):
        parse(HEADER + row(b"one", b"two", b"three") + TRAILER)
