"""Machines that boot at once: each fetches its files from a rack, and hashes what came.

A machine knows nothing of the product. It asks for a file by its versionless name, follows the
redirect, and counts and hashes the bytes that its socket gave it.
"""

import dataclasses
import hashlib
import http.client
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from concurrent import futures

from boot_resources import units

_BUFFER = 256 * units.KIB
_TIMEOUT = 120.0

Fetched = Callable[[int], None]
"""Called with the number of bytes that some machine received since the last call."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A file that a machine asks for, and what its bytes must be.

    Attributes:
        path: URL path on the rack.
        sha256: of the right bytes.
        size: of the right bytes.
    """

    path: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Boot:
    """What one machine got.

    Attributes:
        received: body bytes.
        wrong: what was not right, in words.
    """

    received: int
    wrong: tuple[str, ...]


def boot_all(rack_url: str, menus: Sequence[Sequence[Wanted]], fetched: Fetched) -> list[Boot]:
    """Let one machine for each menu fetch its files, all machines at the same moment."""
    start = threading.Barrier(len(menus))
    address = urllib.parse.urlsplit(rack_url).netloc

    def machine(menu: Sequence[Wanted]) -> Boot:
        start.wait()
        return _boot(address, menu, fetched)

    with futures.ThreadPoolExecutor(len(menus), "machine") as pool:
        return list(pool.map(machine, menus))


def _boot(address: str, menu: Sequence[Wanted], fetched: Fetched) -> Boot:
    connection = http.client.HTTPConnection(address, timeout=_TIMEOUT)
    received = 0
    wrong = []
    for wanted in menu:
        try:
            response = _get(connection, wanted.path)
            count, digest = _hash(response, fetched)
        except (OSError, http.client.HTTPException) as error:
            wrong.append(f"{wanted.path}: {error!r}")
            connection.close()
            continue
        received += count
        if response.status != 200:
            wrong.append(f"{wanted.path}: status {response.status}")
        elif (digest, count) != (wanted.sha256, wanted.size):
            wrong.append(f"{wanted.path}: {count} bytes with sha256 {digest[:12]}")
    connection.close()
    return Boot(received, tuple(wrong))


def _get(connection: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
    connection.request("GET", path)
    response = connection.getresponse()
    if response.status not in (302, 307):
        return response
    location = response.headers["Location"]
    response.read()
    connection.request("GET", location)
    return connection.getresponse()


def _hash(response: http.client.HTTPResponse, fetched: Fetched) -> tuple[int, str]:
    whole = hashlib.sha256()
    buffer = memoryview(bytearray(_BUFFER))
    received = 0
    while count := response.readinto(buffer):
        whole.update(buffer[:count])
        received += count
        fetched(count)
    return received, whole.hexdigest()
