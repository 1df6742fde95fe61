"""What nobody needs is kept for a while: what was dropped on purpose may go sooner."""

import os
import pathlib
import time

import pytest

from boot_resources.store import storage
from support import stores

CONTENTS = [stores.noise(300_000, seed=each) for each in range(3)]
DROPPED, UNKNOWN, OTHER = (stores.name_of(content) for content in CONTENTS)
GRACE = 3600.0
ANOTHER = "0" * 64


@pytest.fixture
def store(tmp_path: pathlib.Path) -> storage.Storage:
    """Give a store that dropped one object on purpose, and another that the catalog never knew."""
    store = stores.storage_at(tmp_path / "image-storage", GRACE)
    for content in CONTENTS[:2]:
        stores.put(store, content)
    assert set(store.tidy(set(), {DROPPED}.__contains__)) == {DROPPED, UNKNOWN}
    return store


def kept(store: storage.Storage) -> dict[str, list[str]]:
    return {
        place: sorted(path.name for path in (store.root / place).iterdir())
        for place in ("removed", "unknown")
    }


def fill_the_disk(store: storage.Storage) -> None:
    """Have the store leave all free what is free now, so that the next object lacks space."""
    found = os.statvfs(store.root)
    store.reserve = found.f_bavail * found.f_frsize


def test_what_was_never_known_is_kept_apart(store: storage.Storage) -> None:
    assert kept(store) == {"removed": [DROPPED], "unknown": [UNKNOWN]}


def test_what_was_never_known_does_not_go_sooner_where_space_is_needed(
    store: storage.Storage,
) -> None:
    fill_the_disk(store)
    store.room_for({ANOTHER: 1})
    assert kept(store) == {"removed": [], "unknown": [UNKNOWN]}
    store.room_for({ANOTHER: 1})
    assert kept(store) == {"removed": [], "unknown": [UNKNOWN]}


def test_nothing_goes_in_vain(store: storage.Storage) -> None:
    assert store.room_for({ANOTHER: 2**60}).lacking > 0
    assert kept(store) == {"removed": [DROPPED], "unknown": [UNKNOWN]}


def test_both_come_back(store: storage.Storage) -> None:
    for sha256, content in ((DROPPED, CONTENTS[0]), (UNKNOWN, CONTENTS[1])):
        assert store.restore(sha256) is not None
        assert stores.read(store, sha256) == content
    assert kept(store) == {"removed": [], "unknown": []}


def test_both_go_after_their_grace(store: storage.Storage) -> None:
    long_ago = time.time() - GRACE - 1
    for path in (store.root / "removed" / DROPPED, store.root / "unknown" / UNKNOWN):
        os.utime(path, (long_ago, long_ago))
    stores.put(store, CONTENTS[2])
    store.tidy({OTHER})
    assert kept(store) == {"removed": [], "unknown": []}
    assert store.held().keys() == {OTHER}
