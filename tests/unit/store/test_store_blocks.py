"""Blocks and block maps: pure arithmetic that everything else stands on."""

import hashlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources.store import blocks
from support import stores

SIZES = st.integers(min_value=0, max_value=5 * blocks.BLOCK_SIZE + 3)


@pytest.mark.parametrize(
    ("size", "count"),
    [(0, 0), (1, 1), (blocks.BLOCK_SIZE, 1), (blocks.BLOCK_SIZE + 1, 2)],
)
def test_the_last_block_may_be_short_and_an_empty_object_has_none(size: int, count: int) -> None:
    assert blocks.block_count(size) == count


@given(SIZES)
def test_the_blocks_of_an_object_cover_it_without_overlap(size: int) -> None:
    position = 0
    for index in range(blocks.block_count(size)):
        assert blocks.block_start(index) == position
        assert 0 < blocks.block_length(index, size) <= blocks.BLOCK_SIZE
        position += blocks.block_length(index, size)
    assert position == size


@given(SIZES, SIZES)
def test_a_range_needs_exactly_the_blocks_that_hold_it(start: int, stop: int) -> None:
    needed = blocks.blocks_of_range(start, stop)
    assert list(needed) == [
        index
        for index in range(blocks.block_count(5 * blocks.BLOCK_SIZE + 3))
        if max(start, blocks.block_start(index)) < min(stop, blocks.block_start(index + 1))
    ]


@given(st.sets(st.integers(min_value=0, max_value=40)))
def test_runs_are_as_long_as_can_be_and_lose_nothing(indexes: set[int]) -> None:
    runs = list(blocks.runs(iter(sorted(indexes))))
    assert [index for run in runs for index in run] == sorted(indexes)
    assert all(earlier.stop < later.start for earlier, later in itertools.pairwise(runs))


@given(st.integers(min_value=0, max_value=40 * blocks.BLOCK_SIZE), st.integers())
def test_a_block_map_comes_back_as_it_was(size: int, seed: int) -> None:
    digests = stores.noise(32 * blocks.block_count(size), seed)
    block_map = blocks.BlockMap(size, digests)
    again = blocks.BlockMap.from_bytes(block_map.to_bytes())
    assert again == block_map
    assert again.digest == hashlib.sha256(block_map.to_bytes()).hexdigest()


def test_a_block_map_names_each_block() -> None:
    content = stores.noise()
    block_map = stores.map_of(content)
    for index in range(3):
        digest = hashlib.sha256(stores.block_of(content, index)).digest()
        assert block_map.expects(index) == digest
    assert block_map.expects(3) == b""


def test_the_map_of_an_empty_object_is_empty() -> None:
    assert blocks.BlockMap.from_bytes(bytes(8)) == blocks.BlockMap(0, b"")


@pytest.mark.parametrize("length", [0, 7, 8, 8 + 31, 8 + 32, 8 + 64, 8 + 95, 8 + 97, 8 + 128])
def test_a_map_of_the_wrong_length_is_refused(length: int) -> None:
    whole = stores.map_of(stores.noise()).to_bytes()
    with pytest.raises(blocks.BadBlockMap):
        blocks.BlockMap.from_bytes((whole + bytes(64))[:length])


@given(st.binary(max_size=200))
def test_whatever_is_no_map_is_refused_with_a_name(data: bytes) -> None:
    try:
        block_map = blocks.BlockMap.from_bytes(data)
    except blocks.BadBlockMap:
        return
    assert block_map.to_bytes() == data
