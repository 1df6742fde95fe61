"""The controllers as processes: how they start, how they stop, and what a rack need not have."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest

from boot_resources.demo import origin
from support import cloud, command, towns

BLOCKED = ("sqlalchemy", "alembic", "psycopg", "gnupg", "uvloop")
BLOCKING = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from boot_resources.cli import main
main.main()
"""


@pytest.fixture
def town(tmp_path: Path) -> Iterator[towns.Town]:
    """Give a town in which nothing runs yet."""
    with towns.Town(tmp_path) as town:
        yield town


def test_both_stop_cleanly_at_sigterm_with_everything_open(town: towns.Town) -> None:
    town.site.start("region")
    town.wait_for_images()
    town.site.start("rack")
    cloud.wait_until(lambda: town.site.rack.get("/status")["images"])
    idle = cloud.Machine(town.rack_port)
    idle.ask("/images/ubuntu/amd64/ga-24.04/noble/stable/boot-kernel")
    with town.member() as member:
        member.get("/v1/images")
        member.send("/v1/images?since=99999&wait=60")
        assert town.site.stop("rack") == 0
        assert town.site.stop("region") == 0
    idle.close()
    assert not town.site.region.socket.exists()
    assert not town.site.rack.socket.exists()
    for controller in ("region", "rack"):
        log = town.log(controller)
        assert "Traceback" not in log
        assert "ERROR" not in log
    # What it hung up itself is no outage.
    assert "WARNING" not in town.log("rack").partition("rack-0 stops")[2]


def test_a_region_says_at_sighup_that_it_does_not_reload_and_goes_on(town: towns.Town) -> None:
    town.site.start("region")
    os.kill(town.site.pid("region"), signal.SIGHUP)
    cloud.wait_until(lambda: "SIGHUP changes nothing" in town.log("region"))
    assert town.answers("region")


def test_a_region_stops_in_the_middle_of_a_sync_and_goes_on_later(town: towns.Town) -> None:
    gate = cloud.Gate()
    path = "/noble/amd64/20250718/squashfs"

    def stall(request: origin.Request) -> origin.Reply | None:
        if request.path != path:
            return None
        content = (town.source.directory / path[1:]).read_bytes()
        headers = {"Content-Length": str(len(content)), "ETag": '"x"'}

        def body() -> Iterator[bytes]:
            yield content[:1000]
            gate.wait()

        return origin.Reply(200, headers, body())

    town.origin.on_request = stall
    town.site.start("region")
    gate.wait_for_arrival()
    with futures.ThreadPoolExecutor(2) as pool:
        settings = town.site.settings("region")
        watching = pool.submit(command.run_apart, "sync", "--settings", settings)
        cloud.wait_until(lambda: town.site.region.get("/sync")["phase"] == "fetching")
        stopping = pool.submit(town.site.stop, "region")
        # Whoever watches is not kept waiting until the sync has ended.
        assert watching.result().status == 3
        gate.open()
        assert stopping.result() == 0
    town.origin.on_request = None
    town.site.start("region")
    town.wait_for_images()


def test_a_second_region_with_the_same_settings_is_refused(town: towns.Town) -> None:
    town.site.start("region")
    done = command.run_apart("region", "run", "--settings", town.site.settings("region"))
    assert done.status == 1
    # By its port, its store or its socket, whichever is tried first.
    assert "is taken by" in done.err or "another controller is running" in done.err
    assert "Traceback" not in done.err
    assert town.site.region.get("/status")["name"] == "region-0"


def test_a_port_that_is_taken_is_refused_by_name(town: towns.Town) -> None:
    with socket.create_server(("127.0.0.1", town.plane_port)):
        done = command.run_apart("region", "run", "--settings", town.site.settings("region"))
    assert done.status == 1
    assert f"port {town.plane_port} on 127.0.0.1 is taken by" in done.err
    assert "plane.port" in done.err
    assert "Traceback" not in done.err


def test_a_rack_needs_no_database_no_gpg_and_no_uvloop(town: towns.Town) -> None:
    town.site.start("region")
    town.wait_for_images()
    settings = str(town.site.settings("rack"))
    words = [sys.executable, "-c", BLOCKING, "rack", "run", "--settings", settings]
    rack = subprocess.Popen(words, stderr=subprocess.PIPE)
    try:
        cloud.wait_until(lambda: rack.poll() is not None or town.answers("rack"))
        kernel = next(t for t in town.source.truth if t.filename == "boot-kernel")
        name = f"/images/{kernel.os}/{kernel.arch}/{kernel.subarch}/{kernel.release}"
        cloud.wait_until(
            lambda: cloud.get(town.rack_port, f"{name}/{kernel.label}/boot-kernel").status == 307
        )
        got = cloud.get(town.rack_port, f"{name}/{kernel.label}/{kernel.version}/boot-kernel")
        assert cloud.name_of(got.body) == kernel.sha256
    finally:
        rack.send_signal(signal.SIGTERM)
        _, said = rack.communicate(timeout=30)
    assert (rack.returncode, b"Traceback" in said) == (0, False)


@pytest.mark.parametrize("words", [("--help",), ("status", "--help"), ("cache", "drop", "--help")])
def test_the_commands_of_a_rack_need_none_of_it_either(words: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKING, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
