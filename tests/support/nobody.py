"""Do something without root's rights over files, as an ordinary user of this host would."""

import ctypes
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

UID = 65534
"""Owns nothing. Where the tests do not run as root, they stay who they are."""
T = TypeVar("T")


def do(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, done by a thread of its own without rights over files."""

    def as_nobody() -> T:
        # Of this thread alone (setfsuid(2)), and of those that it starts.
        libc = ctypes.CDLL(None)
        libc.setfsgid(UID)
        libc.setfsuid(UID)
        return work()

    with futures.ThreadPoolExecutor(1) as thread:
        return thread.submit(as_nobody).result()
