"""Pages of a large object become blocks, with zeros where no page is."""

import random
import struct

import pytest

from boot_resources.migration import pages
from boot_resources.store import blocks

PAGE = 2048
PER_BLOCK = blocks.BLOCK_SIZE // PAGE
Numbered = tuple[int, bytes]


def joined(*numbered: Numbered) -> pages.Pages:
    """Return pages as the server joins them."""
    return pages.Pages(
        b"".join(struct.pack(">I", number) for number, _ in numbered),
        b"".join(struct.pack(">I", len(data)) for _, data in numbered),
        b"".join(data for _, data in numbered),
    )


def whole(index: int, length: int, seed: int = 0) -> tuple[list[Numbered], bytes]:
    """Return a block of noise, and its pages."""
    content = random.Random(seed).randbytes(length)
    starts = range(0, length, PAGE)
    numbers = range(index * PER_BLOCK, index * PER_BLOCK + len(starts))
    return [(n, content[s : s + PAGE]) for n, s in zip(numbers, starts, strict=True)], content


def expected(numbered: list[Numbered], index: int, length: int) -> bytes:
    block = bytearray(length + PAGE)
    for number, data in numbered:
        start = number * PAGE - blocks.block_start(index)
        block[start : start + len(data)] = data
    return bytes(block[:length])


@pytest.mark.parametrize("length", [1, PAGE, PAGE + 1, blocks.BLOCK_SIZE])
@pytest.mark.parametrize("index", [0, 3])
def test_a_block_without_a_hole_is_its_pages_as_they_are(index: int, length: int) -> None:
    numbered, content = whole(index, length)
    found = joined(*numbered)
    size = blocks.block_start(index) + length
    block = pages.block(found, PAGE, index, size)
    assert block == content
    assert block is found.data, "it was copied"


@pytest.mark.parametrize("length", [1, PAGE, PAGE + 1, blocks.BLOCK_SIZE])
def test_a_block_without_pages_is_zeros(length: int) -> None:
    size = blocks.BLOCK_SIZE + length
    assert pages.block(pages.Pages(), PAGE, 1, size) == bytes(length)


@pytest.mark.parametrize(
    "numbered",
    [
        [(512, b"first")],
        [(513, b"one"), (515, b"x" * PAGE), (1023, b"last")],
        [(1023, b"y" * PAGE)],
    ],
)
def test_holes_and_short_pages_read_as_zeros(numbered: list[Numbered]) -> None:
    size = 4 * blocks.BLOCK_SIZE
    block = pages.block(joined(*numbered), PAGE, 1, size)
    assert block == expected(numbered, 1, blocks.BLOCK_SIZE)


def test_one_page_that_is_short_or_missing_does_not_move_the_others() -> None:
    numbered, _ = whole(0, blocks.BLOCK_SIZE)
    for broken in (
        [(number, data[: -(number == 7)] if number == 7 else data) for number, data in numbered],
        [(number, data) for number, data in numbered if number != 7],
    ):
        block = pages.block(joined(*broken), PAGE, 0, blocks.BLOCK_SIZE)
        assert block == expected(broken, 0, blocks.BLOCK_SIZE)


def test_pages_that_fill_a_block_by_chance_go_where_their_numbers_say() -> None:
    size = 2 * PAGE + 10
    numbered = [(0, b"a" * PAGE), (1, b"b" * 10), (2, b"c" * PAGE)]
    block = pages.block(joined(*numbered), PAGE, 0, size)
    assert block == expected(numbered, 0, size)


def test_the_order_of_pages_does_not_matter() -> None:
    numbered, content = whole(0, 5 * PAGE)
    assert pages.block(joined(*reversed(numbered)), PAGE, 0, len(content)) == content


@pytest.mark.parametrize("step", [1, -1])
def test_bytes_beyond_the_size_are_passed_over(step: int) -> None:
    numbered = [(0, b"z" * PAGE), (1, b"more"), (300, b"far")]
    assert pages.block(joined(*numbered[::step]), PAGE, 0, PAGE + 2) == b"z" * PAGE + b"mo"
