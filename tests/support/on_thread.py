"""A real controller in the tests' own process, on a thread of its own.

It starts in a tenth of the time that a process takes, and tests may change constants of the
product for it. What only a process can show (signals, exit statuses) is for ``demo.site.Site``.
"""

import asyncio
import contextlib
import pathlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

from boot_resources.service import local

PATIENCE = 30.0
"""Seconds after which a story that is stuck fails."""


def wait_until(condition: Callable[[], object]) -> None:
    """Return once ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the story is stuck"
        time.sleep(0.005)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody uses now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class OnThread:
    """A controller that can be started, asked, stopped and started again.

    Attributes:
        local: its control socket.
    """

    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None

    def __init__(self, kind: str, control_socket: pathlib.Path) -> None:
        self.local = local.Controller(kind, control_socket)

    async def serve(self, stop: asyncio.Event) -> None:
        """Build the controller and run it until ``stop`` is set."""
        raise NotImplementedError

    def run(self) -> None:
        """Run it in this thread until it ends.

        Raises:
            errors.BootResourcesError: it refused to start.
        """
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(self._serve())

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            errors.BootResourcesError: it refused to start.
        """
        self._ended = futures.Future[None]()
        self._thread = threading.Thread(target=self._run, name=self.local.kind)
        self._thread.start()
        wait_until(lambda: self._ended.done() or self._answers())
        if self._ended.done():
            self._thread.join()
            self._ended.result()

    def stop(self) -> None:
        """Stop it as SIGTERM does."""
        if self._thread.is_alive():
            self.ask_to_stop()
            self._thread.join()
        self._ended.result()

    def ask_to_stop(self) -> None:
        """Do what SIGTERM does, and do not wait."""
        self._loop.call_soon_threadsafe(self._stop.set)

    def status(self) -> dict[str, Any]:
        """Return what ``boot-resources status`` shows."""
        return self.local.get("/status")

    def _answers(self) -> bool:
        with contextlib.suppress(local.Unreachable):
            self.status()
            return True
        return False

    def _run(self) -> None:
        try:
            self.run()
        except BaseException as error:
            self._ended.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self.serve(self._stop)
