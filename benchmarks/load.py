"""Clients: what they get, when the first byte comes, and when the last."""

import dataclasses
import http.client
import multiprocessing
import threading
import time
import urllib.parse
from collections.abc import Sequence
from concurrent import futures

_BUFFER = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Got:
    """What one client got: status, bytes, seconds to the first byte and to the last."""

    status: int
    size: int
    first_byte: float
    seconds: float


def fetch(url: str, headers: dict[str, str] | None = None) -> Got:
    """Fetch a URL once; redirects are not followed."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=300)
    buffer = bytearray(_BUFFER)
    began = time.monotonic()
    connection.request("GET", parts.path, headers=headers or {})
    response = connection.getresponse()
    first = response.read(1)
    first_byte = time.monotonic() - began
    size = len(first)
    while count := response.readinto(buffer):
        size += count
    connection.close()
    return Got(response.status, size, first_byte, time.monotonic() - began)


def at_once(urls: Sequence[str], headers: dict[str, str] | None = None) -> list[Got]:
    """Fetch every URL, all at the same moment."""
    start = threading.Barrier(len(urls))

    def one(url: str) -> Got:
        start.wait()
        return fetch(url, headers)

    with futures.ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(one, urls))


def _hammer(url: str, until: float) -> int:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=300)
    buffer = bytearray(_BUFFER)
    size = 0
    while time.monotonic() < until:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        while count := response.readinto(buffer):
            size += count
    connection.close()
    return size


def sustained(url: str, clients: int, seconds: float) -> float:
    """Let ``clients`` processes fetch a URL again and again; return bytes a second."""
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool(clients) as pool:
        sizes = pool.starmap(_hammer, [(url, began + seconds)] * clients)
    return sum(sizes) / (time.monotonic() - began)
