"""Which MAAS left this database: told by its tables, their columns and its migrations.

MAAS 3.4 has the images' hashes and sizes with the large files only; its successor copied them to
the rows of the files (migration 0308), let a file be without a large file, and moves the images
to disk at its own next start. What comes after 3.7 has no large files at all. Whatever is neither
is refused in one line. Source: MAAS's migrations 0304 to 0330, and the dump of a 3.4.
"""

import dataclasses
import enum
from collections.abc import Mapping

from boot_resources import errors
from boot_resources.migration import database

LAST_OF_3_4 = "0304_interface_params_no_autoconf"
FIRST_OF_3_5 = "0308_remove_images_from_db"

_NEEDED = {
    "django_migrations": {"app", "name"},
    "maasserver_bootresource": {
        *("id", "rtype", "name", "architecture", "extra", "kflavor"),
        *("bootloader_type", "rolling", "base_image"),
    },
    "maasserver_bootresourceset": {"id", "version", "label", "resource_id"},
    "maasserver_bootresourcefile": {
        *("id", "filename", "filetype", "extra", "largefile_id", "resource_set_id"),
    },
    "maasserver_largefile": {"id", "sha256", "total_size", "content", "size"},
}
_USEFUL = ("maasserver_bootsourcecache", "maasserver_bootresourcefilesync", "maasserver_node")


class NotMaas(errors.BootResourcesError):
    """The database is not one of MAAS's."""


class TooOld(errors.BootResourcesError):
    """The database is of a MAAS before 3.4."""


class TooNew(errors.BootResourcesError):
    """The database is of a MAAS that keeps no images in it."""


class NotAllowed(errors.BootResourcesError):
    """The role that we are may not read what it would have to."""


class Generation(enum.Enum):
    """The MAAS releases whose databases differ for us."""

    V3_4 = "3.4"
    V3_5 = "3.5 to 3.7"


@dataclasses.dataclass(frozen=True)
class Shape:
    """What tells one schema from another.

    Attributes:
        database: its name, for messages.
        role: who we are in it.
        columns: the columns of each table of MAAS's that we know, by table.
        forbidden: those of these tables that we may not read.
        migrations: names of MAAS's own migrations that were applied.
    """

    database: str
    role: str
    columns: Mapping[str, frozenset[str]]
    forbidden: tuple[str, ...]
    migrations: frozenset[str]


def read(conn: database.Connection) -> Shape:
    """Return what tells this database's schema."""
    # information_schema would hide what this role may not read, and so call it missing.
    rows = conn.execute(
        """
        SELECT c.relname, has_table_privilege(c.oid, 'SELECT'), array_agg(a.attname::text)
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT attisdropped
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname = ANY(%s)
        GROUP BY c.oid, c.relname ORDER BY c.relname
        """,
        [[*_NEEDED, *_USEFUL]],
    ).fetchall()
    forbidden = tuple(table for table, readable, _ in rows if not readable)
    columns = {table: frozenset(found) for table, _, found in rows}
    applied: frozenset[str] = frozenset()
    if "django_migrations" in columns and "django_migrations" not in forbidden:
        found = conn.execute("SELECT name FROM public.django_migrations WHERE app = 'maasserver'")
        applied = frozenset(name for (name,) in found)
    name, role = conn.execute("SELECT current_database(), current_user").fetchone() or ("", "")
    return Shape(name, role, columns, forbidden, applied)


def recognise(shape: Shape) -> Generation:
    """Return which MAAS left the database.

    Raises:
        NotMaas: none did.
        TooOld: one before 3.4.
        TooNew: one that keeps no images in the database.
        NotAllowed: the role may not read MAAS's tables.
    """
    if "maasserver_bootresource" not in shape.columns:
        raise NotMaas(
            f"the database {shape.database!r} is not one of MAAS's: it has no boot resources",
            "correct the name of the database; 'psql -l' on its server lists them",
        )
    if "maasserver_largefile" not in shape.columns:
        raise TooNew(
            f"the database {shape.database!r} is of a MAAS after 3.7, which keeps no images in it",
            "take over its image-storage: 'boot-resources store adopt DIR' on its region's host",
        )
    if shape.forbidden:
        raise NotAllowed(
            f"the role {shape.role!r} may not read {', '.join(shape.forbidden)}",
            f'as MAAS\'s role: GRANT SELECT ON {", ".join(shape.forbidden)} TO "{shape.role}";',
        )
    if LAST_OF_3_4 not in shape.migrations:
        raise TooOld(
            f"the database {shape.database!r} is of a MAAS before 3.4"
            f" (its migration {LAST_OF_3_4} is missing)",
            "upgrade MAAS to 3.4 first",
        )
    _require_columns(shape)
    is_3_5 = FIRST_OF_3_5 in shape.migrations
    if is_3_5 != ({"sha256", "size"} <= shape.columns["maasserver_bootresourcefile"]):
        raise NotMaas(
            f"the tables of {shape.database!r} are not those of its own list of migrations",
            "let MAAS finish its upgrade, or restore its database, and run this again",
        )
    return Generation.V3_5 if is_3_5 else Generation.V3_4


def _require_columns(shape: Shape) -> None:
    lacking = [
        f"{table}.{column}"
        for table, needed in _NEEDED.items()
        for column in sorted(needed - shape.columns.get(table, frozenset()))
    ]
    if lacking:
        raise TooNew(
            f"the database {shape.database!r} has a schema that we do not know:"
            f" it has no {', '.join(lacking)}",
            "say so to boot-resources' maintainers, with MAAS's version",
        )


def query_for_space(generation: Generation) -> str:
    """Return the SQL that tells the bytes needed, for people who want to run it by hand.

    MAAS's own documents give a query that works from 3.5 on only: the columns came with 0308.
    """
    if generation is Generation.V3_4:
        return (
            "SELECT sum(total_size) FROM maasserver_largefile"
            " WHERE id IN (SELECT largefile_id FROM maasserver_bootresourcefile);"
        )
    return (
        'SELECT sum(n."size") FROM (SELECT DISTINCT ON (f."sha256") f."size"'
        " FROM maasserver_bootresourcefile f WHERE f.largefile_id IS NOT NULL"
        ' ORDER BY f."sha256") n;'
    )
