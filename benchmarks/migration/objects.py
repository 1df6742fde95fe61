"""Large objects of real sizes, full of noise, as a MAAS database holds them."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Iterator

import psycopg
from psycopg import sql

from benchmarks.migration import server

OWNER, READER = "maas", "reader"
"""The role whose they are; one that was granted SELECT on ``pg_largeobject``."""
_CHUNK = 10 * 1024 * 1024
"""Bytes that MAAS writes at once."""

SIZES = (
    # Ubuntu 22.04 and 24.04, for amd64 and arm64: squashfs, initrd and kernel of each.
    *(455_462_912, 115_876_578, 11_708_744),
    *(418_373_632, 103_565_269, 15_231_417),
    *(271_732_736, 78_320_319, 15_010_184),
    *(260_210_688, 74_936_777, 18_298_233),
    # The bootloaders.
    *(1_228_336, 321_940, 1_207_316, 293_492, 516_068, 419_944, 424_200),
)
"""Bytes of what is newest of these in images.maas.io/ephemeral-v3/stable in August 2025."""


@dataclasses.dataclass(frozen=True)
class Object:
    """A large object, and the sha256 of its bytes."""

    oid: int
    size: int
    sha256: str


def sizes(total: int | None) -> list[int]:
    """Return the sizes, scaled so that they come to ``total`` bytes; None for as they are."""
    scale = 1.0 if total is None else total / sum(SIZES)
    return [max(1, round(size * scale)) for size in SIZES]


def prepare(running: server.Server) -> None:
    """Make the roles, with the server's only password."""
    with psycopg.connect(running.url("postgres"), autocommit=True) as conn:
        for role in (OWNER, READER):
            created = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            secret = sql.Literal(os.environ["PGPASSWORD"])
            conn.execute(created.format(sql.Identifier(role), secret))
        conn.execute(f"GRANT SELECT ON pg_catalog.pg_largeobject TO {READER}".encode())


def store(running: server.Server, wanted: Iterable[int]) -> list[Object]:
    """Make large objects of these sizes, as their owner; they are durable, and analysed."""
    with psycopg.connect(running.url(OWNER), autocommit=True) as conn:
        made = [_store(conn, size) for size in wanted]
    with psycopg.connect(running.url("postgres"), autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE pg_catalog.pg_largeobject")
        conn.execute("CHECKPOINT")
    return made


def _store(conn: psycopg.Connection[tuple[int]], size: int) -> Object:
    row = conn.execute("SELECT lo_create(0)").fetchone()
    assert row is not None, "a SELECT without FROM gives one row"
    (oid,) = row
    whole = hashlib.sha256()
    for start, chunk in _noise(size):
        whole.update(chunk)
        conn.execute("SELECT lo_put(%s, %s, %b)", [oid, start, chunk])
    return Object(oid, size, whole.hexdigest())


def _noise(size: int) -> Iterator[tuple[int, bytes]]:
    """Yield bytes that PostgreSQL cannot compress, and where each piece of them begins."""
    for start in range(0, size, _CHUNK):
        yield start, os.urandom(min(_CHUNK, size - start))
