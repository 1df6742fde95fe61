"""The life of a controller's process: start, READY=1, until SIGTERM, a clean stop."""

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Coroutine
from typing import Any

logger = logging.getLogger(__name__)


def run(
    main: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run ``main`` until it returns; the event it is given is set at SIGTERM and SIGINT."""
    _allow_many_connections()

    async def supervised() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await main(stop)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(supervised())


def _allow_many_connections() -> None:
    """Raise the soft limit of descriptors as far as we may: a transfer needs two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def ready() -> None:
    """Tell systemd that the controller serves."""
    _notify_systemd("READY=1")


def stopping() -> None:
    """Tell systemd that the controller is about to stop."""
    _notify_systemd("STOPPING=1")


def _notify_systemd(state: str) -> None:
    """Tell systemd of a change of state (``READY=1``), where it started us (sd_notify(3)).

    Where it cannot be told, that is logged: serving matters more.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
            notifier.connect(name)
            notifier.send(state.encode())
    except OSError as error:
        logger.warning("systemd could not be told %s: %s", state, error)
