"""A MAAS database, opened to be read and nothing else.

Always true: every transaction sees one moment (REPEATABLE READ) and is READ ONLY, so PostgreSQL
itself refuses whatever would change something; one module alone opens it otherwise (``removal``).
On MAAS's tables no lock is taken but the one that every SELECT takes, and none at all while bytes
are read; on the server's own table of large objects none that a reader or a writer would wait for.
A standby can be read like its primary; who works on that cannot be seen there (``clients``).
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import conninfo

from boot_resources import errors
from boot_resources.migration import severing

APPLICATION = "boot-resources migrate"
"""How our sessions are called in ``pg_stat_activity``."""
CONNECT_SECONDS = 5
LOCK_SECONDS = 10
"""How long to wait for a table that somebody changes, as MAAS's own migrations do."""

# The SQLSTATEs of https://www.postgresql.org/docs/current/errcodes-appendix.html.
_CURES = {
    "28": "check the user, the password and the server's pg_hba.conf",
    "3D": "correct the name of the database in the URL",
    "55P03": "somebody changes MAAS's tables, perhaps its own upgrade: run it again when it ended",
    "53": "the server is short of connections, memory or disk; see its log",
    "57": "the server is stopping or starting; run it again when it is up",
    "XX": "the server reports damage; see its log",
}
_WRITE = "write postgresql://user:password@host:port/database"
_UNREACHABLE = "check that the server runs, and the host, port, user and password in the URL"
# A refusal while connecting comes without its SQLSTATE: it is known by the words of the server.
_REFUSED = {"password": "28", "pg_hba.conf": "28", "role ": "28", "does not exist": "3D"}

Connection = psycopg.Connection[tuple[Any, ...]]


class Unreachable(errors.BootResourcesError):
    """MAAS's database cannot be reached, or not be used now."""


class Database:
    """Where a MAAS database is, and how it is opened.

    Attributes:
        name: user, host and database, without a password, for people.
        place: host, port and database, whoever opens it.
    """

    def __init__(self, url: str) -> None:
        """Take note of a database; nothing is contacted.

        Args:
            url: ``postgresql://user:password@host:port/database``, or ``key=value`` words.

        Raises:
            errors.SettingsError: it cannot be read.
        """
        limits: dict[str, Any] = {
            "connect_timeout": CONNECT_SECONDS,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
            "options": f"-c lock_timeout={LOCK_SECONDS}s",
        }
        self._lines: severing.Lines | None = None
        given = _parse(url)
        self._options = limits | given | {"application_name": APPLICATION}
        host, database = given.get("host", "localhost"), given.get("dbname", "")
        self.name = f"{given.get('user', '')}@{host}/{database}"
        self.place = f"{host}:{given.get('port', 5432)}/{database}"

    def connect(self) -> Connection:
        """Open one session, whose transactions read one moment and cannot write.

        Raises:
            Unreachable: with what to look at.
        """
        try:
            connection = psycopg.connect(**self._options)
        except psycopg.Error as error:
            raise self.unreachable(error) from error
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        if self._lines is not None:
            self._lines.add(connection.fileno())
        return connection

    @contextlib.contextmanager
    def severed_by(self, stop: threading.Event) -> Iterator[None]:
        """Within, sessions end soon after ``stop`` is set, whether or not the server answers."""
        self._lines = severing.Lines()
        try:
            with self._lines.severed_by(stop):
                yield
        finally:
            self._lines = None

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Give a session with a transaction: all that is read in it is of one moment.

        Raises:
            Unreachable: the database cannot be reached, or broke off.
        """
        connection = self.connect()
        try:
            with connection.transaction():
                yield connection
        except psycopg.Error as error:
            raise self.unreachable(error) from error
        finally:
            connection.close()

    def unreachable(self, error: psycopg.Error) -> Unreachable:
        """Return what a driver's error means to an operator."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        state = error.sqlstate or next((s for word, s in _REFUSED.items() if word in lines[0]), "")
        cure = next((cure for s, cure in _CURES.items() if state.startswith(s)), _UNREACHABLE)
        return Unreachable(f"MAAS's database {self.name} cannot be used: {lines[0]}", cure)


def _parse(url: str) -> dict[str, Any]:
    """Return what a URL says, where nothing of it can be a piece of the password.

    Raises:
        errors.SettingsError: it cannot be read; the message shows nothing of it.
    """
    if not url.strip():
        raise errors.SettingsError("the URL of MAAS's database is empty", _WRITE)
    try:
        given = conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        # The message could hold the password.
        raise errors.SettingsError("the URL of MAAS's database cannot be read", _WRITE) from None
    # In a password that is not encoded libpq finds the end of one part and the begin of the next.
    _, _, parts = url.partition("://")
    login, _, path = parts.partition("/")
    split = login.count("@") > 1 or "@" in path
    ports = str(given.get("port") or "").split(",")
    named = (str(given.get(part) or "") for part in ("host", "dbname"))
    numbers = all(port.isdecimal() or not port for port in ports)
    if split or not numbers or any("@" in name for name in named):
        raise errors.SettingsError(
            "the URL of MAAS's database has an @ or a / where none can be, or no number as port",
            "percent-encode the password (@ is %40, / is %2F, % is %25): " + _WRITE,
        )
    return given
