"""Bytes on a wire: what an attacker sends, and what comes back, held strictly to HTTP/1.1.

No client library stands between: it would mend what these tests want broken.
"""

import dataclasses
import re
import socket
from collections.abc import Callable, Mapping

from support import on_thread

_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3}) [ -~]*\r\n((?:[!-9;-~]+: [ -~]*\r\n)*)\r\n")


class NotHttp(AssertionError):
    """What came back is no sequence of answers."""


class Hangs(AssertionError):
    """The other side neither goes on nor closes."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        status: its status.
        headers: by their names in small letters.
        body: as much of it as came.
        whole: whether all of the body came.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


def answers(data: bytes) -> list[Answer]:
    """Return the answers in all that came on a connection; none of them to a HEAD.

    Raises:
        NotHttp: something else came before, between or after them.
    """
    found = []
    while data:
        match = _HEAD.match(data)
        if match is None:
            raise NotHttp(f"{data[:200]!r}")
        status = int(match[1])
        headers = dict(_fields(match[2].decode()))
        has_body = status >= 200 and status not in (204, 304)
        length = int(headers["content-length"]) if has_body else 0
        body = data[match.end() : match.end() + length]
        found.append(Answer(status, headers, body, len(body) == length))
        data = data[match.end() + length :]
    return found


def _fields(lines: str) -> list[tuple[str, str]]:
    return [
        (name.lower(), value)
        for name, _, value in (line.partition(": ") for line in lines.splitlines())
    ]


def exchange(connection: socket.socket, said: bytes) -> bytes:
    """Say all of ``said`` and return all that comes back, until the other side closes.

    The other side may answer and close before it has heard everything.
    """
    with connection:
        connection.settimeout(on_thread.PATIENCE)
        try:
            connection.sendall(said)
        except TimeoutError as error:
            raise Hangs("the other side does not listen") from error
        except OSError:
            pass
        return rest(connection)


def rest(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes, or resets, the connection."""
    came = bytearray()
    try:
        while piece := connection.recv(65536):
            came += piece
    except TimeoutError as error:
        raise Hangs(f"nothing comes after {bytes(came[:200])!r}") from error
    except OSError:
        pass
    return bytes(came)


@dataclasses.dataclass(frozen=True)
class Door:
    """A port under attack.

    Attributes:
        connect: opens a connection on which nothing was said yet.
        path: where an object is served.
        content: that object's bytes.
        tag: its entity tag.
    """

    connect: Callable[[], socket.socket]
    path: str
    content: bytes
    tag: str

    def fetch(self) -> list[Answer]:
        """Ask for the object in an honest way."""
        head = f"GET {self.path} HTTP/1.1\r\nHost: door\r\nConnection: close\r\n\r\n"
        return answers(exchange(self.connect(), head.encode()))
