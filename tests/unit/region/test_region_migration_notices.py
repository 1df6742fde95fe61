"""What stands about a migration is so: no run leaves a warning about what is not the matter."""

import datetime

import pytest

from boot_resources import errors, notices
from boot_resources.catalog import handovers
from boot_resources.migration import clients, handover, outcome, turns
from boot_resources.region import migration_notices
from support import catalogs

PLACE = "db.example.com:5432/maasdb"
CONNECTED = clients.MaasConnected("MAAS is connected", "stop it")
OPEN = outcome.Outcome(
    (),
    (
        outcome.SetAside(
            catalogs.name(catalogs.JAMMY), "squashfs", "a", 1, "short", outcome.Resolution.OPEN
        ),
    ),
)


@pytest.fixture
def board() -> notices.NoticeBoard:
    return notices.NoticeBoard("region-0")


@pytest.fixture
def said(board: notices.NoticeBoard) -> migration_notices.MigrationNotices:
    return migration_notices.MigrationNotices(board, lambda: False)


def known(*, succeeded: bool, left_open: bool = False) -> handovers.Handover:
    one = handovers.SetAside(catalogs.JAMMY, "squashfs", "a", 1, "short", "open")
    return handovers.Handover(
        region="region-0",
        maas=PLACE,
        withholds=False,
        succeeded=datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC) if succeeded else None,
        finished=None,
        set_aside=(one,) if left_open else (),
        taken_over={},
    )


def keys(board: notices.NoticeBoard) -> set[str]:
    return {each.notice.key for each in board.standing()}


def test_a_run_that_left_something_open_names_it(
    said: migration_notices.MigrationNotices, board: notices.NoticeBoard
) -> None:
    said.working()
    assert keys(board) == {"working"}
    said.came_to(OPEN)
    (one,) = board.standing()
    assert one.notice.text == f"1 file of MAAS's images did not come, of {catalogs.JAMMY}"
    assert "store adopt DIRECTORY" in one.notice.cure
    assert "--accept-lost NAME" in one.notice.cure
    said.came_to(outcome.Outcome((), ()))
    assert keys(board) == set()


def test_who_was_refused_for_what_he_asked_leaves_no_notice_and_takes_none_away(
    said: migration_notices.MigrationNotices, board: notices.NoticeBoard
) -> None:
    refusals = (
        outcome.NothingToLose("nothing of it is set aside"),
        turns.AnotherMigrates("region-1 migrates now"),
    )
    for refusal in refusals:
        said.came_to(OPEN)
        said.working()
        said.refused(refusal, known(succeeded=False), PLACE)
        assert keys(board) == {"open"}


@pytest.mark.parametrize("place", [PLACE, None], ids=["the same", "a URL that cannot be read"])
def test_where_all_is_taken_over_a_refusal_is_for_whoever_asked(
    said: migration_notices.MigrationNotices, board: notices.NoticeBoard, place: str | None
) -> None:
    said.working()
    said.refused(CONNECTED, known(succeeded=True), place)
    assert keys(board) == set()


def test_after_the_end_of_a_migration_nothing_stands(
    said: migration_notices.MigrationNotices, board: notices.NoticeBoard
) -> None:
    said.came_to(OPEN)
    said.working()
    said.refused(handover.AlreadyFinished("it is finished"), known(succeeded=True), PLACE)
    assert keys(board) == set()


def test_what_is_open_since_a_success_stands_beside_why_it_was_not_looked_at(
    said: migration_notices.MigrationNotices, board: notices.NoticeBoard
) -> None:
    said.came_to(OPEN)
    said.working()
    said.refused(CONNECTED, known(succeeded=True, left_open=True), PLACE)
    assert keys(board) == {"open", "failed"}
    (failed,) = (e.notice.text for e in board.standing() if e.notice.key == "failed")
    assert failed == "MAAS was not looked at again: MAAS is connected"


@pytest.mark.parametrize(
    ("standing", "place"),
    [
        (None, PLACE),
        (known(succeeded=False), PLACE),
        (known(succeeded=True), "another.example.com:5432/maasdb"),
    ],
    ids=["never", "not yet", "another database"],
)
def test_what_never_came_is_said_not_to_be_here(
    said: migration_notices.MigrationNotices,
    board: notices.NoticeBoard,
    standing: handovers.Handover | None,
    place: str,
) -> None:
    said.working()
    said.refused(CONNECTED, standing, place)
    (one,) = board.standing()
    assert one.notice.text == "MAAS's images were not taken over: MAAS is connected"
    assert one.notice.cure == "stop it"


def test_what_is_withheld_is_said_with_each(board: notices.NoticeBoard) -> None:
    said = migration_notices.MigrationNotices(board, lambda: True)
    said.refused(errors.BootResourcesError("no"), None, PLACE)
    (one,) = board.standing()
    assert one.notice.text.endswith("; nothing is offered before it has succeeded")
