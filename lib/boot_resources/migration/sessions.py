"""One worker's connection to MAAS's database: opened when it is needed, and again when lost.

A connection that is lost says nothing of what was being read, so that is read on. An error over a
connection that lives is about what was asked, and goes to whoever asked.
"""

import dataclasses
import logging
from collections.abc import Callable

import psycopg

from boot_resources.migration import database

logger = logging.getLogger(__name__)
# Locks, resources, an operator's or the server's intervention, the connection itself.
_PASSING = ("08", "53", "55", "57")

Read = Callable[[database.Connection], None]
"""Reads on from where it was; called anew after each loss."""
Came = Callable[[], int]
"""Returns how much is there by now; what grows is worth going on for."""
Pause = Callable[[float], None]
"""Waits that many seconds, or raises where there is no more reason to."""


@dataclasses.dataclass(frozen=True)
class Patience:
    """How often to connect anew.

    Attributes:
        attempts: losses in a row, without anything that came in between, that are too many.
        pause: seconds before the second attempt; each later pause is twice as long.
    """

    attempts: int = 6
    pause: float = 1.0


class Session:
    """A connection that comes back. For one thread."""

    def __init__(self, maas: database.Database, patience: Patience, pause: Pause) -> None:
        self._maas = maas
        self._patience = patience
        self._pause = pause
        self._connection: database.Connection | None = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def persist(self, read: Read, came: Came) -> None:
        """Call ``read`` until it ends without losing its connection.

        Raises:
            database.Unreachable: it was lost too often in a row without bringing anything.
            psycopg.Error: the server's answer to what was asked.
        """
        losses = 0
        while True:
            before = came()
            try:
                if self._connection is None:
                    self._connection = self._maas.connect()
                read(self._connection)
                return
            except (psycopg.OperationalError, database.Unreachable) as error:
                problem = self._loss(error)
            losses = 1 if came() > before else losses + 1
            if losses >= self._patience.attempts:
                raise problem
            logger.warning("%s; connecting again", problem)
            self._pause(self._patience.pause * 2 ** (losses - 1))

    def _loss(self, error: psycopg.OperationalError | database.Unreachable) -> Exception:
        """Return what is to be said of a lost connection; raise what is none."""
        if isinstance(error, database.Unreachable):
            return error
        lives = self._connection is not None and not self._connection.closed
        if lives and not (error.sqlstate or "").startswith(_PASSING):
            raise error
        self.close()
        problem = self._maas.unreachable(error)
        problem.__cause__ = error
        return problem
