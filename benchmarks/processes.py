"""Peers as processes, and what a process cost."""

import contextlib
import dataclasses
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
    """Return the processor time that a process and its children used so far, ended ones too."""
    return sum((_times(child)[0] for child in children(pid)), start=sum(_times(pid)))


def _times(pid: int) -> tuple[float, float]:
    """Return what a process used itself, and what its children used that it saw the end of."""
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        own_user, own_system, their_user, their_system = map(int, fields[11:15])
        return (own_user + own_system) / _TICKS, (their_user + their_system) / _TICKS
    return 0.0, 0.0


def children(pid: int) -> list[int]:
    """Return the process ids of a process's children."""
    with contextlib.suppress(OSError):
        return [
            int(word)
            for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []


def peak(pid: int | str) -> int:
    """Return the most bytes of memory that a process (``"self"``: this one) had so far."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclasses.dataclass(frozen=True)
class Done:
    """What a piece of work took: seconds, seconds of processor time, and bytes of memory."""

    seconds: float
    cpu: float
    memory: int


def done(words: Sequence[str]) -> Done:
    """Run a command to its end, its output into nothing.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    began = time.monotonic()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    memory = 0
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        memory = max(memory, peak(process.pid))
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, words)
    return Done(time.monotonic() - began, usage.ru_utime + usage.ru_stime, memory)


def free_port() -> int:
    """Return a free loopback port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(
    words: Sequence[str],
    port: int,
    user: str | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[int]:
    """Run a server until the end of the block; yield its process id once it listens.

    Args:
        words: its command.
        port: where it will listen on loopback.
        user: whom it runs as; ourselves, by default.
        stop: the signal that stops it.
    """
    process = subprocess.Popen(
        words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=user
    )
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
        process.send_signal(stop)
        process.wait()
