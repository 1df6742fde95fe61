"""Hosts with an init of their own, booted in containers on a bridge that only this machine sees.

Each ``Host`` boots systemd over its own copy of one file system (``host_image``) and has an
address that the tests reach, and that reaches them. Nothing leaves this machine.

Everything ends with the test: a host's processes die with the process that started them, however
that ends, and its mounts with its processes. What is left then, the next ``network`` removes
(``bridges``).
"""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from support import bridges, host_image

SHARED = pathlib.PurePosixPath("/mnt/shared")
"""Where a host sees ``Host.shared``."""
BOOT_SECONDS = 60.0
RUN_SECONDS = 300.0
"""After so long a host that does not boot, or a command that does not end, is a failure."""

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd")
_BOOT = """\
set -e
for group in $CGROUPS; do mkdir -p "$group"; echo 0 >"$group/cgroup.procs"; done
mount -t overlay -o "lowerdir=$IMAGE,upperdir=$PWD/own,workdir=$PWD/work" overlay root
mkdir -p /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
exec systemd-nspawn "$@"
"""
"""Run in namespaces of its own, so that its mounts and processes end with it."""
T = TypeVar("T")


class HostError(Exception):
    """A host did not do what it was told; says what it printed."""


class Host:
    """One host; ``Network.host`` makes it and boots it.

    Attributes:
        name: its host name.
        address: its IPv4 address on the bridge.
        shared: a directory of this machine that the host sees as ``SHARED``.
    """

    def __init__(self, name: str, number: int, network: "Network") -> None:
        self.name = name
        self.address = network.bridge.address(number)
        self._network = network
        self._machine = network.bridge.machine(number)
        self._directory = network.bridge.directory / name
        self.shared = self._directory / "shared"
        self._container: subprocess.Popen[bytes] | None = None
        self._init = 0
        for part in ("own", "work", "root", "shared"):
            (self._directory / part).mkdir(parents=True)
        self._write_own_files()

    # Its power.

    def start(self) -> None:
        """Boot it, and wait until it is up; what it had on its disk is there again."""
        cgroups = self._network.bridge.cgroups(self._machine)
        # The tests' end, even by SIGKILL, is the end of the host.
        leash = ["setpriv", "--pdeathsig", "KILL"]
        spaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        with self._console.open("wb") as console:
            self._container = subprocess.Popen(
                [*leash, *spaces, "sh", "-c", _BOOT, "boot", *self._options()],
                cwd=self._directory,
                env={
                    "PATH": _PATH,
                    "IMAGE": str(self._network.image),
                    "CGROUPS": " ".join(map(str, cgroups)),
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self._init = self._wait_for(self._find_init)
        self._wait_for(self._is_up)

    def stop(self) -> None:
        """Shut it down, as its power button does."""
        if self._container is not None:
            os.kill(self._init, signal.SIGRTMIN + 4)
            self._end(self._container)

    def cut_power(self) -> None:
        """End it at once; what it had written stays."""
        if self._container is not None:
            self._container.kill()
            self._end(self._container)

    def reboot(self) -> None:
        """Shut it down and boot it again."""
        self.stop()
        self.start()

    # What one does on it.

    def run(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
        check: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root of the host; return it with its status and outputs.

        Args:
            command: the program, found on the host's own path, and its arguments.
            env: its environment beside ``PATH``; nothing of the tests' own gets in.
            stdin: what it reads.
            check: whether another status than 0 is a ``HostError``.
        """
        variables = {"PATH": _PATH, "HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        enter = ["nsenter", "--target", str(self._init), *_SPACES, "env", "-i", *assignments]
        done = subprocess.run(
            [*enter, *command],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=RUN_SECONDS,
        )
        if check and done.returncode:
            said = (done.stdout + done.stderr).strip()
            raise HostError(f"{self.name}: {' '.join(command)}: {done.returncode}: {said}")
        return done

    def says(self, *command: str) -> str:
        """Run a command that has to work; return what it prints, without the last line's end."""
        return self.run(command).stdout.rstrip("\n")

    def copy_in(self, source: pathlib.Path, target: str | pathlib.PurePosixPath) -> None:
        """Copy a file, or a directory with all in it, to the path ``target`` on the host."""
        passing = self.shared / ".passing"
        if source.is_dir():
            shutil.copytree(source, passing, symlinks=True)
        else:
            shutil.copy2(source, passing)
        self.run(["mkdir", "--parents", str(pathlib.PurePosixPath(target).parent)])
        self.run(["mv", "--no-target-directory", str(SHARED / passing.name), str(target)])

    def exists(self, path: str | pathlib.PurePosixPath) -> bool:
        """Return whether the host has anything at ``path``, be it a link that leads nowhere."""
        test = ["sh", "-c", '[ -e "$1" ] || [ -L "$1" ]', "sh", str(path)]
        return self.run(test, check=False).returncode == 0

    def read(self, path: str | pathlib.PurePosixPath) -> str:
        """Return the text of a file."""
        return self.run(["cat", str(path)]).stdout

    def journal(self, unit: str) -> str:
        """Return what a unit of systemd wrote to the journal."""
        return self.says("journalctl", "--no-pager", "--output=cat", "--unit", unit)

    # How it boots and ends.

    @property
    def _console(self) -> pathlib.Path:
        return self._directory / "console"

    def _write_own_files(self) -> None:
        """Write, where the host will see it, who it is and where."""
        own = self._directory / "own" / "etc"
        network = own / "systemd" / "network"
        network.mkdir(parents=True)
        (own / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        (own / "hostname").write_text(f"{self.name}\n")
        (own / "hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.name}\n")
        # It has to sort before 80-container-host0.network, which asks for an address by DHCP.
        (network / "10-host0.network").write_text(
            f"[Match]\nName=host0\n[Network]\nAddress={self.address}/24\n"
            "LinkLocalAddressing=no\nIPv6AcceptRA=no\n"
        )

    def _options(self) -> list[str]:
        """Return systemd-nspawn's."""
        return [
            *("--quiet", "--boot", "--register=no", "--keep-unit", "--console=read-only"),
            *("--resolv-conf=off", "--timezone=off", "--link-journal=no"),
            f"--directory={self._directory / 'root'}",
            f"--machine={self._machine}",
            f"--hostname={self.name}",
            f"--network-bridge={self._network.bridge.name}",
            f"--bind={self.shared}:{SHARED}",
            *host_image.bindings(self._network.python),
        ]

    def _find_init(self) -> int:
        """Return the host's init, 0 while there is none: the child of the child of ours."""
        assert self._container is not None
        for nspawn in _children(self._container.pid):
            for child in _children(nspawn):
                if _comm(child) == "systemd":
                    return child
        return 0

    def _is_up(self) -> bool:
        said = self.run(["systemctl", "is-system-running"], check=False).stdout.strip()
        # A unit that failed is for the tests to see; the host itself is up.
        return said in ("running", "degraded")

    def _wait_for(self, look: Callable[[], T]) -> T:
        """Return what ``look`` returns as soon as it is something."""
        assert self._container is not None
        end = time.monotonic() + BOOT_SECONDS
        while self._container.poll() is None and time.monotonic() < end:
            if found := look():
                return found
            time.sleep(0.05)
        self.cut_power()
        said = self._console.read_text(errors="replace")[-4000:]
        raise HostError(f"{self.name} does not boot: {said}")

    def _end(self, container: subprocess.Popen[bytes]) -> None:
        """Wait until a container that was told to end has ended."""
        container.wait(bridges.END_SECONDS)
        self._container = None
        self._network.bridge.unplug(self._machine)


class Network:
    """A bridge with hosts on it; ``network`` makes it.

    Attributes:
        bridge: which one.
        address: this machine's own on it, by which hosts reach the tests' servers.
        image, python: what the hosts boot from.
    """

    def __init__(self, bridge: bridges.Bridge) -> None:
        self.bridge = bridge
        self.address = bridge.address(1)
        self.image = host_image.ready()
        self.python = host_image.python()
        self._hosts: list[Host] = []

    def host(self, name: str) -> Host:
        """Boot a new host of this name."""
        host = Host(name, 10 + len(self._hosts), self)
        self._hosts.append(host)
        host.start()
        return host

    def close(self) -> None:
        """End all hosts, at once."""
        for host in self._hosts:
            host.cut_power()


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """Yield a bridge without hosts; the test ends here where this machine can boot none."""
    host_image.check_machine()
    with bridges.made() as bridge, contextlib.closing(Network(bridge)) as made:
        yield made


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(each) for each in _proc(pid, f"task/{pid}/children").split()]
    return []


def _comm(pid: int) -> str:
    with contextlib.suppress(OSError):
        return _proc(pid, "comm").strip()
    return ""


def _proc(pid: int, name: str) -> str:
    return pathlib.Path(f"/proc/{pid}/{name}").read_text()
