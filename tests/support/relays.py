"""A relay of TCP connections to loopback: a network that can be cut, in the ways networks are."""

import contextlib
import selectors
import socket
import threading
from typing import Self

_PIECE = 64 * 1024


class Relay:
    """Passes bytes between whoever connects to ``port`` and a port of loopback.

    Args:
        target: that port.
        host: the address to listen on.

    Attributes:
        port: where it listens.
        passed: bytes that went to whoever connected.
    """

    def __init__(self, target: int, host: str = "127.0.0.1") -> None:
        self.passed = 0
        self._target = target
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._lost: set[socket.socket] = set()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._hold_after: int | None = None
        self._closing = False
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="relay")]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self.flow()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.reset()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    @property
    def is_still(self) -> bool:
        """Whether nothing goes through now."""
        return not self._flowing.is_set()

    def hold(self, after: int = 0) -> None:
        """Pass nothing any more, after so many bytes more; connections stay open and silent."""
        with self._lock:
            self._hold_after = self.passed + after
            if not after:
                self._flowing.clear()

    def flow(self) -> None:
        """Pass everything again, what was held included."""
        with self._lock:
            self._hold_after = None
            self._flowing.set()

    def forget(self) -> None:
        """Lose what is open, as a firewall that restarts: nobody is told, new ones go through."""
        with self._lock:
            self._lost |= self._pairs.keys()
            self._hold_after = None
            self._flowing.set()

    def reset(self) -> None:
        """Break every open connection off."""
        for each in list(self._pairs):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._pairs |= {near: far, far: near}
            both = threading.Thread(target=self._carry, args=(near, far), name="relay pair")
            self._threads.append(both)
            both.start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        with near, far, selectors.DefaultSelector() as ready:
            for each in (near, far):
                ready.register(each, selectors.EVENT_READ)
            with contextlib.suppress(OSError):
                while not self._closing:
                    for key, _ in ready.select():
                        assert isinstance(key.fileobj, socket.socket)
                        data = key.fileobj.recv(_PIECE)
                        self._flowing.wait()
                        if not data:
                            return
                        if key.fileobj not in self._lost:
                            self._pairs[key.fileobj].sendall(data)
                            self._count(len(data) if key.fileobj is far else 0)
            for each in (near, far):
                self._pairs.pop(each, None)

    def _count(self, size: int) -> None:
        with self._lock:
            self.passed += size
            if self._hold_after is not None and self.passed >= self._hold_after:
                self._flowing.clear()
