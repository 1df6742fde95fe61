"""Who is connected to a MAAS database besides us.

For an export, MAAS is whoever connects as a role that may change its images, whichever role owns
the tables: it may do so at any time, so an export refuses while it is there, or looks again at the
end until nothing changed. Before anything is removed nobody else may be there at all. A standby
shows who works on itself and not who works on its primary, so nobody can be ruled out there.
"""

import dataclasses
from collections.abc import Iterable

from boot_resources import errors
from boot_resources.migration import database

_OURS = "boot-resources%"


class MaasConnected(errors.BootResourcesError):
    """MAAS runs on the database that is to be exported."""


class SomebodyConnected(errors.BootResourcesError):
    """Somebody else works on the database out of which something is to be removed."""


class OnStandby(errors.BootResourcesError):
    """The server is a standby: who works on its primary cannot be seen."""


@dataclasses.dataclass(frozen=True)
class Client:
    """Sessions of one kind in the database.

    Attributes:
        user: the role.
        application: what it calls itself; empty where it says nothing.
        address: where it comes from; empty for a socket, or where we may not see it.
        since: when the first of them began, in ISO 8601; empty where we may not see it.
        sessions: how many.
        is_maas: whether the role may change MAAS's images, as MAAS and superusers may.
    """

    user: str
    application: str
    address: str
    since: str
    sessions: int
    is_maas: bool

    def __str__(self) -> str:
        since = f"since {self.since}" if self.since else ""
        who = " ".join(filter(None, [self.user, self.application, self.address, since]))
        return f"{who} ({self.sessions})"


def connected(conn: database.Connection) -> tuple[Client, ...]:
    """Return who else is connected to this database."""
    # Of other roles' sessions an ordinary role sees neither address, start nor kind; those of the
    # server itself have no user.
    rows = conn.execute(
        """
        SELECT a.usename, a.application_name, coalesce(host(a.client_addr), ''),
               coalesce(
                   to_char(min(a.backend_start) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                   ''),
               count(*)::int,
               has_table_privilege(
                   a.usesysid, 'public.maasserver_bootresourcefile', 'INSERT, UPDATE, DELETE')
        FROM pg_catalog.pg_stat_activity a
        WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
          AND a.usesysid IS NOT NULL
          AND coalesce(a.backend_type, 'client backend') = 'client backend'
          AND a.application_name NOT LIKE %s
        GROUP BY a.usesysid, 1, 2, 3 ORDER BY 1, 2, 3
        """,
        [_OURS],
    )
    return tuple(Client(*row) for row in rows)


def is_standby(conn: database.Connection) -> bool:
    """Return whether the server follows another one."""
    row = conn.execute("SELECT pg_is_in_recovery()").fetchone()
    return bool(row and row[0])


def require_no_maas(clients: Iterable[Client], *, standby: bool) -> None:
    """Do nothing where MAAS is not connected.

    Raises:
        MaasConnected: it is.
        OnStandby: nobody could see it.
    """
    found = [each for each in clients if each.is_maas]
    if found:
        raise MaasConnected(
            f"MAAS is connected to its database, or who may change it like MAAS: {_named(found)}",
            "stop MAAS's region controllers and end such sessions, or migrate --online and leave"
            " MAAS's images alone",
        )
    if standby:
        raise OnStandby(
            "the server is a standby: whether MAAS works on its primary cannot be seen there",
            "stop MAAS's region controllers and migrate --online, which looks again at the end;"
            " or name the primary in the URL",
        )


def require_nobody(conn: database.Connection) -> None:
    """Do nothing where nobody else works on this database, and something can be removed.

    Raises:
        SomebodyConnected: somebody does; each is named.
        OnStandby: nothing can be removed there.
    """
    if is_standby(conn):
        raise OnStandby(
            "the server is a standby: nothing can be removed there, nor the sessions on its"
            " primary be seen",
            "name the primary in the URL of the settings",
        )
    found = connected(conn)
    if found:
        raise SomebodyConnected(
            f"somebody else is connected to MAAS's database: {_named(found)}",
            "stop MAAS's region controllers, and end every other session there",
        )


def _named(clients: Iterable[Client]) -> str:
    return ", ".join(map(str, clients))
