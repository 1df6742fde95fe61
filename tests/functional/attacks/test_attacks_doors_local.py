"""The local socket: nobody but its owner and root comes in, and garbage on it does no harm."""

import ctypes
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest

from support import cloud as clouds
from support import on_thread, tiers, wire

NOBODY = 65534


@pytest.fixture(scope="module")
def rack() -> Iterator[clouds.Rack]:
    """Give a rack whose socket lies where everybody may look."""
    with tempfile.TemporaryDirectory() as name, clouds.Cloud(Path(name)) as cloud:
        Path(name).chmod(0o755)
        yield cloud.rack(cloud.region(clouds.Image({"boot-kernel": b"kernel"})))


def knock(rack: clouds.Rack) -> socket.socket:
    """Connect to the local socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(on_thread.PATIENCE)
    try:
        connection.connect(str(rack.settings.control.socket))
    except OSError:
        connection.close()
        raise
    return connection


def test_a_stranger_on_this_host_cannot_connect(rack: clouds.Rack) -> None:
    if os.geteuid() != 0:
        tiers.missing("only root can try as another user; run as root")
    assert rack.settings.control.socket.stat().st_mode & 0o777 == 0o600

    def as_nobody() -> None:
        # Of this thread alone (setfsuid(2)); it takes root's rights over files with it.
        libc = ctypes.CDLL(None)
        libc.setfsgid(NOBODY)
        libc.setfsuid(NOBODY)
        knock(rack).close()

    with futures.ThreadPoolExecutor(1) as thread, pytest.raises(PermissionError):
        thread.submit(as_nobody).result()
    knock(rack).close()


GARBAGE = {
    "noise": bytes(range(256)) * 300,
    "half a request": b"POST /cache/drop HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
    "no JSON": b"POST /cache/drop HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{{{",
    "another shape": b"POST /cache/drop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]",
    "no text": b"POST /cache/drop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n\xff\xfe",
    "deep JSON": b"POST /cache/drop HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n"
    + b"[" * 90000,
    "a wrong charset": b"POST /cache/drop HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
    b"Content-Type: application/json; charset=x-none\r\n\r\n{}",
    "too much": b"POST /cache/drop HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    + b" " * 3_000_000,
    "a path that is none": b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_on_the_local_socket_does_no_harm(
    rack: clouds.Rack, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    connection = knock(rack)
    with connection:
        try:
            connection.sendall(GARBAGE[kind])
            connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        said = wire.rest(connection)
    assert all(answer.status < 500 for answer in wire.answers(said))
    assert rack.status()["serving"]
    assert [r for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info] == []
