"""The ``boot-resources`` command, run in this process or in one of its own."""

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import pty
import subprocess
import sys
import termios
from collections.abc import Mapping
from typing import Any
from unittest import mock

from boot_resources.cli import main

_WORDS = (sys.executable, "-m", "boot_resources")
_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Done:
    """How a command ended, and what it said on standard output and standard error."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed, which must be one JSON document and nothing else."""
        return json.loads(self.out)


def run(*words: str | pathlib.Path, given: str = "") -> Done:
    """Run the command in this process, its output going to no terminal.

    Args:
        words: of the command line.
        given: on standard input.
    """
    out, err = io.StringIO(), io.StringIO()
    argv = ["boot-resources", *map(str, words)]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        with (
            mock.patch.object(sys, "argv", argv),
            mock.patch.object(sys, "stdin", io.StringIO(given)),
        ):
            try:
                main.main()
            except SystemExit as end:
                status = end.code
    assert isinstance(status, int)
    return Done(status, out.getvalue(), err.getvalue())


def run_apart(*words: str | pathlib.Path, environment: Mapping[str, str] | None = None) -> Done:
    """Run the command in a process of its own, its output going to pipes."""
    done = subprocess.run(
        [*_WORDS, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        env={**os.environ, **(environment or {})},
    )
    return Done(done.returncode, done.stdout, done.stderr)


def run_into_closed_pipe(*words: str) -> int:
    """Run the command, its output going to a pipe that nobody reads; return its status."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*_WORDS, *words], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=_SECONDS
    )
    os.close(writing)
    assert done.stderr == b""
    return done.returncode


def run_on_terminal(*words: str | pathlib.Path) -> Done:
    """Run the command on a terminal of 100 columns; all it says is in ``out``."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(
        [*_WORDS, *map(str, words)], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the end of a terminal is EIO
        while piece := os.read(ours, 4096):
            said += piece
    os.close(ours)
    return Done(process.wait(_SECONDS), said.decode(), "")
