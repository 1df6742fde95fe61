"""Listening on a port, or a refusal that says who holds it."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

from boot_resources import errors
from boot_resources.service import ports

LISTEN = """
import socket, sys
listening = socket.create_server(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_free_port_is_listened_on(host: str) -> None:
    with ports.listen(host, 0, "http.port") as listening:
        port = listening.getsockname()[1]
        socket.create_connection((host, port), timeout=10).close()


def test_a_taken_port_names_the_process_that_holds_it() -> None:
    command = [sys.executable, "-c", LISTEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with pytest.raises(ports.PortTaken) as caught:
            ports.listen("127.0.0.1", port, "http.port")
        name = pathlib.Path(f"/proc/{process.pid}/comm").read_text().strip()
        process.kill()
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is taken by {name} (process {process.pid})"
    )
    assert caught.value.cure == "stop that process, or set http.port to another port"


def test_a_port_that_was_held_a_moment_ago_is_free() -> None:
    with ports.listen("127.0.0.1", 0, "http.port") as listening:
        port = listening.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=10):
            listening.accept()[0].close()
    ports.listen("127.0.0.1", port, "http.port").close()


def test_who_listens_is_found_on_both_families_and_nobody_where_nobody_does() -> None:
    with ports.listen("::1", 0, "http.port") as listening:
        port = listening.getsockname()[1]
        assert str(os.getpid()) in (ports.holder(port) or "")
    assert ports.holder(port) is None


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "2001:db8::1"])
def test_an_address_of_another_host_is_refused_with_the_option(host: str) -> None:
    with pytest.raises(errors.SettingsError, match=f"cannot listen on {host} port 5") as caught:
        ports.listen(host, 54321, "plane.port")
    assert caught.value.cure == "correct plane.port"
