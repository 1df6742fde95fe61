"""Connections end with a run, even where the server stands still and answers nothing.

Who waits for such a server's answer cannot look at anything else, so the socket is ended from
outside. That is done a moment after the run was told to stop: a server that answers lets it end in
good order. For the server it is a client that went away: what was not committed is undone.
"""

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

GRACE_SECONDS = 1.0
"""How long a run has to end in good order."""
_TICK = 0.1


class Lines:
    """The sockets of one run's connections. Its methods may be called by any thread."""

    def __init__(self) -> None:
        # Protects the two below.
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._severed = False

    def add(self, fd: int) -> None:
        """Take note of a connection by its descriptor; of its own, for that one may be closed."""
        double = socket.socket(fileno=os.dup(fd))
        with self._lock:
            self._sockets.append(double)
            if self._severed:
                _end(double)

    @contextlib.contextmanager
    def severed_by(self, stop: threading.Event) -> Iterator[None]:
        """Within, end all connections, old and new, a moment after ``stop`` is set."""
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(stop, over), name="severing")
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()
            with self._lock:
                for each in self._sockets:
                    each.close()
                self._sockets.clear()

    def _watch(self, stop: threading.Event, over: threading.Event) -> None:
        while not stop.wait(_TICK):
            if over.is_set():
                return
        if over.wait(GRACE_SECONDS):
            return
        with self._lock:
            self._severed = True
            for each in self._sockets:
                _end(each)


def _end(line: socket.socket) -> None:
    # One that is over already says so.
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
