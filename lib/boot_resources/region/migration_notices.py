"""What a region says of its migration, for as long as it is so.

A run replaces what the run before it said, with two exceptions: what was open stays said beside
what kept a later run from happening, and a run that was refused for what somebody asked says
nothing here, for whoever asked is told.
"""

from collections.abc import Callable, Iterable

from boot_resources import errors, notices
from boot_resources.catalog import handovers
from boot_resources.migration import handover, outcome, turns

SCOPE = "migration"
"""The scope of notices about the migration."""
_NAMED = 3
_OPEN = "open"
_WITHHELD = "; nothing is offered before it has succeeded"
_MEND = (
    "mend them in MAAS and run boot-resources migrate; or bring them with"
    " boot-resources store adopt DIRECTORY, and run it; or give their images up:"
    " boot-resources migrate --accept-lost NAME"
)


class MigrationNotices:
    """The notices of one region about its migration. For one thread."""

    def __init__(self, board: notices.NoticeBoard, withheld: Callable[[], bool]) -> None:
        self._board = board
        self._withheld = withheld
        self._before: tuple[notices.Notice, ...] = ()

    def working(self) -> None:
        """Say that a run is under way."""
        self._before = tuple(e.notice for e in self._board.standing() if e.scope == SCOPE)
        self._say("working", notices.Severity.INFO, "images come out of a MAAS database")

    def nothing(self) -> None:
        """Say nothing: there is nothing to do."""
        self._board.state(SCOPE, [])

    def as_before(self) -> None:
        """Say what was said before the run."""
        self._board.state(SCOPE, self._before)

    def came_to(self, judged: outcome.Outcome) -> None:
        """Say what is open, if anything is."""
        if judged.succeeded:
            self.nothing()
            return
        images = ", ".join(sorted({str(each.image) for each in judged.open})[:_NAMED])
        files = "1 file" if len(judged.open) == 1 else f"{len(judged.open)} files"
        text = f"{files} of MAAS's images did not come, of {images}"
        self._say(_OPEN, notices.Severity.WARNING, text, _MEND)

    def refused(
        self, error: errors.BootResourcesError, known: handovers.Handover | None, place: str | None
    ) -> None:
        """Say why a run was not done, as far as anybody has to know.

        Args:
            error: why.
            known: how the handover stands; None where nobody can tell, too.
            place: which database the region is told of; None where that cannot be read.
        """
        match error:
            case handover.AlreadyFinished():
                self.nothing()
            case turns.AnotherMigrates() | outcome.NothingToLose():
                self.as_before()
            case _ if is_done(known, place):
                self.as_before()
            case _:
                self._failed(str(error), error.cure, again=_came_once(known, place))

    def another(self, error: turns.AnotherMigrates) -> None:
        """Say that this region waits for another one."""
        self._say("another", notices.Severity.INFO, str(error), error.cure)

    def broken(self) -> None:
        """Say that a run failed for no known reason."""
        self._failed("an internal error; the log has the details", "", again=False)

    def _failed(self, problem: str, cure: str, *, again: bool) -> None:
        what = "MAAS was not looked at again" if again else "MAAS's images were not taken over"
        still_open = [each for each in self._before if each.key == _OPEN]
        self._say("failed", notices.Severity.WARNING, f"{what}: {problem}", cure, still_open)

    def _say(
        self,
        key: str,
        severity: notices.Severity,
        text: str,
        cure: str = "",
        beside: Iterable[notices.Notice] = (),
    ) -> None:
        if self._withheld():
            text += _WITHHELD
        self._board.state(SCOPE, [*beside, notices.Notice(key, severity, text, cure)])


def is_done(known: handovers.Handover | None, place: str | None) -> bool:
    """Return whether all that this database had was taken over, and nothing is open since.

    A database whose URL cannot be read is no other one than before.
    """
    return _came_once(known, place) and known is not None and not known.open()


def _came_once(known: handovers.Handover | None, place: str | None) -> bool:
    came = known is not None and known.succeeded is not None
    return came and known is not None and place in (None, known.maas)
