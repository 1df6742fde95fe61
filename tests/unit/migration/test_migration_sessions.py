"""A connection that is lost is made anew, with longer and longer pauses, and not for ever."""

import psycopg
import pytest

from boot_resources.migration import database, sessions

NOWHERE = database.Database("host=127.0.0.1 port=1 dbname=maasdb user=maas")


class Reading:
    """Something that is read on over one connection after another.

    Attributes:
        paused: the seconds of each pause.
        came: how much is there.
    """

    def __init__(self, *outcomes: Exception | int) -> None:
        self.paused: list[float] = []
        self.came = 0
        self._outcomes = list(outcomes)

    def read(self, _: object) -> None:
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        self.came += outcome
        if self._outcomes:
            raise psycopg.OperationalError("the connection is gone")

    def persist(self, maas: database.Database = NOWHERE) -> None:
        session = sessions.Session(maas, sessions.Patience(4, 0.5), self.paused.append)
        session.persist(self.read, lambda: self.came)


class Somewhere(database.Database):
    """A database that can be reached; what is read of it is the test's."""

    def __init__(self) -> None:
        super().__init__("host=127.0.0.1 dbname=maasdb")

    def connect(self) -> database.Connection:
        return Closed()  # type: ignore[return-value]


class Closed:
    """A connection that is lost already."""

    closed = True

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


class Alive(Closed):
    """A connection that lives on."""

    closed = False


def test_it_ends_after_so_many_losses_in_a_row() -> None:
    reading = Reading()
    with pytest.raises(database.Unreachable, match="maasdb cannot be used"):
        reading.persist()
    assert reading.paused == [0.5, 1.0, 2.0]


def test_what_comes_in_between_begins_the_count_anew() -> None:
    reading = Reading(1, 0, 0, 1, 0, 0, 1)
    reading.persist(Somewhere())
    assert reading.came == 3
    assert reading.paused == [0.5, 1.0, 2.0, 0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("answer", "passing"),
    [
        (psycopg.errors.AdminShutdown("bye"), True),
        (psycopg.errors.DiskFull("no space"), True),
        (psycopg.errors.LockNotAvailable("locked"), True),
        (psycopg.errors.IoError("could not read block 5"), False),
        (psycopg.errors.UndefinedObject("large object 5 does not exist"), False),
        (psycopg.errors.DataCorrupted("missing chunk"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_an_answer_about_what_was_asked_is_no_loss(answer: Exception, passing: bool) -> None:
    class Alone(Somewhere):
        def connect(self) -> database.Connection:
            return Alive()  # type: ignore[return-value]

    reading = Reading(answer, 0)
    if passing:
        reading.persist(Alone())
        assert reading.paused == [0.5]
    else:
        with pytest.raises(type(answer)):
            reading.persist(Alone())
        assert reading.paused == []
