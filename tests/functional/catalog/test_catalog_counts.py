"""The ledger of bytes, and the board of every unit's notices."""

import datetime

import pytest

from boot_resources import notices
from boot_resources.catalog import database, ledger, noticeboard
from support import catalogs

FULL = notices.Notice("space", notices.Severity.CRITICAL, "The disk is full.", "Free 4 GiB.")
OLD = notices.Notice("freeze", notices.Severity.WARNING, "The stream is old.")
NOON = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)


def test_a_ledger_adds_up(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        ledger.add(conn, "region-0", {"upstream_bytes": 2**40, "peer_bytes": 1})
        ledger.add(conn, "region-0", {"upstream_bytes": 2**40, "peer_bytes": 0})
        ledger.add(conn, "region-1", {"upstream_bytes": 5})
        ledger.add(conn, "region-1", {})
        assert ledger.totals(conn) == {
            "region-0": {"peer_bytes": 1, "upstream_bytes": 2**41},
            "region-1": {"upstream_bytes": 5},
        }


def test_a_ledger_only_grows(catalog: database.Catalog) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0")
        with pytest.raises(ValueError, match="only grows"):
            ledger.add(conn, "region-0", {"upstream_bytes": -1})


def test_the_board_shows_every_units_notices_the_worst_first(catalog: database.Catalog) -> None:
    hour = datetime.timedelta(hours=1)
    newer = notices.Standing("source", "region-0", OLD, NOON + hour)
    older = notices.Standing("source", "region-1", OLD, NOON)
    worst = notices.Standing("storage", "region-0", FULL, NOON + 2 * hour)
    with catalog.write() as conn:
        assert noticeboard.mirror(conn, "region-0", [newer, worst])
        assert noticeboard.mirror(conn, "region-1", [older])
        assert noticeboard.standing(conn) == [worst, older, newer]
        assert not noticeboard.mirror(conn, "region-0", [worst, newer])


def test_a_notice_that_no_longer_stands_is_gone(catalog: database.Catalog) -> None:
    board = notices.NoticeBoard("region-0")
    board.state("storage", [FULL])
    board.state("source", [OLD])
    with catalog.write() as conn:
        noticeboard.mirror(conn, "region-0", board.standing())
        board.state("storage", [])
        assert noticeboard.mirror(conn, "region-0", board.standing())
        assert noticeboard.standing(conn) == board.standing()
        board.state("source", [])
        assert noticeboard.mirror(conn, "region-0", board.standing())
        assert noticeboard.standing(conn) == []
