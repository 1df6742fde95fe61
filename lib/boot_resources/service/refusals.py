"""Who was refused at a port: counted, said in the log and in the status, and never a flood.

Always true: however much is refused, the log grows by at most ``LINES`` lines in ``WINDOW``
seconds, and says that there was more. The notices change at most as often as that. What strangers
wrote is kept printable and short.

Safe to use from several threads.
"""

import dataclasses
import datetime
import enum
import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Any

from prometheus_client import core

from boot_resources import notices, units
from boot_resources.service import logs

logger = logging.getLogger(__name__)
LINES = 20
"""Refusals that are logged in one window; one more line says that the rest is counted."""
WINDOW = 60.0
"""Seconds."""
REMEMBERED = 600.0
"""Seconds for which a notice stands after the last refusal of its kind."""
_LONGEST = 300
"""Characters of a reason that are kept."""


SCOPE = "refused"
"""The scope of notices about who was turned away."""


class Reason(enum.StrEnum):
    """Why somebody was refused."""

    HANDSHAKE = "handshake"
    """No certificate, or one that does not count; or no TLS as it should be."""
    MEMBER = "member"
    """A good certificate whose key the member list does not have, or not in that role."""
    REQUEST = "request"
    """No HTTP request that this port understands."""
    FULL = "full"
    """As many connections as the port takes were open."""


@dataclasses.dataclass(frozen=True)
class Refusal:
    """One refusal; ``who`` is an address, and ``why`` one clause."""

    when: datetime.datetime
    reason: Reason
    who: str
    why: str
    cure: str = ""


class Refusals:
    """The refusals of one port.

    Args:
        port: what the log and the notices call it, for example ``"plane port"``.
        noticed: the reasons of which a notice speaks.
        clock: seconds; a test's own.
    """

    def __init__(
        self,
        port: str,
        noticed: Collection[Reason] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port = port
        self._noticed = noticed
        self._clock = clock
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(Reason, 0)
        self._last: dict[Reason, tuple[float, Refusal]] = {}
        self._latest: Refusal | None = None
        self._window_began = -WINDOW
        self._in_window = 0
        self._stated: dict[Reason, tuple[float, notices.Notice]] = {}

    @property
    def counts(self) -> dict[Reason, int]:
        """How many were refused since the start, by reason."""
        with self._lock:
            return dict(self._counts)

    def note(self, reason: Reason, who: str, why: str, cure: str = "") -> None:
        """Count a refusal, and log it unless too many were logged lately."""
        refusal = Refusal(
            units.utc_now(), reason, logs.printable(who), logs.printable(why)[:_LONGEST], cure
        )
        with self._lock:
            now = self._clock()
            self._counts[reason] += 1
            self._last[reason] = (now, refusal)
            self._latest = refusal
            unsaid = self._turn(now)
            self._in_window += 1
            place = self._in_window
        if unsaid:
            logger.warning("%d more were refused at the %s and not logged", unsaid, self.port)
        if place <= LINES:
            logger.warning("refused %s at the %s: %s", refusal.who, self.port, refusal.why)
        elif place == LINES + 1:
            logger.warning(
                "more are refused at the %s; for a minute they are counted and not logged",
                self.port,
            )

    def _turn(self, now: float) -> int:
        """Begin a new window where the old one is over; return what the old one did not log."""
        if now - self._window_began < WINDOW:
            return 0
        unsaid = max(0, self._in_window - LINES)
        self._window_began, self._in_window = now, 0
        return unsaid

    def describe(self) -> dict[str, Any]:
        """Return counts by reason, and the last refusal, as plain values for JSON."""
        with self._lock:
            counts = {reason.value: count for reason, count in self._counts.items()}
            latest = self._latest
        return counts | {"last": None if latest is None else _describe(latest)}

    def notices(self) -> list[notices.Notice]:
        """Return what an operator should know: one notice for each reason, as of its last refusal.

        What stands changes its words once in a window at most.
        """
        with self._lock:
            now = self._clock()
            for reason in self._noticed:
                when, refusal = self._last.get(reason, (now - REMEMBERED, None))
                stated_at, _ = self._stated.get(reason, (now - WINDOW, None))
                if refusal is None or now - when >= REMEMBERED:
                    self._stated.pop(reason, None)
                elif now - stated_at >= WINDOW:
                    self._stated[reason] = (now, _notice(self.port, refusal))
            return [notice for _, notice in self._stated.values()]


def metric(name: str, refused: Refusals) -> core.Metric:
    """Return the counts of a port for Prometheus, by reason."""
    family = core.CounterMetricFamily(name, "Connections and requests refused.", labels=["reason"])
    for reason, count in refused.counts.items():
        family.add_metric([reason.value], count)
    return family


def _describe(refusal: Refusal) -> dict[str, str]:
    return {
        "when": refusal.when.isoformat(timespec="seconds"),
        "reason": refusal.reason.value,
        "who": refusal.who,
        "why": refusal.why,
    }


def _notice(port: str, refusal: Refusal) -> notices.Notice:
    return notices.Notice(
        f"refused-{refusal.reason}",
        notices.Severity.WARNING,
        f"{refusal.who} was refused at the {port} at {refusal.when:%Y-%m-%d %H:%M:%S} UTC: "
        f"{refusal.why}",
        refusal.cure or "find out who that is; the log and the metrics tell how often",
    )
