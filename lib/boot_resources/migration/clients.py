"""Who is connected to a MAAS database besides us.

MAAS itself is whoever connects as the role that owns its tables. It may change images at any time,
so an export refuses while it is there, or looks again at the end until nothing changed.
"""

import dataclasses
from collections.abc import Iterable

from boot_resources import errors
from boot_resources.migration import database

_OURS = "boot-resources%"


class MaasConnected(errors.BootResourcesError):
    """MAAS runs on the database that is to be exported."""


@dataclasses.dataclass(frozen=True)
class Client:
    """Sessions of one kind in the database.

    Attributes:
        user: the role.
        application: what it calls itself; empty where it says nothing.
        address: where it comes from; empty for a socket, or where we may not see it.
        sessions: how many.
        is_maas: whether the role is the one that owns MAAS's tables.
    """

    user: str
    application: str
    address: str
    sessions: int
    is_maas: bool

    def __str__(self) -> str:
        who = " ".join(filter(None, [self.user, self.application, self.address]))
        return f"{who} ({self.sessions})"


def connected(conn: database.Connection) -> tuple[Client, ...]:
    """Return who else is connected to this database."""
    # Of other roles' sessions an ordinary role sees neither address nor kind.
    rows = conn.execute(
        """
        SELECT a.usename, a.application_name, coalesce(host(a.client_addr), ''), count(*)::int,
               a.usesysid = (
                   SELECT relowner FROM pg_class
                   WHERE oid = 'public.maasserver_bootresource'::regclass
               )
        FROM pg_catalog.pg_stat_activity a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
          AND coalesce(a.backend_type, 'client backend') = 'client backend'
          AND a.application_name NOT LIKE %s
        GROUP BY 1, 2, 3, 5 ORDER BY 1, 2, 3
        """,
        [_OURS],
    )
    return tuple(Client(*row) for row in rows)


def require_nobody(clients: Iterable[Client]) -> None:
    """Do nothing where MAAS is not connected.

    Raises:
        MaasConnected: it is.
    """
    found = [each for each in clients if each.is_maas]
    if found:
        raise MaasConnected(
            f"MAAS is connected to its database: {', '.join(map(str, found))}",
            "stop MAAS's region controllers, or migrate --online and leave its images alone",
        )
