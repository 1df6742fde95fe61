"""Notices: conditions that an operator should know of, each with its cure.

A notice is not an event. It stands for as long as its condition holds and goes away by itself,
because whoever checks a condition states *all* that is wrong now, in a scope of its own
(``"storage"``, ``"source"``, ...), and what was stated before and is not stated now is cleared.
"""

import dataclasses
import datetime
import enum
import logging
import threading
from collections.abc import Iterable

from boot_resources import units

logger = logging.getLogger(__name__)


class Severity(enum.IntEnum):
    """How much a notice matters; the larger the worse."""

    INFO = 10
    """Worth knowing; everything works."""
    WARNING = 20
    """Something does not work as it should; what is available goes on being served."""
    CRITICAL = 30
    """Machines, or the integrity of an image, are affected."""


_LOG_LEVELS = {
    Severity.INFO: logging.INFO,
    Severity.WARNING: logging.WARNING,
    Severity.CRITICAL: logging.ERROR,
}


@dataclasses.dataclass(frozen=True)
class Notice:
    """One condition that holds now.

    Attributes:
        key: what names the condition within its scope, for example ``"space"``.
        severity: how much it matters.
        text: one sentence: what is wrong, where.
        cure: one sentence: what to do next.
    """

    key: str
    severity: Severity
    text: str
    cure: str = ""


@dataclasses.dataclass(frozen=True)
class Standing:
    """A notice as it stands on a board: who raised it, and since when."""

    scope: str
    unit: str
    notice: Notice
    since: datetime.datetime


def describe(standing: Standing) -> dict[str, str]:
    """Return a standing notice as plain values, for JSON."""
    return {
        "scope": standing.scope,
        "unit": standing.unit,
        "key": standing.notice.key,
        "severity": standing.notice.severity.name.lower(),
        "text": standing.notice.text,
        "cure": standing.notice.cure,
        "since": standing.since.isoformat(timespec="seconds"),
    }


class NoticeBoard:
    """The notices of one unit, in memory: they can be raised with the disk full and no database.

    What is raised and what is cleared goes to the log as well.

    Safe to use from several threads.

    Attributes:
        unit: whose board it is.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self._lock = threading.Lock()
        self._standing: dict[tuple[str, str], Standing] = {}

    def state(self, scope: str, notices: Iterable[Notice]) -> None:
        """Make ``notices`` the whole of what is wrong in ``scope`` now.

        A notice that stood already keeps its ``since``; one that is no longer stated is cleared.
        """
        now = units.utc_now()
        stated = {(scope, notice.key): notice for notice in notices}
        with self._lock:
            for place in [p for p in self._standing if p[0] == scope and p not in stated]:
                logger.info("no longer: %s", self._standing.pop(place).notice.text)
            for place, notice in stated.items():
                before = self._standing.get(place)
                if before is None or before.notice != notice:
                    logger.log(_LOG_LEVELS[notice.severity], "%s", notice.text)
                since = before.since if before else now
                self._standing[place] = Standing(scope, self.unit, notice, since)

    def standing(self) -> list[Standing]:
        """Return what stands, the worst first, then the oldest."""
        with self._lock:
            found = list(self._standing.values())
        return sorted(found, key=lambda s: (-s.notice.severity, s.since, s.scope, s.notice.key))
