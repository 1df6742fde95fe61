"""Threads for what may wait for the catalog or the source, apart from those that serve.

Always true: however many questions wait for a database that hangs, serving has all the threads of
the event loop's own pool.
"""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent import futures
from typing import TypeVar

_THREADS = 16
T = TypeVar("T")


class Aside:
    """A small pool of threads; its owner closes it."""

    def __init__(self) -> None:
        self._threads = futures.ThreadPoolExecutor(_THREADS, "aside")

    async def ask(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, or raise what it raises; the event loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def begin(self, work: Callable[[], None]) -> None:
        """Have ``work`` done, and do not wait for it; may be called by any thread.

        ``work`` handles its own errors. After ``close`` it is left undone.
        """
        with contextlib.suppress(RuntimeError):
            self._threads.submit(work)

    def close(self) -> None:
        """Begin nothing more; what is under way comes to its own end."""
        self._threads.shutdown(wait=False, cancel_futures=True)
