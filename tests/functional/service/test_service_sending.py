"""The bytes of a file onto a real connection, plain and encrypted, and what may go wrong."""

import asyncio
import contextlib
import http.client
import os
import pathlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from aiohttp import web

from boot_resources import units
from boot_resources.plane import tls
from boot_resources.service import doors, ports, refusals, sending
from support import plane_region, stores

CONTENT = stores.noise(3 * units.MIB + 11)
LARGE = 256 * 1024 * 1024  # more than any socket takes at once
PATIENCE = 30.0


class Server:
    """Serves one file through an ``Outlet`` on a thread of its own.

    Attributes:
        outlets: the outlet of each request that ended, and what it ended with.
        length: what is announced to clients; the file may be another.
        buffered: bytes that wait in the connection's buffer before the file is sent.
    """

    def __init__(self, file: pathlib.Path, context: ssl.SSLContext | None) -> None:
        self.outlets: list[tuple[sending.Outlet, BaseException | None]] = []
        self.length = file.stat().st_size
        self.buffered = 0
        self.on_connection: Callable[[socket.socket], None] = lambda _: None
        self._file = file
        self._context = context
        self._listening = ports.listen("127.0.0.1", 0, "test")
        self.port: int = self._listening.getsockname()[1]
        self._ended = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Server":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def ended(self, count: int) -> tuple[sending.Outlet, BaseException | None]:
        """Wait until that many requests ended, and return the last."""
        with self._ended:
            assert self._ended.wait_for(lambda: len(self.outlets) >= count, PATIENCE)
            return self.outlets[count - 1]

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_get("/", self._answer)
        context = self._context
        tls = None if context is None else lambda: context
        async with doors.opened(app, self._listening, refusals.Refusals("port"), tls=tls):
            await self._stop.wait()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.on_connection(request.transport.get_extra_info("socket"))
        start = int(request.query.get("start", 0))
        stop = int(request.query.get("stop", self.length))
        response = web.StreamResponse(headers={"Content-Length": str(stop - start)})
        outlet = sending.Outlet(request, response)
        fd = os.open(self._file, os.O_RDONLY)
        error = None
        try:
            await outlet.begin()
            if self.buffered:
                request.transport.set_write_buffer_limits(high=2 * self.buffered)
                await outlet.data(bytes(self.buffered))
            await outlet.file(fd, start, stop)
            await outlet.end()
        except (sending.ClientGone, sending.FileFailed) as gone:
            error = gone
        finally:
            os.close(fd)
            with self._ended:
                self.outlets.append((outlet, error))
                self._ended.notify_all()
        return response


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> plane_region.Cluster:
    return plane_region.Cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(params=["plain", "tls"])
def context(
    request: pytest.FixtureRequest, cluster: plane_region.Cluster
) -> ssl.SSLContext | None:
    """Give the server's context; None for plain HTTP."""
    return tls.server_context(cluster.region()) if request.param == "tls" else None


@pytest.fixture
def server(tmp_path: pathlib.Path, context: ssl.SSLContext | None) -> Iterator[Server]:
    (tmp_path / "file").write_bytes(CONTENT)
    with Server(tmp_path / "file", context) as server:
        yield server


@contextlib.contextmanager
def connected(
    server: Server, cluster: plane_region.Cluster, context: ssl.SSLContext | None
) -> Iterator[http.client.HTTPConnection]:
    """Give a connection to the server, of its kind."""
    connection = (
        http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        if context is None
        else http.client.HTTPSConnection(
            "127.0.0.1",
            server.port,
            timeout=PATIENCE,
            context=tls.client_context(cluster.rack()),
        )
    )
    with contextlib.closing(connection):
        yield connection


@pytest.fixture
def client(
    server: Server, cluster: plane_region.Cluster, context: ssl.SSLContext | None
) -> Iterator[http.client.HTTPConnection]:
    with connected(server, cluster, context) as connection:
        yield connection


PARTS = [(0, len(CONTENT)), (0, 1), (5, 5), (units.MIB - 1, units.MIB + 1), (17, 2 * units.MIB)]


def test_the_bytes_are_those_of_the_file_one_request_after_another(
    server: Server, client: http.client.HTTPConnection
) -> None:
    for count, (start, stop) in enumerate(PARTS, 1):
        client.request("GET", f"/?start={start}&stop={stop}")
        assert client.getresponse().read() == CONTENT[start:stop]
        outlet, error = server.ended(count)
        assert (outlet.sent, error) == (stop - start, None)


def test_several_machines_are_served_at_once(
    server: Server, cluster: plane_region.Cluster, context: ssl.SSLContext | None
) -> None:
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(server, cluster, context)) for _ in range(5)]
        for each in clients:
            each.request("GET", "/")
        assert {each.getresponse().read() for each in clients} == {CONTENT}


def test_a_client_that_goes_away_is_no_error(
    server: Server, client: http.client.HTTPConnection, tmp_path: pathlib.Path
) -> None:
    os.truncate(tmp_path / "file", LARGE)
    server.length = LARGE
    client.request("GET", "/")
    assert len(client.getresponse().read(1000)) == 1000
    client.close()
    outlet, error = server.ended(1)
    assert isinstance(error, sending.ClientGone)
    assert outlet.sent < LARGE


def test_a_file_that_ends_early_cuts_the_connection(
    server: Server, client: http.client.HTTPConnection
) -> None:
    server.length = len(CONTENT) + 100
    client.request("GET", "/")
    reply = client.getresponse()
    with pytest.raises((http.client.IncompleteRead, ConnectionError, ssl.SSLError)):
        reply.read()
    outlet, error = server.ended(1)
    assert isinstance(error, sending.FileFailed)
    assert "a file ended early" in str(error)
    assert outlet.sent == len(CONTENT)


def test_a_file_that_cannot_be_read_is_told_from_a_client_that_went_away(
    tmp_path: pathlib.Path,
) -> None:
    """A full connection is waited for first; the file fails after that."""
    with Server(tmp_path, None) as server:  # A directory is opened, and cannot be read.
        server.buffered = LARGE
        server.length = LARGE + 100
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        ) as client:
            client.request("GET", "/")
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                client.getresponse().read()
        outlet, error = server.ended(1)
    assert isinstance(error, sending.FileFailed)
    assert outlet.sent == LARGE


def test_a_client_that_left_before_the_answer_is_no_error(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(_: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    (tmp_path / "file").write_bytes(CONTENT)
    with Server(tmp_path / "file", None) as server:
        server.on_connection = leave
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: rack\r\n\r\n")
        _, error = server.ended(1)
    assert isinstance(error, sending.ClientGone)
    assert not caplog.records


def test_a_client_that_went_silent_is_one_that_went_away(tmp_path: pathlib.Path) -> None:
    def impatient(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 300)

    (tmp_path / "file").touch()
    os.truncate(tmp_path / "file", LARGE)
    with Server(tmp_path / "file", None) as server:
        server.on_connection = impatient
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: rack\r\n\r\n")
            outlet, error = server.ended(1)
    assert isinstance(error, sending.ClientGone)
    assert isinstance(error.__cause__, TimeoutError)
    assert outlet.sent < LARGE
