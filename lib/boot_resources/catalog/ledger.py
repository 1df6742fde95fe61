"""The ledger: bytes and the like that each region has counted, added up for ever."""

from collections.abc import Mapping

import sqlalchemy as sa

from boot_resources.catalog import schema, upserts


def add(conn: sa.Connection, region: str, amounts: Mapping[str, int]) -> None:
    """Add to the region's counters, for example ``{"upstream_bytes": 1048576}``.

    Raises:
        ValueError: an amount is negative: a ledger only grows.
    """
    if any(amount < 0 for amount in amounts.values()):
        raise ValueError(f"a ledger only grows: {dict(amounts)}")
    rows = [
        {"region": region, "counter": counter, "value": amount}
        for counter, amount in sorted(amounts.items())
        if amount
    ]
    if not rows:
        return
    statement = upserts.insert(conn, schema.ledger)
    grown = {"value": schema.ledger.c.value + statement.excluded.value}
    conn.execute(
        statement.on_conflict_do_update(index_elements=["region", "counter"], set_=grown), rows
    )


def totals(conn: sa.Connection) -> dict[str, dict[str, int]]:
    """Return every region's counters: ``{"region-0": {"upstream_bytes": 1048576}}``."""
    by_region: dict[str, dict[str, int]] = {}
    ordered = sa.select(schema.ledger).order_by(schema.ledger.c.region, schema.ledger.c.counter)
    for row in conn.execute(ordered):
        by_region.setdefault(row.region, {})[row.counter] = row.value
    return by_region
