"""Peers as processes, and what a process cost."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

_TICKS = os.sysconf("SC_CLK_TCK")


def installed(program: str) -> str | None:
    """Return the path of a program, /usr/sbin included, or None."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its living children used so far."""
    total = 0.0
    for each in (pid, *_children(pid)):
        with contextlib.suppress(OSError):
            fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [
            int(word)
            for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(words: Sequence[str], port: int) -> Iterator[int]:
    """Run a server until the end of the block; yield its process id once it listens."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError(f"{words[0]} did not start")
            time.sleep(0.02)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
