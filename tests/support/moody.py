"""Regions with moods, which count every block that they give, and racks that forgive them soon."""

import collections
import enum
import re
import threading
from collections.abc import Callable

from boot_resources.plane import tls
from boot_resources.rack import regions
from boot_resources.store import scrub
from support import cloud as clouds
from support import plane_region


def prepare() -> None:
    """Let a nursery's racks give up, and try again, soon; and keep their scrub asleep.

    A scrub reads by the clock, so what it finds when cannot be foretold. It has its own tests.
    """
    regions.PATIENCE = 0.2
    regions._FIRST_PENALTY = 0.01
    regions._LONGEST_PENALTY = 0.05
    regions._PAUSE = 0.01
    setattr(scrub.Scrub, "_run", lambda _: None)  # noqa: B010 - mypy forbids the other way


class Mood(enum.StrEnum):
    """What a region does with a request for an object."""

    GOOD = "good"
    MISSING = "it says that it has no such object"
    ERROR = "it says that it cannot serve now"
    CUT = "it breaks off after some blocks"
    EARLY = "it ends in the middle of a block"
    WRONG = "it sends a block that is not the object's, and breaks off"
    SILENT = "it says nothing, until it hangs up"
    HOLDING = "it holds a block back, until it hangs up"


FAILING = (Mood.MISSING, Mood.ERROR, Mood.CUT, Mood.EARLY, Mood.WRONG)


class Moody(clouds.Region):
    """A region with a mood.

    Attributes:
        given: how often it gave each right block, by object and index, since ``be``.
        look: called whenever it gives a block.
    """

    def __init__(self, identity: tls.Identity) -> None:
        super().__init__(identity)
        self.given: collections.Counter[tuple[str, int]] = collections.Counter()
        self.look: Callable[[], None] = lambda: None
        self.script = self._give
        self._turn = threading.Lock()
        self.be(Mood.GOOD)

    def be(self, mood: Mood, after: int = 0) -> None:
        """Be in that mood, once ``after`` blocks were given, and count anew."""
        self.mood = mood
        self.gate = clouds.Gate()
        self._left = after
        self._ended_early = False
        self.given.clear()

    def hang_up(self) -> None:
        """End what is held back, and be good again."""
        self.mood = Mood.GOOD
        self.gate.open()

    def _answer(self, handler: plane_region.Handler) -> bool:
        mood = self.mood
        if re.match(r"/v1/objects/", handler.path):
            if mood is Mood.SILENT:
                self.gate.wait()
                raise clouds.Cut
            if mood in (Mood.MISSING, Mood.ERROR):
                handler.reply(404 if mood is Mood.MISSING else 500)
                return True
        return super()._answer(handler)

    def _send_object(self, handler: plane_region.Handler, sha256: str) -> None:
        super()._send_object(handler, sha256)
        if self._ended_early:
            raise clouds.Cut

    def _give(self, sha256: str, index: int, data: bytes) -> bytes:
        self.look()
        with self._turn:
            self._left -= 1
            if self.mood is Mood.GOOD or self._left >= 0:
                self.given[sha256, index] += 1
                return data
            is_first = self._left == -1
        if self.mood is Mood.HOLDING:
            self.gate.wait()
        if self.mood is Mood.EARLY and is_first:
            self._ended_early = True
            return data[: len(data) // 2]
        if self.mood is Mood.WRONG and is_first:
            return data[:-1] + bytes([data[-1] ^ 1])
        raise clouds.Cut


def given(*those: Moody) -> dict[str, collections.Counter[int]]:
    """Return how often all of them together gave each right block of each object."""
    total: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    for region in those:
        for (sha256, index), count in region.given.items():
            total[sha256][index] += count
    return total
