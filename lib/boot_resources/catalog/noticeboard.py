"""Every unit's notices, where all of them can be seen.

A unit keeps its own notices in memory and mirrors them here whenever it can. With the database
down they still stand on the unit; here is the last that it could say.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from boot_resources import notices
from boot_resources.catalog import schema


def mirror(conn: sa.Connection, unit: str, standing: Iterable[notices.Standing]) -> bool:
    """Make ``standing`` all that is noted of the unit; return whether that changed anything."""
    stated = {_place(each): each for each in standing}
    before = {_place(each): each for each in _read(conn, schema.notices.c.unit == unit)}
    if stated == before:
        return False
    conn.execute(sa.delete(schema.notices).where(schema.notices.c.unit == unit))
    if stated:
        conn.execute(sa.insert(schema.notices), [_row(unit, each) for each in stated.values()])
    return True


def standing(conn: sa.Connection) -> list[notices.Standing]:
    """Return the notices of all units, the worst first, then the oldest."""
    return _read(conn, sa.true())


def _read(conn: sa.Connection, condition: sa.ColumnElement[bool]) -> list[notices.Standing]:
    table = schema.notices
    found = sa.select(table).where(condition)
    ordered = found.order_by(
        table.c.severity.desc(), table.c.since, table.c.unit, table.c.scope, table.c.key
    )
    return [
        notices.Standing(
            row.scope,
            row.unit,
            notices.Notice(row.key, notices.Severity(row.severity), row.text, row.cure),
            row.since,
        )
        for row in conn.execute(ordered)
    ]


def _place(standing: notices.Standing) -> tuple[str, str]:
    return standing.scope, standing.notice.key


def _row(unit: str, standing: notices.Standing) -> dict[str, object]:
    return {
        "unit": unit,
        "scope": standing.scope,
        "key": standing.notice.key,
        "severity": int(standing.notice.severity),
        "text": standing.notice.text,
        "cure": standing.notice.cure,
        "since": standing.since,
    }
