"""Time in the catalog: always the database's clock, always UTC.

Regions' clocks may differ, so no time that two regions compare is ever taken from a host:
``now()`` is evaluated by the database, in the moment the statement touches the row, which may be
after it has waited for a lock. It has milliseconds or better on both databases.
"""

import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles


class Instant(sa.TypeDecorator[datetime.datetime]):
    """A moment in UTC: aware in Python; ``timestamptz`` in PostgreSQL, text in SQLite.

    SQLite's text has a fixed width (``2026-01-31 09:00:00.000000``), so it sorts by time.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self, value: datetime.datetime | None, dialect: sa.Dialect
    ) -> datetime.datetime | None:
        """Return ``value`` as the database takes it.

        Raises:
            ValueError: where it has no time zone: nobody could say when that is.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        value = value.astimezone(datetime.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self, value: datetime.datetime | None, dialect: sa.Dialect
    ) -> datetime.datetime | None:
        """Return ``value`` in UTC with its time zone attached."""
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=datetime.UTC)
        return value.astimezone(datetime.UTC)


class now(sa.sql.functions.GenericFunction[datetime.datetime]):  # noqa: N801  named as in SQL
    """The database's clock, ``seconds`` from now; a negative number is a moment in the past."""

    type = Instant()
    name = "boot_resources_now"
    inherit_cache = True

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__(sa.literal(float(seconds), sa.Float))


@compiles(now, "sqlite")
def _now_in_sqlite(element: now, compiler: sa.Compiled, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    shift = f"printf('%+.3f seconds', {seconds})"
    return f"strftime('%Y-%m-%d %H:%M:%f', 'now', {shift}) || '000'"


@compiles(now, "postgresql")
def _now_in_postgresql(element: now, compiler: sa.Compiled, **kw: Any) -> str:
    seconds = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"
