"""The door of a port: who comes in by it, how many at once, and how long they may keep it busy.

Always true, whatever comes in:

- No more than ``connections`` are open, those in the middle of a handshake included. Who leaves
  when all are taken is decided in ``places``.
- A handshake has ``HANDSHAKE_SECONDS``. The head of a request must be whole ``IDLE_SECONDS`` after
  the connection was made or the last answer was given. An answer of which no byte is taken for
  ``SILENCE_SECONDS`` is cut, and a body that nobody asked for is read for ``LINGER_SECONDS``.
- What is no HTTP is answered with 400 and the connection closed, so that nothing behind it is
  taken for another request. It is counted; only defects of ours leave a traceback.
"""

import asyncio
import contextlib
import dataclasses
import errno
import logging
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
from aiohttp import web

from boot_resources.service import places, refusals

logger = logging.getLogger(__name__)
SERVER = "boot-resources"
"""What every answer says of who gave it; versions are for members to know."""
CONNECTIONS = 4096
"""The most that are open unless a setting says otherwise."""
FEW = 64
"""The most at a port that only this host's own tools use."""
HANDSHAKE_SECONDS = 10.0
IDLE_SECONDS = 60.0
SILENCE_SECONDS = 60.0
LINGER_SECONDS = 1.0
STOP_SECONDS = 10.0
"""How long open transfers may go on after SIGTERM."""
_GOODBYE_SECONDS = 5.0
"""How long the other end may take to say goodbye in TLS."""
_AT_ONCE = 16
"""Newcomers received in one turn of the event loop; who is served waits for no more of them."""
_PAUSE = 0.5
"""Seconds until it is tried again where the host has no descriptor left."""
_SPARE_DESCRIPTORS = 256
"""Of the process, for everything but connections and what they send."""
_CURE_FULL = "find out who keeps them open; or let the port have more connections"
_SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@contextlib.asynccontextmanager
async def opened(
    app: web.Application,
    listening: socket.socket,
    refused: refusals.Refusals,
    *,
    tls: Callable[[], ssl.SSLContext] | None = None,
    connections: int = CONNECTIONS,
) -> AsyncIterator[None]:
    """Let ``app`` answer on a socket that listens, for the length of the block.

    Open transfers get ``STOP_SECONDS`` to end.

    Args:
        app: answers.
        listening: is closed at the end.
        refused: is told who is turned away.
        tls: gives the context for the next connection; None for plain HTTP.
        connections: the most that are open; fewer where the process may not have as many
            descriptors.
    """
    app.on_response_prepare.append(_finish_head)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    assert runner.server is not None
    affordable = _affordable()
    if affordable < connections:
        logger.warning(
            "the %s takes %d connections and not %d: the process may have no more descriptors",
            refused.port,
            affordable,
            connections,
        )
    door = _Door(runner.server, listening, refused, tls, min(connections, affordable))
    door.open()
    try:
        yield
    finally:
        door.close()
        await runner.cleanup()
        await door.clear()


async def _finish_head(request: web.BaseRequest, answer: web.StreamResponse) -> None:
    """Say nothing of what runs here; close where the library would read no further.

    That is behind a wish for another protocol, and behind a CONNECT. The library answers that in
    any version of HTTP that it is asked in; we have no words for another than 1.0 and 1.1.
    """
    answer.headers["Server"] = SERVER
    if "Upgrade" in request.headers or request.method == "CONNECT":
        answer.force_close()
        answer.headers["Connection"] = "close"
    if request.version > aiohttp.HttpVersion11 and request.transport is not None:
        request.transport.abort()


def _affordable() -> int:
    """Return how many connections the process can have: a transfer needs two descriptors."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, (soft - _SPARE_DESCRIPTORS) // 2)


@dataclasses.dataclass(frozen=True, eq=False)
class _Guest(places.Guest):
    """One open connection, and its socket."""

    accepted: socket.socket


class _Door:
    """Accepts connections. Belongs to the event loop."""

    def __init__(
        self,
        server: web.Server,
        listening: socket.socket,
        refused: refusals.Refusals,
        tls: Callable[[], ssl.SSLContext] | None,
        connections: int,
    ) -> None:
        self.server = server
        self.refused = refused
        self._listening = listening
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._places = places.Places[_Guest](connections)
        self._greeting: set[asyncio.Task[None]] = set()
        self._again: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Let in who knocks."""
        self._listening.setblocking(False)
        self._loop.add_reader(self._listening, self._let_in)

    def close(self) -> None:
        """Let in nobody any more; who is in the middle of a handshake is sent away."""
        self._loop.remove_reader(self._listening)
        if self._again is not None:
            self._again.cancel()
        for greeting in self._greeting:
            greeting.cancel()
        self._listening.close()

    async def clear(self) -> None:
        """Have those leave who say no goodbye: a loop does not end under an open connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_SECONDS):
                while self._places:
                    for guest in list(self._places):
                        with contextlib.suppress(OSError):
                            guest.accepted.shutdown(socket.SHUT_RDWR)
                    await asyncio.sleep(0.01)

    def greeted(self, guest: _Guest) -> None:
        """Note that a connection is made, its handshake over."""
        self._places.greet(guest, self._loop.time())

    def asked(self, guest: _Guest) -> bool:
        """Return whether a request has a place to be answered."""
        return self._is_in(guest, self._places.ask(guest, self._loop.time()))

    def answered(self, guest: _Guest) -> None:
        """Note that a request has its answer."""
        self._places.rest(guest, self._loop.time())

    def left(self, guest: _Guest) -> None:
        """Note that a connection is closed."""
        self._places.leave(guest)

    def _let_in(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, address = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    # This one went away before it was let in.
                    continue
                self._wait_for_descriptors(error)
                return
            self._receive(accepted, address[0] if address else "")

    def _wait_for_descriptors(self, error: OSError) -> None:
        self.refused.note(refusals.Reason.FULL, "a newcomer", str(error.strerror), _CURE_FULL)
        self._loop.remove_reader(self._listening)
        self._again = self._loop.call_later(_PAUSE, self.open)

    def _receive(self, accepted: socket.socket, address: str) -> None:
        guest = _Guest(address, accepted)
        if not self._is_in(guest, self._places.come(guest, self._loop.time())):
            accepted.close()
            return
        if accepted.family != socket.AF_UNIX:
            silence = int(SILENCE_SECONDS * 1000)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, silence)
        accepted.setblocking(False)
        greeting = self._loop.create_task(self._greet(guest))
        self._greeting.add(greeting)
        greeting.add_done_callback(self._greeting.discard)

    async def _greet(self, guest: _Guest) -> None:
        try:
            await self._shake_hands(guest)
        except OSError as error:
            self.left(guest)
            why = _why_no_handshake(error)
            if why:
                self.refused.note(refusals.Reason.HANDSHAKE, guest.address, why)
            else:
                logger.debug("%s hung up at once: %s", guest.address, error)
        except asyncio.CancelledError:
            self.left(guest)
            raise
        except Exception:
            # A defect of ours; it keeps no place.
            logger.exception("%s could not be received", guest.address)
            self.left(guest)
            guest.accepted.close()

    async def _shake_hands(self, guest: _Guest) -> None:
        tls: dict[str, Any] = {}
        if self._tls is not None:
            tls = {
                "ssl": self._tls(),
                "ssl_handshake_timeout": HANDSHAKE_SECONDS,
                "ssl_shutdown_timeout": _GOODBYE_SECONDS,
            }
        await self._loop.connect_accepted_socket(
            lambda: _Connection(self, guest), guest.accepted, **tls
        )

    def _is_in(self, guest: _Guest, leaving: _Guest | None) -> bool:
        """Have somebody leave where all places were taken; return whether that is another."""
        if leaving is None:
            return True
        self.refused.note(
            refusals.Reason.FULL,
            leaving.address,
            f"all {self._places.most} places are taken",
            _CURE_FULL,
        )
        if leaving is guest:
            return False
        # In the middle of a handshake there is no transport yet that could be told.
        with contextlib.suppress(OSError):
            leaving.accepted.shutdown(socket.SHUT_RDWR)
        return True


class _Connection(web.RequestHandler):
    """The HTTP of one connection."""

    def __init__(self, door: _Door, guest: _Guest) -> None:
        super().__init__(
            door.server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
            logger=logger,
        )
        self._door = door
        self._guest = guest

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request."""
        self._door.greeted(self._guest)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Give the place back."""
        super().connection_lost(exc)
        self._door.left(self._guest)

    async def _handle_request(
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
    ) -> tuple[web.StreamResponse, bool]:
        """Answer a request, to its last byte, if it has a place."""
        if not self._door.asked(self._guest):
            request_handler = _turn_away
        try:
            return await super()._handle_request(request, start_time, request_handler)
        finally:
            self._door.answered(self._guest)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request with 400 and the end; a defect of ours with 500."""
        if status != 400:
            return super().handle_error(request, status, exc, message)
        self._refuse(message or str(exc))
        answer = web.Response(status=400, text="this is no request that this port understands\n")
        answer.headers["Server"] = SERVER
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a defect; a body that is none, behind a request that was answered, is no defect."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            self._refuse(str(kw["exc_info"]))
        else:
            super().log_exception(*args, **kw)

    def _refuse(self, why: str) -> None:
        # The library's first line says what is wrong; what follows quotes the request.
        line = why.strip().partition("\n")[0].rstrip(":")
        self._door.refused.note(
            refusals.Reason.REQUEST, self._guest.address or "a local process", f"no HTTP: {line}"
        )


async def _turn_away(_: web.BaseRequest) -> web.StreamResponse:
    answer = web.Response(status=503, text="all places are taken; ask again soon\n")
    answer.headers["Server"] = SERVER
    answer.headers["Retry-After"] = "1"
    answer.force_close()
    return answer


def _why_no_handshake(error: OSError) -> str:
    """Return why a handshake failed, in one clause; empty where the other end hung up."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate does not count: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error).lower().replace("_", " ")
    if isinstance(error, TimeoutError) or "taking longer" in str(error):
        return f"it did not finish the handshake within {HANDSHAKE_SECONDS:g} s"
    return ""
