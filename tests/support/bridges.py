"""A bridge that only this machine sees, for hosts in containers, under a number of its own.

The number names all that hangs on it: the interface, a subnet, a directory for disks, cgroups. A
file lock says who has it, and the lock ends with the process that holds it. So what goes by a
number that nobody has was left by tests that were killed, and whoever makes the next bridge
removes it.
"""

import contextlib
import dataclasses
import fcntl
import os
import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

from support import tiers

END_SECONDS = 30.0
"""After so long, what was told to end and has not is a failure."""
_PLACE = pathlib.Path("/var/tmp/boot-resources-hosts")
_NUMBERS = range(1, 100)


class StuckError(Exception):
    """What was told to end has not ended."""


@dataclasses.dataclass(frozen=True)
class Bridge:
    """A bridge; ``made`` makes it and takes it away.

    Attributes:
        number: which no other living process has.
    """

    number: int

    @property
    def name(self) -> str:
        """The interface."""
        return f"br-hosts-{self.number}"

    @property
    def directory(self) -> pathlib.Path:
        """Where the disks of its hosts lie; only root gets in."""
        return _PLACE / str(self.number)

    def address(self, number: int) -> str:
        """Return an IPv4 address of the subnet, whose mask has 24 bits; 1 is this machine's."""
        return f"10.231.{self.number}.{number}"

    def machine(self, number: int) -> str:
        """Return the name of a container; ``vb-`` before it is that of an interface."""
        return f"hosts-{self.number}-{number}"

    def cgroups(self, machine: str) -> list[pathlib.Path]:
        """Return the cgroups that a container is to begin in, one in each hierarchy.

        They keep one init from taking another's services for its own where no systemd of this
        machine keeps them apart.
        """
        return [parent / machine for parent in _hierarchies()]

    def unplug(self, machine: str) -> None:
        """Remove the interface of a container that ended, and wait until its processes did."""
        subprocess.run(["ip", "link", "delete", f"vb-{machine}"], capture_output=True, check=False)
        for parent in _hierarchies():
            _wait_until_removed(parent / machine)

    def _make(self) -> None:
        self.directory.mkdir(mode=0o700)
        for arguments in (
            ["link", "add", self.name, "type", "bridge"],
            ["address", "add", f"{self.address(1)}/24", "dev", self.name],
            ["link", "set", self.name, "up"],
        ):
            done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
            if done.returncode:
                tiers.missing(f"this machine lets nobody make a bridge: {done.stderr.strip()}")

    def _sweep(self) -> None:
        """Remove all that goes by this number; the containers themselves have ended."""
        for parent in _hierarchies():
            for group in parent.glob(self.machine(0)[:-1] + "*"):
                self.unplug(group.name)
        subprocess.run(["ip", "link", "delete", self.name], capture_output=True, check=False)
        if self.directory.exists():
            shutil.rmtree(self.directory)


@contextlib.contextmanager
def made() -> Iterator[Bridge]:
    """Yield a bridge of our own; the test ends here where this machine lets nobody make one."""
    _PLACE.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as ends:
        for left in sorted(_PLACE.glob("[0-9]*/")):
            with contextlib.ExitStack() as swept:
                if _is_ours(int(left.name), swept):
                    Bridge(int(left.name))._sweep()
        number = next((each for each in _NUMBERS if _is_ours(each, ends)), None)
        if number is None:
            tiers.missing(f"all {len(_NUMBERS)} bridges for test hosts are in use; see {_PLACE}")
        bridge = Bridge(number)
        ends.callback(bridge._sweep)
        bridge._make()
        yield bridge


def wait_until(condition: Callable[[], object]) -> None:
    """Look again and again until it is so.

    Raises:
        StuckError: it did not become so.
    """
    end = time.monotonic() + END_SECONDS
    while not condition():
        if time.monotonic() > end:
            raise StuckError("what was told to end has not ended")
        time.sleep(0.02)


def _is_ours(number: int, ends: contextlib.ExitStack) -> bool:
    """Take a number until ``ends`` ends; return whether nobody else has it."""
    lock = ends.enter_context((_PLACE / f"{number}.lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _hierarchies() -> list[pathlib.Path]:
    """Return this process's cgroups in the hierarchies that an init keeps its services in."""
    mine = {}
    for line in pathlib.Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        mine[controllers] = path.lstrip("/")
    found = []
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        place = pathlib.Path(before.split(" ")[4])
        if kind == "cgroup2":
            found.append(place / mine[""])
        elif kind == "cgroup" and "name=systemd" in options.split(","):
            found.append(place / mine["name=systemd"])
    return found


def _wait_until_removed(group: pathlib.Path) -> None:
    """Remove a cgroup with all below it, which can be done once the last process in it is gone."""

    def is_gone() -> bool:
        for below, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                pathlib.Path(below).rmdir()
        return not group.exists()

    wait_until(is_gone)
