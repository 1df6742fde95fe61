"""An end to waiting for what is not the body of an answer.

A socket's timeout is about one read. A server that sends one byte of its headers each time before
it runs out could hold a caller for days, before there is any body whose rate could be judged; so
it could with the lines between the chunks of a body, and with the headers that may follow the last
(RFC 9112, section 7.1). So every connection of a ``PatientAdapter`` gives the whole head of an
answer one time limit, and ``read1`` gives it to each wait for the next bytes of such a body.
"""

import contextlib
import functools
import socket
import threading
from collections.abc import Callable
from typing import Any

import urllib3
from requests import adapters
from urllib3 import connection, connectionpool, poolmanager

_WATCH = "_boot_resources_watch"
"""Where a reply keeps what watches its connection."""


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
            # The reader, in another thread, sees the end of the stream; the server may have ended
            # it already.
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._over:
            # Whatever was read until then, and however it was understood, is not an answer.
            raise TimeoutError("the answer's head, or its frame, took too long")


class _Connection(connection.HTTPConnection):
    head_seconds: float

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        watch = functools.partial(_Watch, self.sock, self.head_seconds)
        with watch():
            return _watched_by(watch, super().getresponse())


class _TLSConnection(connection.HTTPSConnection):
    head_seconds: float

    def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]
        watch = functools.partial(_Watch, self.sock, self.head_seconds)
        with watch():
            return _watched_by(watch, super().getresponse())


def _watched_by(watch: Callable[[], _Watch], reply: urllib3.HTTPResponse) -> urllib3.HTTPResponse:
    """Let the reply keep what watches its connection, which is closed to others by now."""
    setattr(reply, _WATCH, watch)
    return reply


def read1(reply: urllib3.HTTPResponse, size: int) -> bytes:
    """Return what has come of a body, at most ``size`` bytes, as they are; none is its end.

    Args:
        reply: of a connection of a ``PatientAdapter``.
        size: bytes.

    Raises:
        OSError, urllib3.exceptions.HTTPError: the connection broke, or nothing came in time.
    """
    if not reply.chunked:
        return reply.read1(size, decode_content=False)
    with getattr(reply, _WATCH)():
        return reply.read1(size, decode_content=False)


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
