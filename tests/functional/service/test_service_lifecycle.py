"""The life of a controller's process, in a process of its own."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

PROGRAM = """
import asyncio, sys
from aiohttp import web
import prometheus_client
from boot_resources.service import doors, lifecycle, logs, monitoring, ports, refusals

async def main(stop):
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("boots", "Machines booted.", registry=registry).inc(3)
    app = monitoring.application(registry, lambda: {"serving": True})
    listening = ports.listen("127.0.0.1", 0, "metrics.port")
    print(listening.getsockname()[1], flush=True)
    async with doors.opened(app, listening, refusals.Refusals("metrics port")):
        lifecycle.ready()
        await stop.wait()
        lifecycle.stopping()
    print("stopped cleanly", flush=True)

logs.configure("info")
lifecycle.run(main)
"""


class Process:
    """The program, running."""

    def __init__(self, notify: str = "") -> None:
        environment = {**os.environ, "NOTIFY_SOCKET": notify}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as reply:
            text: str = reply.read().decode()
            return text

    def end(self, number: signal.Signals) -> tuple[int, str, str]:
        self._process.send_signal(number)
        out, err = self._process.communicate(timeout=30)
        return self._process.returncode, out, err


@pytest.fixture
def systemd(tmp_path: pathlib.Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(30)
        yield listening


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_a_clean_stop(number: signal.Signals) -> None:
    process = Process()
    assert process.get("/health") == '{"serving": true}'
    assert process.end(number) == (0, "stopped cleanly\n", "")


def test_systemd_is_told_when_it_serves_and_when_it_stops(systemd: socket.socket) -> None:
    process = Process(systemd.getsockname())
    assert systemd.recv(100) == b"READY=1"
    assert "boots_total 3.0" in process.get("/metrics")
    assert process.end(signal.SIGTERM)[0] == 0
    assert systemd.recv(100) == b"STOPPING=1"


def test_systemd_may_listen_on_an_abstract_socket() -> None:
    name = f"boot-resources-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.settimeout(30)
        process = Process("@" + name)
        assert listening.recv(100) == b"READY=1"
        assert process.end(signal.SIGTERM)[0] == 0


def test_it_serves_though_systemd_cannot_be_told(tmp_path: pathlib.Path) -> None:
    process = Process(str(tmp_path / "absent"))
    assert process.get("/health") == '{"serving": true}'
    status, _, log = process.end(signal.SIGTERM)
    assert status == 0
    assert "systemd could not be told READY=1" in log
