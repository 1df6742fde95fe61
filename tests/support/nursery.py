"""Racks as processes of their own that start in the time of a fork, so that many can be killed.

A nursery is one process that has imported the command and forks a child for every rack; the child
is ``boot-resources rack run`` in all but the time that the imports take. A kill is SIGKILL.
"""

import ctypes
import dataclasses
import json
import os
import pathlib
import signal as signals
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, Self

from boot_resources import errors
from boot_resources.service import local
from support import on_thread, plane_region

_TESTS = pathlib.Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1
_PROGRAM = "from support import nursery; nursery.main()"


class Nursery:
    """Starts racks; a context manager that ends them all."""

    def __init__(self, prepare: str) -> None:
        """Begin one.

        Args:
            prepare: ``module:function``, called in the nursery before the first rack; it may
                change constants of the product.
        """
        path = os.pathsep.join([str(_TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
        self._tell(prepare)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The racks are in its session, and have no other parent.
        os.killpg(self._process.pid, signals.SIGKILL)
        self._process.communicate()

    def run(self, settings: pathlib.Path, log: pathlib.Path) -> int:
        """Start a rack; return its process id."""
        self._tell({"settings": str(settings), "log": str(log)})
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def _tell(self, words: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What a rack's settings file says; the rest is as it must be on loopback.

    Attributes:
        cache: directory of its cache.
        size: bound of the cache, bytes.
        regions: their addresses.
        members: the cluster that it is of.
        ports: for machines, and for metrics.
        log_level: the least severe level that it logs.
    """

    cache: pathlib.Path
    size: int
    regions: Sequence[str]
    members: plane_region.Cluster
    ports: Sequence[int] = dataclasses.field(default_factory=lambda: on_thread.free_ports(2))
    log_level: str = "info"

    def write(self, path: pathlib.Path) -> None:
        """Write the file; the control socket lies beside it."""
        identity = self.members.rack()
        http_port, metrics_port = self.ports
        path.write_text(
            f"""
            controller = "rack"
            name = "rack-0"
            log-level = "{self.log_level}"
            regions = {json.dumps(list(self.regions))}
            [cache]
            path = "{self.cache}"
            size = {self.size}
            [http]
            listen = "127.0.0.1"
            port = {http_port}
            [metrics]
            port = {metrics_port}
            [plane]
            certificate = "{identity.certificate}"
            key = "{identity.key}"
            authority = "{identity.authority}"
            members = "{self.members.list_path}"
            [control]
            socket = "{path.with_suffix(".sock")}"
            """
        )


class RackProcess:
    """One rack that can be started, asked, stopped, killed and started again.

    Attributes:
        settings: its settings file.
        local: its control socket.
        port: for machines.
        log: what it wrote, over all its lives.
    """

    def __init__(self, nursery: Nursery, settings: pathlib.Path, port: int) -> None:
        self.port = port
        self.settings = settings
        self.log = settings.with_suffix(".log")
        self.local = local.Controller("rack", settings.with_suffix(".sock"))
        self._nursery = nursery
        self._pid = 0

    @property
    def peak_memory(self) -> int:
        """Bytes of memory that it had at most at once."""
        lines = pathlib.Path(f"/proc/{self._pid}/status").read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._pid = self._nursery.run(self.settings, self.log)
        try:
            on_thread.wait_until(lambda: self._has_ended() or self._answers())
            assert not self._has_ended()
        except AssertionError:
            raise AssertionError(f"it does not start: {self.log.read_text()[-4000:]}") from None

    def signal(self, number: signals.Signals) -> None:
        """Send it a signal, and do not wait."""
        os.kill(self._pid, number)

    def end(self, number: signals.Signals) -> None:
        """Send it a signal, and wait until it has ended."""
        if self._pid and not self._has_ended():
            self.signal(number)
            on_thread.wait_until(self._has_ended)
        self._pid = 0

    def _has_ended(self) -> bool:
        try:
            os.kill(self._pid, 0)
        except ProcessLookupError:
            return True
        return False

    def _answers(self) -> bool:
        try:
            self.local.get("/status")
        except errors.BootResourcesError:
            return False
        return True


def main() -> None:
    """Be a nursery: fork a rack for every line that comes."""
    import importlib

    from boot_resources.cli import main as command

    # What the command would import when it is called.
    for name in ("boot_resources.cli.rack", "boot_resources.rack.controller"):
        importlib.import_module(name)
    module, _, function = json.loads(sys.stdin.readline()).partition(":")
    getattr(importlib.import_module(module), function)()
    # Children that ended are gone at once; nobody waits for them.
    signals.signal(signals.SIGCHLD, signals.SIG_IGN)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            _become_rack(command, order["settings"], order["log"])
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _become_rack(command: Any, settings: str, log: str) -> None:
    signals.signal(signals.SIGCHLD, signals.SIG_DFL)
    # A test run that is cut off leaves no rack behind: it ends with the nursery (prctl(2)).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signals.SIGKILL)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(fd, standard)
    sys.argv = ["boot-resources", "rack", "run", "--settings", settings]
    status = 1
    try:
        command.main()
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(status)
