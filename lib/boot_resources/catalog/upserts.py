"""Insert-or-update, which SQLite and PostgreSQL spell alike and SQLAlchemy keeps per dialect."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert(conn: sa.Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT into ``table`` that has ``on_conflict_do_update`` and ``…_nothing``."""
    if conn.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)
