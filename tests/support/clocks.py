"""A wrong clock for processes that the tests start: libfaketime, which can be set anew."""

import datetime
import os
from pathlib import Path

import pytest

from support import tiers

# libfaketime 0.9.10 refuses the very system call by which time.sleep waits (clock_nanosleep until
# a moment of the monotonic clock), whatever the clock that it is told to leave alone.
_SLEEP = """\
import threading, time
time.sleep = lambda seconds: threading.Event().wait(seconds) and None
"""
_LIBRARY = "/usr/lib/*/faketime/libfaketimeMT.so.1"


class WrongClock:
    """What processes that were started since take for the time; how fast it goes is right."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(datetime.timedelta(0))

    def set(self, off: datetime.timedelta) -> None:
        """Let the clock be so much ahead, or behind, from now on; running processes see a step."""
        aside = self._file.with_suffix(".new")
        aside.write_text(f"{off.total_seconds():+.0f}s\n")
        aside.replace(self._file)


@pytest.fixture
def wrong_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WrongClock:
    """Give a clock for all processes that the test starts; it is right until it is set."""
    found = sorted(Path("/").glob(_LIBRARY.lstrip("/")))
    if not found:
        tiers.missing("no libfaketime: apt-get install faketime")
    clock = WrongClock(tmp_path / "clock")
    (tmp_path / "sitecustomize.py").write_text(_SLEEP)
    monkeypatch.setenv("PYTHONPATH", os.fspath(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("LD_PRELOAD", os.fspath(found[0]))
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", os.fspath(tmp_path / "clock"))
    # Only the wall clock: time-outs and the kernel's own waiting stay right.
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("NO_FAKE_STAT", "1")
    return clock
