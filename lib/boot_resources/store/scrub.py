"""The scrub: a slow, endless reading of all that a store or a cache holds, to find rot.

The audit of a start sees what changed a file's size, time or inode. A disk that loses bits
changes none of them: only reading finds it. The scrub reads every block and holds it against the
block map that the proof left, in the order of the objects' names, at a rate that brings it round
once in a *period*. Where it is lies on the disk, so that a restart goes on there.

Always true: the scrub changes nothing but its own position. What is suspicious it tells its owner,
who decides. An object that it fails at twice is passed over until the next pass, and keeps it from
nothing else. It runs at the lowest priority, in a thread of its own, one block at a time; between
two blocks it holds nothing open, so that what is evicted meanwhile gives its space back.
"""

import bisect
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import threading
import time
from collections.abc import Callable, Mapping

from boot_resources import digests, units
from boot_resources.store import audit, blocks, facts, objects

logger = logging.getLogger(__name__)
FILE = "scrub.json"
"""Name of the file that keeps the position, in the store's or the cache's directory."""
_FORMAT = 1
_LONGEST_PAUSE = 3600.0
"""Seconds: a small store is read faster than its period asks for, a block an hour."""
_KEEP_SECONDS = 60.0
"""How much of the scrub's work a power cut may cost."""
_SPACE = 16 * units.KIB
"""Bytes on the disk that the position takes at most while it is replaced."""
_LOWEST_PRIORITY = 19

Holdings = Callable[[], Mapping[str, int]]
"""What there is to read: about how many bytes each whole object has, by its sha256."""
Suspect = Callable[[str, str], bool]
"""Called with an object and what seems wrong with it, from the scrub's thread; it returns whether
that was so: an object may have gone, or come anew, since."""
Room = Callable[[int], contextlib.AbstractContextManager[bool]]
"""Holds that many bytes for the length of a block; says whether they are there."""


@dataclasses.dataclass(frozen=True)
class Position:
    """Where a scrub is.

    Attributes:
        sha256: the object that is read next; the empty string before the first.
        block: its block that is read next.
        passed: when the last whole pass ended, seconds since the epoch; None before the first. One
            that passed an object over is not whole.
    """

    sha256: str = ""
    block: int = 0
    passed: float | None = None

    def to_bytes(self) -> bytes:
        """Return the content of the file that keeps it."""
        return json.dumps({"format": _FORMAT} | dataclasses.asdict(self)).encode() + b"\n"


def remembered(path: pathlib.Path) -> Position:
    """Return the position that was kept at ``path``; the beginning where there is none usable."""
    try:
        values = json.loads(path.read_bytes())
        position = Position(str(values["sha256"]), int(values["block"]), _moment(values["passed"]))
        usable = values["format"] == _FORMAT and position.block >= 0
    except (OSError, ValueError, KeyError, TypeError):
        return Position()
    named = not position.sha256 or digests.is_sha256(position.sha256)
    return position if usable and named else Position()


def _moment(value: float | None) -> float | None:
    return None if value is None else float(value)


def pause(length: int, total: int, period: float) -> float:
    """Return the seconds after which the next block is due.

    Args:
        length: bytes that were read now.
        total: bytes of a whole pass.
        period: seconds that a whole pass should take.
    """
    return min(_LONGEST_PAUSE, period * length / total if total else period)


@dataclasses.dataclass(frozen=True)
class _Block:
    """What came of reading one block.

    Attributes:
        length: bytes read.
        is_last: whether nothing more of its object is to be read.
        problem: what is wrong with it, or with its object; the empty string: nothing is.
    """

    length: int
    is_last: bool
    problem: str = ""


class Scrub:
    """The scrub of one tree. ``start`` and ``stop`` it once; the rest may be asked by any thread.

    Attributes:
        position: where it is.
        read_bytes: bytes read since the start.
        findings: objects that were not what was proved, since the start.
    """

    def __init__(
        self,
        tree: objects.ObjectTree,
        holdings: Holdings,
        suspect: Suspect,
        period: float,
        room: Room = lambda _: contextlib.nullcontext(True),
    ) -> None:
        """Put the parts together; nothing is read yet.

        Args:
            tree: the objects.
            holdings: asked at the beginning of each pass.
            suspect: is told what seems wrong.
            period: seconds that a whole pass should take.
            room: holds the bytes for the position while it is written: a cache has a bound.
        """
        self.position = Position()
        self.read_bytes = 0
        self.findings = 0
        self._tree = tree
        self._file = tree.root / FILE
        self._holdings = holdings
        self._suspect = suspect
        self._period = period
        self._room = room
        self._kept = time.monotonic()
        self._is_whole = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="scrub", daemon=True)

    def start(self) -> None:
        """Begin where the last one ended, once somebody is known to have the directory."""
        self.position = remembered(self._file)
        self._thread.start()

    def stop(self) -> None:
        """End it, and keep where it is."""
        self._stop.set()
        self._thread.join()

    @property
    def stopping(self) -> bool:
        """Whether it is to end."""
        return self._stop.is_set()

    def describe(self) -> dict[str, float | int | None]:
        """Return how it goes, for the status."""
        return {
            "last_pass": self.position.passed,
            "bytes": self.read_bytes,
            "findings": self.findings,
        }

    def _run(self) -> None:
        # Linux has a priority for each thread; reads of the disk follow it where the disk's
        # scheduler knows priorities.
        with contextlib.suppress(OSError):  # A service may be forbidden to; it reads all the same.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
        while not self.stopping:
            try:
                self._pass()
            except audit.Ended:
                break
            except Exception:
                logger.exception("the scrub could not begin a pass; it tries again later")
                self._rest()
        self._keep()

    def _rest(self) -> bool:
        """Wait after a failure; return whether the scrub is to end."""
        return self._stop.wait(min(_LONGEST_PAUSE, self._period))

    def _pass(self) -> None:
        """Read all that is there, from the position on."""
        sizes = dict(self._holdings())
        names = sorted(sizes)
        total = sum(sizes.values())
        self._is_whole = True
        for sha256 in names[bisect.bisect_left(names, self.position.sha256) :]:
            if sha256 != self.position.sha256:
                self.position = dataclasses.replace(self.position, sha256=sha256, block=0)
            if not self._read_or_pass_over(sha256, total):
                return
        self.position = Position(passed=time.time() if self._is_whole else self.position.passed)
        self._keep()
        if not total:
            self._stop.wait(pause(0, 0, self._period))

    def _read_or_pass_over(self, sha256: str, total: int) -> bool:
        """Read an object, after a failure once more; return whether the scrub is to go on."""
        for what_follows in ("it tries again later", "it passes the object over"):
            try:
                return self._read(sha256, total)
            except audit.Ended:
                raise
            except Exception:
                # A defect, or a host that is short of something, must not end it for good.
                logger.exception("the scrub failed at object %s; %s", sha256, what_follows)
                if self._rest():
                    return False
        self._is_whole = False
        return True

    def _read(self, sha256: str, total: int) -> bool:
        """Read an object from the position on; return whether the scrub is to go on."""
        while True:
            block = self._look(sha256, self.position.block)
            self.read_bytes += block.length
            if block.problem and self._suspect(sha256, block.problem):
                self.findings += 1
            if time.monotonic() - self._kept >= _KEEP_SECONDS:
                self._keep()
            if self._stop.wait(pause(block.length, total, self._period)):
                return False
            if block.is_last:
                return True
            self.position = dataclasses.replace(self.position, block=self.position.block + 1)

    def _look(self, sha256: str, index: int) -> _Block:
        try:
            with self._tree.open(sha256) as opened:
                block_map = self._tree.facts_of(sha256).block_map
                data = os.pread(opened.fd, blocks.BLOCK_SIZE, blocks.block_start(index))
        except (objects.ObjectMissing, objects.ObjectChanged, facts.BadFacts) as error:
            return _Block(0, is_last=True, problem=str(error))
        except OSError as error:
            if error.errno in audit.OUR_OWN:
                raise
            problem = f"block {index} cannot be read: {error.strerror}"
            return _Block(0, is_last=True, problem=problem)
        problem = ""
        count = blocks.block_count(block_map.size)
        if index < count and hashlib.sha256(data).digest() != block_map.expects(index):
            problem = f"block {index} is not what was proved"
        is_last = bool(problem) or index + 1 >= count
        return _Block(len(data), is_last, problem)

    def _keep(self) -> None:
        self._kept = time.monotonic()
        try:
            with self._room(_SPACE) as is_there:
                if is_there:
                    self._tree.disk.publish(self._file, self.position.to_bytes())
        except OSError as error:
            logger.warning("the scrub's position could not be kept: %s", error)
