"""Large objects of hundreds of megabytes, and thousands of small ones, made by the server itself.

Page ``n`` holds the MD5 of ``n`` again and again, so that both sides can make it: a page in the
wrong place is another page.
"""

import hashlib

from support import maas

PAGE = 2048
"""Bytes of a large object's page: LOBLKSIZE, where PostgreSQL's block size is the usual one."""
_REPEATS = PAGE // 16


def page(number: int) -> bytes:
    """Return the bytes of a page."""
    return hashlib.md5(str(number).encode()).digest() * _REPEATS


def sha256(size: int, *present: range) -> str:
    """Return the hash of ``size`` bytes, which are zeros where no page is ``present``."""
    whole = hashlib.sha256()
    hole = bytes(PAGE)
    for number in range(-(-size // PAGE)):
        there = any(number in run for run in present)
        whole.update((page(number) if there else hole)[: size - number * PAGE])
    return whole.hexdigest()


def add_pages(found: maas.MaasDatabase, oid: int, size: int, *present: range) -> None:
    """Give a large object without any these pages; none reaches beyond ``size``."""
    for run in present:
        found.execute(
            "INSERT INTO pg_catalog.pg_largeobject SELECT %s, n, substr("
            f"decode(repeat(md5(n::text), {_REPEATS}), 'hex'), 1,"
            f" least({PAGE}, %s::bigint - n::bigint * {PAGE})::int)"
            " FROM generate_series(%s::int, %s::int) n",
            *(oid, size, run.start, run.stop - 1),
            role="postgres",
        )


def store(found: maas.MaasDatabase, size: int, *present: range) -> maas.Stored:
    """Store a large file of ``size`` bytes, of which only the pages ``present`` are there."""
    stored = found.store(b"", says=b"%d" % size)
    add_pages(found, stored.oid, size, *present)
    name = sha256(size, *present)
    found.execute(
        "UPDATE maasserver_largefile SET sha256 = %s, size = %s, total_size = %s WHERE id = %s",
        *(name, size, size, stored.id),
    )
    return maas.Stored(stored.id, name, stored.oid, size)


def store_many(found: maas.MaasDatabase, count: int) -> set[str]:
    """Give an image that many small files; return the names of their bytes."""
    found.execute(
        "INSERT INTO maasserver_largefile (created, updated, sha256, total_size, size, content)"
        " SELECT now(), now(), encode(sha256(b), 'hex'), length(b), length(b), lo_from_bytea(0, b)"
        " FROM generate_series(1, %s::int) n, convert_to('file ' || n, 'UTF8') b",
        count,
    )
    own, values = "", ""
    if found.kind == maas.V3_5:
        own, values = ", sha256, size", ", l.sha256, l.total_size"
    found.execute(
        "INSERT INTO maasserver_bootresourcefile (created, updated, filename, filetype, extra,"
        f" largefile_id, resource_set_id{own}) SELECT now(), now(), 'f' || l.id, 'squashfs',"
        f" '{{}}', l.id, %s{values} FROM maasserver_largefile l",
        found.version(found.resource("ubuntu/noble"), "20240501"),
    )
    bodies = (f"file {number}".encode() for number in range(1, count + 1))
    return {hashlib.sha256(body).hexdigest() for body in bodies}
