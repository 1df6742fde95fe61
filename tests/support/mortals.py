"""Work in processes that are killed, each of which starts in the time of a fork.

One process has imported everything and forks a child for each order, so that hundreds of kills
take minutes. A kill is SIGKILL.
"""

import ctypes
import dataclasses
import importlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import NoReturn, Self

PATIENCE = 120.0
"""Seconds after which a process that should end by itself is stuck."""
_TESTS = pathlib.Path(__file__).resolve().parent.parent
_PROGRAM = "from support import mortals; mortals.main()"
_PR_SET_PDEATHSIG = 1


@dataclasses.dataclass(frozen=True)
class Life:
    """How the work of one process went.

    Attributes:
        said: what the work came to; None where it was killed before its end.
        seconds: how long it lived.
    """

    said: str | None
    seconds: float


class Aim:
    """How long to let each live, so that most die in the midst of their work, as fast as it goes.

    The first is not killed: it tells how long one takes here. What changes something comes
    towards the end of a work, so that is where more of them die.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._usual = 0.0

    def seconds(self) -> float | None:
        """Return how long the next one may live."""
        if not self._usual:
            return None
        return self._chance.triangular(0.0, 1.2 * self._usual, self._usual)

    def learn(self, life: Life) -> None:
        """Take note of how the last one went: the machine may be slower now, or faster."""
        self._usual = self._usual * 1.05 if life.said is None else life.seconds


class Mortals:
    """Has work done by one process after the other; a context manager."""

    def __init__(self, work: str) -> None:
        """Begin.

        Args:
            work: ``module:function``, which takes the words of an order and returns one line.
        """
        path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A child that lives still goes with it.
        self._process.kill()
        self._process.communicate()

    def work(self, *words: str, seconds: float | None = None) -> Life:
        """Have it done, and kill the process that long after it began; None for not at all."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        begun = time.monotonic()
        limit = PATIENCE if seconds is None else seconds
        killer = threading.Timer(limit, os.kill, [pid, signal.SIGKILL])
        killer.start()
        status, said = json.loads(self._process.stdout.readline())
        lived = time.monotonic() - begun
        killer.cancel()
        killer.join()
        # Its parent waits for it only now, so that nobody else could have its number.
        self._process.stdin.write("bury it\n")
        self._process.stdin.flush()
        assert status in (0, -signal.SIGKILL), f"it ended with {status}"
        assert status == 0 or seconds is not None, "it is stuck"
        return Life(said if status == 0 else None, lived)


def main() -> None:
    """Fork a child for every order that comes, and say how it ended."""
    module, _, function = sys.argv[1].partition(":")
    work = getattr(importlib.import_module(module), function)
    while line := sys.stdin.readline():
        inlet, outlet = os.pipe()
        child = os.fork()
        if child == 0:
            _live(lambda: work(*json.loads(line)), outlet)
        os.close(outlet)
        _say(str(child))
        with os.fdopen(inlet) as stream:
            said = stream.read()
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        killed = ended.si_code == os.CLD_KILLED
        _say(json.dumps([-ended.si_status if killed else ended.si_status, said]))
        sys.stdin.readline()
        os.waitpid(child, 0)


def _live(work: Callable[[], str], outlet: int) -> NoReturn:
    # A test run that is cut off leaves nobody behind (prctl(2)).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    status = 1
    try:
        os.write(outlet, work().encode())
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
