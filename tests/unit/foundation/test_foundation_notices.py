"""A notice stands for as long as its condition is stated, and goes away by itself."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources import notices
from boot_resources.notices import Notice, Severity

SPACE = Notice("space", Severity.CRITICAL, "not enough space", "free some")
SLOW = Notice("slow", Severity.WARNING, "the source is slow")
ODD = Notice("odd", Severity.INFO, "something is odd")


@pytest.fixture
def board() -> notices.NoticeBoard:
    return notices.NoticeBoard("region-0")


def test_what_is_stated_stands_and_what_is_no_longer_stated_is_cleared(
    board: notices.NoticeBoard,
) -> None:
    board.state("storage", [SPACE, ODD])
    board.state("storage", [ODD])
    assert [each.notice for each in board.standing()] == [ODD]
    board.state("storage", [])
    assert board.standing() == []


def test_one_scope_does_not_clear_another(board: notices.NoticeBoard) -> None:
    board.state("storage", [SPACE])
    board.state("source", [SPACE])
    board.state("storage", [])
    assert [each.scope for each in board.standing()] == ["source"]


def test_a_notice_that_stood_keeps_its_beginning_and_takes_the_new_words(
    board: notices.NoticeBoard,
) -> None:
    board.state("storage", [SPACE])
    (before,) = board.standing()
    changed = Notice(SPACE.key, Severity.WARNING, "less space is missing")
    board.state("storage", [changed])
    (after,) = board.standing()
    assert after.since == before.since
    assert after.notice == changed


def test_a_notice_that_comes_back_begins_anew(board: notices.NoticeBoard) -> None:
    board.state("storage", [SPACE])
    (before,) = board.standing()
    board.state("storage", [])
    board.state("storage", [SPACE])
    (after,) = board.standing()
    assert after.since != before.since


def test_the_worst_stands_first_then_the_oldest(board: notices.NoticeBoard) -> None:
    board.state("b", [SLOW])
    board.state("a", [SLOW, ODD])
    board.state("c", [SPACE])
    standing = board.standing()
    assert [each.notice for each in standing] == [SPACE, SLOW, SLOW, ODD]
    assert [each.scope for each in standing] == ["c", "b", "a", "a"]


def test_a_statement_that_fails_to_come_changes_nothing(board: notices.NoticeBoard) -> None:
    def broken() -> list[Notice]:
        raise OSError

    board.state("storage", [SPACE])
    with pytest.raises(OSError):
        board.state("storage", (each for each in broken()))
    assert len(board.standing()) == 1


def test_a_standing_notice_is_plain_values(board: notices.NoticeBoard) -> None:
    board.state("storage", [SPACE])
    (standing,) = board.standing()
    assert notices.describe(standing) == {
        "scope": "storage",
        "unit": "region-0",
        "key": "space",
        "severity": "critical",
        "text": "not enough space",
        "cure": "free some",
        "since": standing.since.isoformat(timespec="seconds"),
    }


NOTICES = st.builds(Notice, st.sampled_from("abc"), st.sampled_from(Severity), st.text(max_size=3))
STATEMENTS = st.lists(st.tuples(st.sampled_from("xy"), st.lists(NOTICES, max_size=3)))


@given(STATEMENTS)
def test_what_stands_is_the_last_word_of_each_scope(
    statements: list[tuple[str, list[Notice]]],
) -> None:
    board = notices.NoticeBoard("u")
    last: dict[str, dict[str, Notice]] = {}
    for scope, stated in statements:
        board.state(scope, stated)
        last[scope] = {notice.key: notice for notice in stated}
    found = {(each.scope, each.notice.key): each.notice for each in board.standing()}
    assert found == {(s, key): n for s, stated in last.items() for key, n in stated.items()}


def test_several_threads_may_state_at_once(board: notices.NoticeBoard) -> None:
    def state(scope: str) -> None:
        for _ in range(200):
            board.state(scope, [SPACE, SLOW])
            board.standing()
            board.state(scope, [ODD])

    threads = [threading.Thread(target=state, args=(scope,)) for scope in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.scope for each in board.standing()) == ["a", "b", "c", "d"]
