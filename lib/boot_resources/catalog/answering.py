"""Connections to PostgreSQL that do not wait for ever for an answer.

A server's own limits (``lock_timeout`` and the like) are of no use where the server itself stands
still: a disk that hangs, a host that swaps, a process that was stopped. Its kernel goes on
acknowledging what we send, so TCP notices nothing either. So every wait for an answer ends here,
and with it the connection: nobody knows what would come next on it.

Limits of the server's that are meant to strike first must be shorter than ours.
"""

import time
from collections.abc import Callable, Generator
from typing import Any

import psycopg


class Patience:
    """How long connections wait for one answer, in seconds; it can be changed at any time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Silent(psycopg.OperationalError):
    """The server took a question and did not answer it in time."""


class Connection(psycopg.Connection[Any]):
    """A connection of one catalog.

    Attributes:
        patience: of the catalog; set right after connecting, which has a limit of its own.
    """

    patience: Patience

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what psycopg does to wait for an answer, and give up in time.

        Raises:
            Silent: there was none; the connection is closed.
        """
        try:
            return super().wait(_limited(gen, lambda: self.patience.seconds), *args, **kwargs)
        except Silent:
            self.pgconn.finish()
            raise


def connect(patience: Patience, *args: Any, **kwargs: Any) -> Connection:
    """Connect as ``psycopg.connect`` does."""
    connection = Connection.connect(*args, **kwargs)
    connection.patience = patience
    return connection


def _limited(
    waiting: Generator[Any, Any, Any], limit: Callable[[], float]
) -> Generator[Any, Any, Any]:
    """Do what ``waiting`` does, and look at the clock whenever nothing came for a moment.

    psycopg's operations are generators: they yield what they wait for, and are sent what of it
    is ready, or nothing (0) ten times a second.
    """
    began = time.monotonic()
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() - began > limit():
                raise Silent(f"the server gave no answer for {limit():g} seconds")
            wanted = waiting.send(ready)
    except StopIteration as end:
        return end.value
