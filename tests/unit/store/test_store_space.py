"""Is there room, before the first byte."""

import os
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources import units
from boot_resources.store import blocks, space
from support import stores

SIZES = st.integers(min_value=0, max_value=2**42)


def room(needed: int, free: int, reserve: int) -> space.Room:
    return space.Room(pathlib.Path("/var/lib/maas/image-storage"), needed, free, reserve)


@given(SIZES, SIZES, SIZES)
def test_what_lacks_is_what_must_be_freed(needed: int, free: int, reserve: int) -> None:
    lacking = room(needed, free, reserve).lacking
    assert room(needed, free + lacking, reserve).lacking == 0
    if lacking:
        assert room(needed, free + lacking - 1, reserve).lacking == 1


def test_where_nothing_is_needed_nothing_lacks() -> None:
    room(needed=0, free=0, reserve=units.GIB).require()


def test_a_refusal_names_the_path_and_what_is_needed_free_and_missing() -> None:
    with pytest.raises(space.NotEnoughSpace) as caught:
        room(needed=3 * units.GIB, free=2 * units.GIB, reserve=units.GIB).require()
    assert str(caught.value) == (
        "not enough disk space in /var/lib/maas/image-storage: 3.0 GiB needed and 1.0 GiB to be "
        "left free, 2.0 GiB free, 2.0 GiB missing (2147483648 bytes)"
    )
    assert "storage.reserve" in caught.value.cure


@given(SIZES)
def test_the_estimate_is_never_too_low(size: int) -> None:
    count = blocks.block_count(size)
    facts, journal = 400 + 32 * count, 200 + 40 * count
    # The file, its facts, once more while they are written aside, and its journal.
    rounded = sum(-(-part // 4096) * 4096 for part in (size, facts, facts, journal))
    assert rounded <= space.on_disk(size)


def test_the_estimate_holds_on_this_file_system(tmp_path: pathlib.Path) -> None:
    tree = stores.tree_at(tmp_path)
    for size in (0, 1, 4096, 4097, 3 * units.MIB + 1):
        sha256 = stores.put(tree, stores.noise(size))
        assert tree.space_of(sha256) <= space.on_disk(size)


def test_free_is_what_an_ordinary_user_may_fill(tmp_path: pathlib.Path) -> None:
    found = space.room(tmp_path, needed=1, reserve=0)
    status = os.statvfs(tmp_path)
    assert found.free <= status.f_bfree * status.f_frsize
    assert found.lacking == 0
