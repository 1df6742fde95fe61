"""A source's web server, which counts every body byte it hands to the network.

Counts are of what was really sent: a body that a client leaves in the middle counts as far as it
went. A piece is counted before it goes out, and what of it did not go out is taken back, so that
whoever has received a byte finds it counted. Documents (``streams/``) and payloads are counted
apart.

``Origin`` serves a directory, with ranges and conditions as real servers do, and can be told to
misbehave. ``RelayOrigin`` counts the same way in front of a real source.
"""

import collections
import contextlib
import dataclasses
import email.utils
import http.server
import os
import pathlib
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import requests
import urllib3
from requests import structures

from boot_resources import units

CHUNK = units.MIB
_SLOW_CHUNK = 64 * units.KIB
_RANGE = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)
_PASSED_ON = ("Range", "If-Range", "If-None-Match", "If-Modified-Since")
_PASSED_BACK = ("Content-Length", "Content-Range", "ETag", "Last-Modified", "Retry-After")


@dataclasses.dataclass(frozen=True)
class Request:
    """What a client asked for; ``path`` is decoded and begins with a slash."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Reply:
    """What the server sends in place of what it would have sent.

    Attributes:
        status: for example 503.
        headers: without ``Content-Length`` the end of the body is the end of the connection.
        body: sent piece by piece; it may have no end, or wait between pieces.
    """

    status: int = 200
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: Iterable[bytes] = ()


@dataclasses.dataclass(frozen=True)
class Cut:
    """Send what would have been sent, and break the connection after ``after`` body bytes."""

    after: int


Hook = Callable[[Request], Reply | Cut | None]
"""What to do with a request: replace the reply, cut it, or (None) answer as usual."""


class _Counter:
    """Body bytes and requests, by path; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes: collections.Counter[str] = collections.Counter()
        self._requests: list[Request] = []

    def note(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    @contextlib.contextmanager
    def sending(self, path: str, planned: int) -> Iterator[Callable[[int], None]]:
        """Count ``planned`` bytes for the block, which says how many of them really went out."""
        went_out = 0

        def really(count: int) -> None:
            nonlocal went_out
            went_out = count

        with self._lock:
            self._bytes[path] += planned
        try:
            yield really
        finally:
            with self._lock:
                self._bytes[path] += went_out - planned

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, in order."""
        with self._lock:
            return tuple(self._requests)

    @property
    def bytes_by_path(self) -> dict[str, int]:
        """Body bytes sent, by decoded path."""
        with self._lock:
            return dict(self._bytes)

    @property
    def document_bytes(self) -> int:
        """Body bytes of documents: everything below a ``streams/`` directory."""
        return sum(n for path, n in self.bytes_by_path.items() if "/streams/" in path)

    @property
    def payload_bytes(self) -> int:
        """Body bytes of everything else."""
        return sum(n for path, n in self.bytes_by_path.items() if "/streams/" not in path)


class _Served(_Counter):
    """A counting server on a free loopback port, for as long as the ``with`` block lasts."""

    def __init__(self, handler: type["_Handler"], on_request: Hook | None) -> None:
        super().__init__()
        self.on_request = on_request
        """May be set, and set back to None, while the server runs."""
        self.rate: float | None = None
        """Bytes a second that a connection gets of a file at most; None is no limit."""
        self._server = _Server(("127.0.0.1", 0), handler, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="origin", daemon=True
        )

    @property
    def url(self) -> str:
        """Where it serves; ends in a slash."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    @property
    def connections(self) -> int:
        """Connections that are open; what was sent on those that have ended is counted."""
        return self._server.connections

    def __enter__(self) -> "_Served":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.end_connections()
        self._server.server_close()
        self._thread.join()


class Origin(_Served):
    """Serves ``directory``.

    Args:
        directory: what to serve; only files below it.
        on_request: lets a test misbehave (see ``Hook``).
    """

    def __init__(self, directory: pathlib.Path, on_request: Hook | None = None) -> None:
        super().__init__(_DirectoryHandler, on_request)
        self.directory = directory

    def __enter__(self) -> "Origin":
        super().__enter__()
        return self


class RelayOrigin(_Served):
    """Passes every GET on to the source at ``upstream`` and counts what it sends back."""

    def __init__(self, upstream: str, on_request: Hook | None = None) -> None:
        super().__init__(_RelayHandler, on_request)
        self.upstream = upstream.rstrip("/")
        self.session = requests.Session()

    def __enter__(self) -> "RelayOrigin":
        super().__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        self.session.close()


class _Server(http.server.ThreadingHTTPServer):
    """Knows its connections, so that none outlives it."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], handler: type["_Handler"], owner: _Served
    ) -> None:
        super().__init__(address, handler)
        self.owner = owner
        self._lock = threading.Lock()
        self._open: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    @property
    def connections(self) -> int:
        with self._lock:
            return len(self._open)

    def end_connections(self) -> None:
        with self._lock:
            waiting = list(self._open)
        for connection in waiting:
            with contextlib.suppress(OSError):
                connection.shutdown(2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a client that goes away is what clients do."""


class _Handler(http.server.BaseHTTPRequestHandler):
    """What both servers share: the hook, the count, and sending a body."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        path = urllib.parse.unquote(self.path.partition("?")[0])
        headers = structures.CaseInsensitiveDict(self.headers.items())
        request = Request(self.command, path, headers)
        owner = self.server.owner
        owner.note(request)
        hook = owner.on_request
        decided = hook(request) if hook is not None else None
        with contextlib.suppress(ConnectionError, TimeoutError):
            if isinstance(decided, Reply):
                self._replace(request, decided)
            else:
                self.answer(request, None if decided is None else decided.after)

    do_HEAD = do_GET  # noqa: N815

    def answer(self, request: Request, cut: int | None) -> None:
        """Answer as usual, at most ``cut`` body bytes of it."""
        raise NotImplementedError

    def log_message(self, *_: object) -> None:
        """Stay silent: what was asked is in ``requests``."""

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and the headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and status not in (204, 304):
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def send(self, request: Request, piece: bytes) -> None:
        """Send a piece of the body and count it."""
        with self.server.owner.sending(request.path, len(piece)) as really:
            self.wfile.write(piece)
            really(len(piece))

    def _replace(self, request: Request, reply: Reply) -> None:
        self.close_connection = True
        self.begin(reply.status, {"Connection": "close", **reply.headers})
        for piece in reply.body:
            self.send(request, piece)


class _DirectoryHandler(_Handler):
    def answer(self, request: Request, cut: int | None) -> None:
        origin = self.server.owner
        assert isinstance(origin, Origin)
        file = (origin.directory / request.path.lstrip("/")).resolve()
        if not file.is_relative_to(origin.directory.resolve()) or not file.is_file():
            self.begin(404, {"Content-Length": "0"})
            return
        with file.open("rb") as content:
            status = os.fstat(content.fileno())
            headers = {
                "ETag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
                "Last-Modified": email.utils.formatdate(status.st_mtime, usegmt=True),
                "Accept-Ranges": "bytes",
            }
            if _is_known(request.headers, headers):
                self.begin(304, headers)
                return
            found = _range(request.headers, headers, status.st_size)
            if found is None:
                total = {"Content-Range": f"bytes */{status.st_size}", "Content-Length": "0"}
                self.begin(416, headers | total)
                return
            start, stop = found
            headers["Content-Length"] = str(stop - start)
            partial = (start, stop) != (0, status.st_size)
            if partial:
                headers["Content-Range"] = f"bytes {start}-{stop - 1}/{status.st_size}"
            self.begin(206 if partial else 200, headers)
            if request.method != "HEAD":
                self._send_file(request, content.fileno(), start, stop, cut)

    def _send_file(
        self, request: Request, file: int, start: int, stop: int, cut: int | None
    ) -> None:
        self.wfile.flush()
        end = stop if cut is None else min(stop, start + cut)
        rate = self.server.owner.rate
        while start < end:
            planned = min(CHUNK if rate is None else _SLOW_CHUNK, end - start)
            with self.server.owner.sending(request.path, planned) as really:
                count = os.sendfile(self.connection.fileno(), file, start, planned)
                really(count)
            if count == 0:
                break
            start += count
            if rate is not None:
                time.sleep(count / rate)
        if start < stop:
            self.close_connection = True


class _RelayHandler(_Handler):
    def answer(self, request: Request, cut: int | None) -> None:
        relay = self.server.owner
        assert isinstance(relay, RelayOrigin)
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        try:
            upstream = relay.session.get(
                relay.upstream + self.path,
                headers={"Accept-Encoding": "identity", **headers},
                stream=True,
                timeout=30,
            )
        except requests.RequestException:
            self.begin(502, {"Content-Length": "0"})
            return
        with contextlib.closing(upstream):
            back = {
                name: upstream.headers[name] for name in _PASSED_BACK if name in upstream.headers
            }
            self.begin(upstream.status_code, back)
            try:
                for piece in _pieces(upstream, cut):
                    self.send(request, piece)
            except urllib3.exceptions.HTTPError:
                # The client sees what we see: a body that ends too early.
                self.close_connection = True
            if cut is not None:
                self.close_connection = True


def _pieces(upstream: requests.Response, cut: int | None) -> Iterator[bytes]:
    """Yield the body as it arrives, at most ``cut`` bytes of it."""
    left = cut
    while left is None or left > 0:
        piece = upstream.raw.read1(CHUNK if left is None else min(CHUNK, left))
        if not piece:
            return
        left = None if left is None else left - len(piece)
        yield piece


def _is_known(asked: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Return whether the client has it: If-None-Match counts before If-Modified-Since."""
    if "If-None-Match" in asked:
        return asked["If-None-Match"] in (ours["ETag"], "*")
    return asked.get("If-Modified-Since") == ours["Last-Modified"]


def _range(asked: Mapping[str, str], ours: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """Return the ``[start, stop)`` to send, or None where it cannot be satisfied."""
    match = _RANGE.fullmatch(asked.get("Range", ""))
    if match is None or asked.get("If-Range", ours["ETag"]) not in ours.values():
        return 0, size
    start = int(match[1])
    stop = min(size, int(match[2]) + 1) if match[2] else size
    return (start, stop) if start < stop else None
