"""A requests session that speaks to one region only, and only after it has been recognised.

Always true: ``admit`` sees the server's certificate after the handshake has verified its chain
and its name, and before each request is sent: on a new connection, and on one that was kept
open. Where it raises, the connection is closed, nothing was sent, and what it raised reaches the
caller as it is.

Only the context that is handed in decides about certificates. That is why the adapter leaves out
what requests would do of its own: it would add the public authorities to the context.
"""

import contextlib
import http.cookiejar
import ssl
import weakref
from collections.abc import Callable
from typing import Any

import requests
from requests import adapters
from urllib3 import connection, connectionpool

import boot_resources
from boot_resources.plane import watch

MAX_KEPT_OPEN = 16
"""Idle connections kept for the next request; more may be open while requests run."""


def open_session(
    host: str, port: int, context: ssl.SSLContext, admit: Callable[[bytes], None]
) -> requests.Session:
    """Return a session whose every HTTPS request goes to ``host``:``port``, whatever its URL.

    Args:
        host: a name or an address, an IPv6 one without brackets.
        port: its port.
        context: verifies the server's chain and name, and shows our own certificate.
        admit: is given the server's certificate in DER; raises to refuse it.
    """
    session = _Session()
    # Neither proxies, nor a .netrc, nor REQUESTS_CA_BUNDLE may come in through the environment.
    session.trust_env = False
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "identity"
    session.headers["User-Agent"] = f"boot-resources/{boot_resources.__version__}"
    session.adapters.clear()
    open_ones: weakref.WeakSet[ssl.SSLSocket] = weakref.WeakSet()
    pool = _Pool(
        host,
        port,
        maxsize=MAX_KEPT_OPEN,
        ssl_context=context,
        admit=admit,
        open_ones=open_ones,
    )
    session.mount("https://", _Adapter(pool, open_ones))
    return session


class _Session(requests.Session):
    """Leaves redirects alone: no region sends one.

    Where it is told not to follow one, ``requests`` reads all of its body into the memory still.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return that there is none."""


def hang_up_all(session: requests.Session) -> None:
    """End every connection of the session, whoever reads from it just now."""
    adapter = session.get_adapter("https://")
    assert isinstance(adapter, _Adapter)
    for each in list(adapter.open):
        watch.hang_up(each)


class _Connection(connection.HTTPSConnection):
    """A connection that asks ``admit`` before each request."""

    def __init__(
        self,
        *args: Any,
        admit: Callable[[bytes], None],
        open_ones: "weakref.WeakSet[ssl.SSLSocket]",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self._admit = admit
        self._open_ones = open_ones

    def connect(self) -> None:
        super().connect()
        assert isinstance(self.sock, ssl.SSLSocket)
        self._open_ones.add(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is None:
            self.connect()
        self._recognise()
        # With TLS 1.3 a server refuses our certificate only after the handshake has succeeded
        # here, and may have hung up before the request is through. Why it did is there to be
        # read where the answer should be (RFC 8446, 4.4.2.4 and 6.2).
        with contextlib.suppress(ssl.SSLEOFError, ConnectionError):
            super().request(*args, **kwargs)

    def _recognise(self) -> None:
        try:
            assert isinstance(self.sock, ssl.SSLSocket)
            self._admit(self.sock.getpeercert(binary_form=True) or b"")
        except BaseException:
            self.close()
            raise


class _Pool(connectionpool.HTTPSConnectionPool):
    ConnectionCls = _Connection


class _Adapter(adapters.HTTPAdapter):
    """Hands every request to the one pool, with the context it has."""

    def __init__(self, pool: _Pool, open_ones: "weakref.WeakSet[ssl.SSLSocket]") -> None:
        super().__init__()
        self._pool = pool
        self.open = open_ones

    def get_connection_with_tls_context(self, *_args: Any, **_kwargs: Any) -> _Pool:
        return self._pool

    def cert_verify(self, *_args: Any, **_kwargs: Any) -> None:
        return

    def close(self) -> None:
        super().close()
        self._pool.close()
