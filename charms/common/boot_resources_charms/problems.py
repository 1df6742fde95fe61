"""Why a unit cannot do all of its work, in words for ``juju status``.

Whatever stands in the way of a unit is a ``Problem``, raised where it is found and turned into a
status in one place. It never puts a unit into the error state: nothing is gained by running the
same hook again before somebody has mended what it names.
"""

import logging
from collections.abc import Callable, Iterator

import ops

from boot_resources import errors

from . import failures

logger = logging.getLogger(__name__)


class Problem(Exception):
    """Somebody must do something: the unit is Blocked.

    Args:
        message: what is wrong, with no full stop.
        cure: what to do about it; empty where the message says all.
    """

    status_of: type[ops.StatusBase] = ops.BlockedStatus

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.cure = cure

    @property
    def sentence(self) -> str:
        """What is wrong and what to do, on one line."""
        return sentence(str(self), self.cure)

    @property
    def status(self) -> ops.StatusBase:
        """The status of a unit that has this problem."""
        return self.status_of(self.sentence)


class Waiting(Problem):
    """Another unit, or Juju, will do something: the unit is Waiting."""

    status_of = ops.WaitingStatus


def of_refusal(error: errors.BootResourcesError) -> Problem:
    """Return a refusal of the engine, or of this machine, as a problem in its own words."""
    if isinstance(error, failures.CommandFailed) and error.status == errors.EXIT_UNREACHABLE:
        return Waiting(str(error), error.cure)
    return Problem(str(error), error.cure)


def of_juju(error: ops.ModelError) -> Problem:
    """Return what a tool of Juju's refused as something that the next hook tries again."""
    return Waiting(f"Juju refused: {error}", "it is tried again at the next hook")


def sentence(message: str, cure: str) -> str:
    """Return what is wrong and what to do about it as one line."""
    line = "; ".join(part for part in (message, cure) if part)
    return " ".join(line.split())


class Attempts:
    """The steps of one reconcile, and what stood in their way.

    Attributes:
        problems: in the order in which they were met.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def make(self, step: Callable[[], None]) -> bool:
        """Take a step and return whether it was done; what stood in its way is noted."""
        try:
            step()
        except Problem as problem:
            self.note(problem)
            return False
        except errors.BootResourcesError as error:
            self.note(of_refusal(error))
            return False
        except ops.ModelError as error:
            self.note(of_juju(error))
            return False
        return True

    def note(self, problem: Problem) -> None:
        """Note what stands in the way of a part of the work."""
        logger.warning("%s", problem.sentence)
        self.problems.append(problem)


def caught(statuses: Iterator[ops.StatusBase]) -> Iterator[ops.StatusBase]:
    """Yield the statuses, and as the last one what stands in the way of further ones."""
    try:
        yield from statuses
    except Problem as problem:
        yield problem.status
    except errors.BootResourcesError as error:
        yield of_refusal(error).status
    except ops.ModelError as error:
        yield of_juju(error).status
