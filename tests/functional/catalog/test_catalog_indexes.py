"""The frequent queries find objects, items and holdings by index, however many there are."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from boot_resources.catalog import availability, database, holdings, images
from support import catalogs

NOBLE = catalogs.image(catalogs.NOBLE_1)
LARGE_TABLE_READ_THROUGH = re.compile(r"(SCAN|Seq Scan on) (items|objects|holdings)\b")


@pytest.mark.parametrize(
    "query",
    [
        lambda conn: availability.refresh(conn),
        lambda conn: holdings.record(conn, "region-0", catalogs.proofs(NOBLE)),
        lambda conn: holdings.drop(conn, "region-0", [NOBLE.items[0].sha256]),
        lambda conn: holdings.held(conn, "region-0"),
        lambda conn: images.show(conn, NOBLE.name),
        lambda conn: availability.withdraw(conn, NOBLE.items[0].sha256, "a reason"),
    ],
    ids=["refresh", "record", "drop", "held", "show", "withdraw"],
)
def test_large_tables_are_not_read_through(
    catalog: database.Catalog, query: Callable[[sa.Connection], object]
) -> None:
    with catalog.write() as conn:
        catalogs.join(conn, "region-0", "region-1")
        catalogs.offer(conn, NOBLE)
        holdings.record(conn, "region-0", catalogs.proofs(NOBLE))
        if catalog.shared:
            # Where a table is as small as here, PostgreSQL would not look for an index.
            conn.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plans = list(_plans(conn, query))
    assert plans
    assert [plan for plan in plans if LARGE_TABLE_READ_THROUGH.search(plan)] == []


def _plans(conn: sa.Connection, query: Callable[[sa.Connection], object]) -> Iterator[str]:
    """Run the query, and return how the database would run each of its statements."""
    statements: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        statements.append((statement, parameters))

    sa.event.listen(conn, "before_cursor_execute", note)
    query(conn)
    sa.event.remove(conn, "before_cursor_execute", note)
    explain = "EXPLAIN " if conn.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
    for statement, parameters in statements:
        one = parameters[0] if isinstance(parameters, list) else parameters
        rows = conn.exec_driver_sql(explain + statement, one)
        yield statement + "\n" + "\n".join(str(row[-1]) for row in rows)
