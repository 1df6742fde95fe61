"""What is said of a region's disk: what is damaged, for as long as it matters, a few by name."""

import pathlib
from collections.abc import Iterable

import pytest

from boot_resources import notices
from boot_resources.region import condition
from boot_resources.store import audit, storage
from support import stores

NAMES = [stores.name_of(b"%d" % number) for number in range(50)]


@pytest.fixture
def board() -> notices.NoticeBoard:
    return notices.NoticeBoard("region-0")


@pytest.fixture
def store(tmp_path: pathlib.Path) -> storage.Storage:
    return stores.storage_at(tmp_path / "store")


@pytest.fixture
def disk(store: storage.Storage, board: notices.NoticeBoard) -> condition.DiskCondition:
    return condition.DiskCondition(store, board)


def damaged(names: Iterable[str]) -> list[audit.Finding]:
    return [audit.Finding(name, audit.Verdict.CORRUPT, "rotten") for name in names]


def texts(board: notices.NoticeBoard) -> list[str]:
    return [each.notice.text for each in board.standing()]


def test_what_is_damaged_is_said_until_it_is_held_again(
    store: storage.Storage, disk: condition.DiskCondition, board: notices.NoticeBoard
) -> None:
    name = stores.name_of(b"content")
    disk.found(damaged([name]))
    disk.state({name})
    (text,) = texts(board)
    assert name[:12] in text
    stores.put(store, b"content")
    disk.state({name})
    assert texts(board) == []


def test_what_nobody_wants_any_more_is_spoken_of_no_longer(
    disk: condition.DiskCondition, board: notices.NoticeBoard
) -> None:
    disk.found(damaged(NAMES[:2]))
    # What is wanted is not known yet: the catalog may be down.
    disk.state()
    assert len(texts(board)) == 2
    disk.state({NAMES[1]})
    (text,) = texts(board)
    assert NAMES[1][:12] in text
    disk.state(frozenset())
    assert texts(board) == []


def test_of_many_damaged_objects_a_few_are_named_and_the_rest_counted(
    disk: condition.DiskCondition, board: notices.NoticeBoard
) -> None:
    disk.found(damaged(NAMES))
    assert len(texts(board)) == 4
    assert "47 more objects were not what was proved" in texts(board)
    disk.state(set(NAMES[:3]))
    assert len(texts(board)) == 3
