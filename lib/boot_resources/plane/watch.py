"""Hanging up on who is too slow.

A time limit on silence does not catch a region that sends a byte now and then. So every piece of a
body has a moment by which it must be here, and one thread hangs up the connections that miss
theirs; the read that waits on such a connection then ends with an error, like any other.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

_LOOK_SECONDS = 0.5


class Watch:
    """Moments by which something must have come, each with the connection it comes on."""

    def __init__(self, seconds: float) -> None:
        """Give everything that is watched ``seconds`` from one renewal to the next."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._moments: dict[socket.socket, float] = {}
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, connection: socket.socket) -> Iterator[Callable[[], None]]:
        """Watch a connection for the length of the block; call what is given to renew."""

        def renew() -> None:
            with self._lock:
                self._moments[connection] = time.monotonic() + self._seconds

        renew()
        self._run()
        try:
            yield renew
        finally:
            with self._lock:
                self._moments.pop(connection, None)

    def _run(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            with self._lock:
                if not self._moments:
                    self._thread = None
                    return
                late = [each for each, moment in self._moments.items() if moment < now]
            for connection in late:
                hang_up(connection)


def hang_up(connection: socket.socket) -> None:
    """End a connection, whoever reads from it just now."""
    with contextlib.suppress(OSError):
        # Not the TLS layer's own shutdown, which would talk to the other end first.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
