"""A small cloud on this machine: an authority, a region and a rack as real processes.

Everything lies below one directory and listens on free loopback ports; the processes are started
with the command, as systemd would start them, and end with the site.
"""

import contextlib
import dataclasses
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from boot_resources import errors, units
from boot_resources.service import local

_COMMAND = (sys.executable, "-m", "boot_resources")
_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.1
REGION = "region-0"
RACK = "rack-0"


class DemoFailed(errors.BootResourcesError):
    """The demonstration did not go as it should."""


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What the site is made for.

    Attributes:
        source_url: the boot source.
        keyring: file of its keys; None for an unsigned one.
        selections: ``(os, release, arch)`` each; ``*`` matches everything.
        cache_size: bytes of the rack's cache.
    """

    source_url: str
    keyring: pathlib.Path | None
    selections: Sequence[tuple[str, str, str]]
    cache_size: int = 4 * units.GIB


class Site:
    """The processes of the small cloud; a context manager that ends them.

    Attributes:
        region: how to talk to the region.
        rack: how to talk to the rack.
        rack_url: where machines fetch.
    """

    def __init__(self, directory: pathlib.Path, wishes: Wishes) -> None:
        """Write certificates and settings below ``directory``; ``start`` starts the processes.

        A directory that was used before is used again, with what lies in it.
        """
        self._directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        plane_port, http_port, region_metrics, rack_metrics = _free_ports(4)
        self.region = local.Controller("region", directory / "region.sock")
        self.rack = local.Controller("rack", directory / "rack.sock")
        self.rack_url = f"http://127.0.0.1:{http_port}"
        self.region_metrics = f"http://127.0.0.1:{region_metrics}/metrics"
        self.rack_metrics = f"http://127.0.0.1:{rack_metrics}/metrics"
        self._make_certificates()
        self._write("region", self._region_settings(wishes, plane_port, region_metrics))
        self._write(
            "rack", self._rack_settings(wishes.cache_size, plane_port, http_port, rack_metrics)
        )

    def settings(self, controller: str) -> pathlib.Path:
        """Return the settings file of a controller."""
        return self._directory / f"{controller}.toml"

    def pid(self, controller: str) -> int:
        """Return the process id of a controller that runs."""
        return self._processes[controller].pid

    def start(self, controller: str) -> None:
        """Start the process of a controller and wait until it answers.

        Raises:
            DemoFailed: it ended, or did not answer in time; in the last words of its log.
        """
        self.launch(controller)
        self.wait_until_started(controller)

    def launch(self, controller: str) -> None:
        """Start the process of a controller, and do not wait for it."""
        words = [*_COMMAND, controller, "run", "--settings", str(self.settings(controller))]
        with self._log(controller).open("ab") as stream:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=stream)
        self._processes[controller] = process

    def wait_until_started(self, controller: str) -> None:
        """Wait until a controller that was launched answers.

        Raises:
            DemoFailed: it ended, or did not answer in time; in the last words of its log.
        """
        asked: local.Controller = getattr(self, controller)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(local.Unreachable):
                asked.get("/status")
                return
            ended = self._processes[controller].poll() is not None
            if ended or time.monotonic() > deadline:
                said = self._log(controller).read_text(errors="replace").strip()
                lines = said.splitlines() or ["it said nothing"]
                raise DemoFailed(
                    f"the {controller} did not start: {lines[-1]}",
                    "its whole log is kept where you name a place with --directory",
                )
            time.sleep(0.05)

    def _log(self, controller: str) -> pathlib.Path:
        return self._directory / f"{controller}.log"

    def wait_until_available(
        self, images: int, watch: Callable[[dict[str, Any]], None] = lambda status: None
    ) -> None:
        """Wait until the region offers ``images`` images; ``watch`` gets its status meanwhile.

        Raises:
            DemoFailed: its sync ended without them; the message says why.
        """
        while True:
            status = self.region.get("/status")
            watch(status)
            sync = status["sync"]
            if sync["phase"] == "idle" and sync["passes"]:
                missing = images - status["images"]
                if missing <= 0:
                    return
                reasons = "; ".join(each["text"] for each in status["notices"])
                raise DemoFailed(
                    f"{missing} of {images} images did not become available: "
                    f"{reasons or sync['last_error']}"
                )
            time.sleep(_POLL_SECONDS)

    def wait_until_listed(self, images: int) -> None:
        """Wait until the rack knows of ``images`` images.

        Raises:
            DemoFailed: it did not learn of them in time; the message says why.
        """
        deadline = time.monotonic() + _START_SECONDS
        while (status := self.rack.get("/status"))["images"] < images:
            if time.monotonic() > deadline:
                reasons = "; ".join(each["text"] for each in status["notices"])
                raise DemoFailed(f"the rack did not learn what is available: {reasons}")
            time.sleep(_POLL_SECONDS)

    def stop(self, controller: str) -> int:
        """End a controller as systemd does, with SIGTERM; return its exit status."""
        process = self._processes.pop(controller)
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self, controller: str) -> None:
        """End a controller as a power cut does, with SIGKILL."""
        process = self._processes.pop(controller)
        process.kill()
        process.wait()

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        # Racks first: they ask regions.
        for controller in sorted(self._processes):
            self.stop(controller)

    def _make_certificates(self) -> None:
        authority = self._directory / "authority"
        if authority.exists():
            return
        _run("ca", "create", "--directory", str(authority))
        place = ("--directory", str(authority), "--out", str(self._directory))
        _run("ca", "issue", REGION, "--role", "region", "--address", "127.0.0.1", *place)
        _run("ca", "issue", RACK, "--role", "rack", *place)

    def _write(self, controller: str, lines: Sequence[str]) -> None:
        self.settings(controller).write_text("\n".join(lines) + "\n")

    def _identity(self, name: str) -> list[str]:
        return [
            "[plane]",
            _setting("certificate", self._directory / f"{name}.crt"),
            _setting("key", self._directory / f"{name}.key"),
            _setting("authority", self._directory / "authority.crt"),
            _setting("members", self._directory / "members.json"),
        ]

    def _region_settings(self, wishes: Wishes, plane_port: int, metrics_port: int) -> list[str]:
        signed = _setting("keyring", wishes.keyring) if wishes.keyring else "allow-unsigned = true"
        lines = [
            'controller = "region"',
            _setting("name", REGION),
            "[storage]",
            _setting("path", self._directory / "image-storage"),
            'reserve = "64M"',
            "[catalog]",
            _setting("url", f"sqlite:///{self._directory / 'catalog.db'}"),
            "[source]",
            _setting("url", wishes.source_url),
            signed,
            *self._identity(REGION),
            'listen = "127.0.0.1"',
            f"port = {plane_port}",
            _setting("address", f"127.0.0.1:{plane_port}"),
            "[metrics]",
            f"port = {metrics_port}",
            "[control]",
            _setting("socket", self.region.socket),
        ]
        for os, release, arch in wishes.selections:
            lines += [
                "[[selections]]",
                _setting("os", os),
                _setting("release", release),
                f"arches = [{json.dumps(arch)}]",
            ]
        return lines

    def _rack_settings(
        self, cache_size: int, plane_port: int, http_port: int, metrics_port: int
    ) -> list[str]:
        return [
            'controller = "rack"',
            _setting("name", RACK),
            f'regions = ["127.0.0.1:{plane_port}"]',
            "[cache]",
            _setting("path", self._directory / "cache"),
            f"size = {cache_size}",
            "[http]",
            'listen = "127.0.0.1"',
            f"port = {http_port}",
            *self._identity(RACK),
            "[metrics]",
            f"port = {metrics_port}",
            "[control]",
            _setting("socket", self.rack.socket),
        ]


def _setting(key: str, value: Any) -> str:
    # JSON's strings are TOML's basic strings.
    return f"{key} = {json.dumps(str(value))}"


def _run(*words: str) -> None:
    done = subprocess.run([*_COMMAND, *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise DemoFailed(f"`boot-resources {' '.join(words)}` failed: {done.stderr.strip()}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
