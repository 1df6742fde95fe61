"""What can be wrong with a database, in two words: busy, or unavailable.

Busy: another transaction was in the way; nothing of this one happened, and it can be run again.
Unavailable: the database cannot be used now; what this transaction did is unknown only where the
connection broke while it was committed. What a statement of ours got wrong is a defect and is
not translated. No message holds a password or the values of a statement.
"""

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa

from boot_resources import errors


class CatalogBusy(errors.BootResourcesError):
    """Other transactions were in the way for too long; nothing was changed."""


class CatalogUnavailable(errors.BootResourcesError):
    """The catalog's database cannot be reached or used."""


class CatalogTooNew(errors.BootResourcesError):
    """The catalog's schema is from a newer release, and this one may not use it."""


# The primary result codes of https://www.sqlite.org/rescode.html.
_SQLITE_BUSY = {5, 6}
_SQLITE_CURES = {
    8: "make the file and its directory writable for the region's user",
    10: "look at the disk: the system could not read or write the file",
    11: "restore the file from a backup, or move it aside to begin with an empty catalog",
    13: "free space on the file's disk",
    14: "make the file and its directory accessible for the region's user",
    26: "check the path: the file is not a SQLite database",
}
# The SQLSTATEs of https://www.postgresql.org/docs/current/errcodes-appendix.html.
_POSTGRESQL_BUSY = {"40001", "40P01", "55P03", "57014"}
_POSTGRESQL_CURES = {
    # So a standby answers who begins a transaction that may write.
    "0A000": "the server is a standby: give the URL of the primary",
    "08": "check that the server runs and that this host can reach it",
    "25006": "the server is a standby: give the URL of the primary",
    "25P03": "this host slept during a transaction; the next one connects again",
    "28": "check the user, the password and the server's pg_hba.conf",
    "3D": "create the database, or correct its name in the URL",
    "42501": "grant the region's role the right to use its tables",
    "53": "the server is short of connections, memory or disk; see its log",
    "57": "the server is stopping or starting; see its log",
    "58": "the server cannot read or write its files; see its log",
    "XX": "the server reports damage; see its log",
}
_UNREACHABLE = "check that the server runs, and the host, port, user and password in the URL"


@contextlib.contextmanager
def translated(place: str, password: str | None) -> Iterator[None]:
    """Turn what a driver raises within into one of this module's errors.

    Args:
        place: the database's URL without its password, for the message.
        password: what no message may hold.

    Raises:
        CatalogBusy: a lock or a connection could not be had in time, or transactions collided.
        CatalogUnavailable: the database cannot be reached or used.
    """
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise CatalogBusy(
            f"no connection to the catalog at {place} became free in time", "try again"
        ) from error
    except sa.exc.DBAPIError as error:
        refusal = _refusal(error, place)
        if refusal is None:
            raise
        if password and password in str(refusal):
            refusal = type(refusal)(str(refusal).replace(password, "***"), refusal.cure)
            raise refusal from None
        raise refusal from error


def _refusal(error: sa.exc.DBAPIError, place: str) -> errors.BootResourcesError | None:
    """Return what ``error`` means, or None where it is a defect."""
    if hasattr(error.orig, "sqlite_errorcode"):
        return _sqlite_refusal(error, place)
    return _postgresql_refusal(error, place)


def _sqlite_refusal(error: sa.exc.DBAPIError, place: str) -> errors.BootResourcesError | None:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_BUSY:
        return _busy(error, place)
    if code in _SQLITE_CURES:
        return _unavailable(error, place, _SQLITE_CURES[code])
    return None


def _postgresql_refusal(error: sa.exc.DBAPIError, place: str) -> errors.BootResourcesError | None:
    state = getattr(error.orig, "sqlstate", None)
    if state in _POSTGRESQL_BUSY:
        return _busy(error, place)
    if state is None:
        reached = not (error.connection_invalidated or isinstance(error, sa.exc.OperationalError))
        return None if reached else _unavailable(error, place, _UNREACHABLE)
    for prefix, cure in _POSTGRESQL_CURES.items():
        if state.startswith(prefix):
            return _unavailable(error, place, cure)
    return _unavailable(error, place, _UNREACHABLE) if error.connection_invalidated else None


def _busy(error: sa.exc.DBAPIError, place: str) -> CatalogBusy:
    return CatalogBusy(f"the catalog at {place} is busy: {_first_line(error)}", "try again")


def _unavailable(error: sa.exc.DBAPIError, place: str, cure: str) -> CatalogUnavailable:
    return CatalogUnavailable(f"the catalog at {place} cannot be used: {_first_line(error)}", cure)


def _first_line(error: sa.exc.DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__
