"""An end to waiting for the head of an answer.

A socket's timeout is about one read. A server that sends one byte of its headers each time before
it runs out could hold a caller for days, before there is any body whose rate could be judged. So
every connection of a ``PatientAdapter`` gives the whole head of an answer one time limit.
"""

import socket
import threading
from typing import Any

import urllib3
from requests import adapters
from urllib3 import connection, connectionpool, poolmanager


class _Watch:
    """Breaks a connection where the ``with`` block lasts longer than ``seconds``."""

    def __init__(self, sock: socket.socket | None, seconds: float) -> None:
        self._sock = sock
        self._over = False
        self._timer = threading.Timer(seconds, self._break)
        self._timer.daemon = True

    def _break(self) -> None:
        self._over = True
        if self._sock is not None:
            # The reader, in another thread, sees the end of the stream.
            self._sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._over:
            # Whatever was read until then, and however it was understood, is not an answer.
            raise TimeoutError("the head of the answer took too long")


class _Connection(connection.HTTPConnection):
    head_seconds: float

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        with _Watch(self.sock, self.head_seconds):
            return super().getresponse()


class _TLSConnection(connection.HTTPSConnection):
    head_seconds: float

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        with _Watch(self.sock, self.head_seconds):
            return super().getresponse()


class PatientAdapter(adapters.HTTPAdapter):
    """A transport for ``requests`` that waits ``head_seconds`` for an answer's head, no longer."""

    def __init__(self, head_seconds: float, **options: Any) -> None:
        self._pools = _pools(head_seconds)
        super().__init__(**options)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools for direct connections."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **options: Any) -> poolmanager.ProxyManager:
        """Make, or find, the pools for connections through ``proxy``."""
        manager: poolmanager.ProxyManager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(seconds: float) -> dict[str, type[connectionpool.HTTPConnectionPool]]:
    """Return urllib3's pools with connections that know their limit."""
    limit = {"head_seconds": seconds}
    plain = {"ConnectionCls": type("Connection", (_Connection,), limit)}
    tls = {"ConnectionCls": type("TLSConnection", (_TLSConnection,), limit)}
    return {
        "http": type("Pool", (connectionpool.HTTPConnectionPool,), plain),
        "https": type("TLSPool", (connectionpool.HTTPSConnectionPool,), tls),
    }
