"""Pages of a large object, out of a COPY stream however it is cut, become blocks with zeros."""

import itertools
import random
import struct

import pytest

from boot_resources.migration import pages
from boot_resources.store import blocks

PAGE = 2048
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"


def row(number: int, data: bytes) -> bytes:
    return struct.pack(">hiiI", 2, 4, number, len(data)) + data


def stream(*numbered: tuple[int, bytes]) -> bytes:
    return HEADER + b"".join(itertools.starmap(row, numbered)) + TRAILER


def parse(*messages: bytes) -> list[tuple[int, bytes]]:
    return [(number, bytes(data)) for number, data in pages.parse(messages)]


SOME = [(0, b"a" * PAGE), (1, b""), (7, b"b" * PAGE), (8, b"\xff\xff")]


def test_a_stream_gives_its_pages() -> None:
    assert parse(stream(*SOME)) == SOME


@pytest.mark.parametrize("seed", range(20))
def test_how_a_stream_is_cut_does_not_matter(seed: int) -> None:
    whole = stream(*SOME)
    lots = random.Random(seed)
    cuts = sorted(lots.sample(range(len(whole)), lots.choice([1, 5, 200])))
    edges = [0, *cuts, len(whole)]
    assert parse(*(whole[a:b] for a, b in itertools.pairwise(edges))) == SOME


def test_a_stream_byte_by_byte() -> None:
    whole = stream((0, b"xy"), (3, b"z"))
    assert parse(*(bytes([byte]) for byte in whole)) == [(0, b"xy"), (3, b"z")]


def test_messages_may_be_overwritten_once_they_are_read() -> None:
    buffer = bytearray(stream(*SOME))
    found = list(pages.parse([buffer]))
    buffer[:] = bytes(len(buffer))
    assert found == SOME


@pytest.mark.parametrize(
    "broken",
    [
        stream(*SOME)[:-2],
        stream(*SOME)[:-40],
        HEADER,
        b"",
        b"ERROR: no" + bytes(40),
        HEADER[:15] + b"\0\0\0\4" + TRAILER,
        HEADER + struct.pack(">hiiI", 3, 4, 0, 1) + b"x" + TRAILER,
    ],
    ids=["no end", "cut", "no rows", "nothing", "another text", "an extension", "other rows"],
)
def test_what_is_no_such_stream_is_refused(broken: bytes) -> None:
    with pytest.raises(pages.BadStream):
        parse(broken)


def assembled(numbered: list[tuple[int, bytes]], size: int, run: range | None = None) -> bytes:
    run = run or range(blocks.block_count(size))
    found = list(pages.assemble(numbered, PAGE, run, size))
    assert [index for index, _ in found] == list(run)
    for index, data in found:
        assert len(data) == blocks.block_length(index, size)
    return b"".join(bytes(data) for _, data in found)


@pytest.mark.parametrize(
    "size", [0, 1, PAGE, PAGE + 1, blocks.BLOCK_SIZE, 3 * blocks.BLOCK_SIZE - 5]
)
def test_an_object_without_pages_is_zeros(size: int) -> None:
    assert assembled([], size) == bytes(size)


def test_holes_and_short_pages_read_as_zeros() -> None:
    size = 2 * blocks.BLOCK_SIZE + 3000
    numbered = [(1, b"one"), (3, b"x" * PAGE), (512, b"second block"), (1025, b"tail")]
    expected = bytearray(size)
    for number, data in numbered:
        expected[number * PAGE : number * PAGE + len(data)] = data
    assert assembled(numbered, size) == expected


def test_a_run_gets_its_own_pages_only() -> None:
    size = 4 * blocks.BLOCK_SIZE
    numbered = [(512, b"first"), (1023, b"y" * PAGE), (1024, b"beyond")]
    expected = bytearray(blocks.BLOCK_SIZE)
    expected[:5], expected[-PAGE:] = b"first", b"y" * PAGE
    assert assembled(numbered, size, range(1, 2)) == expected


def test_bytes_beyond_the_size_are_passed_over() -> None:
    assert assembled([(0, b"z" * PAGE), (1, b"more"), (600, b"far")], 5) == b"zzzzz"
