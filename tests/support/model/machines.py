"""Where units run: this host as plain processes, or a host of its own.

A machine shares a directory with the simulator, which puts there the hook tools, their socket and
the charms to unpack.
"""

import dataclasses
import os
import pathlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Protocol

from support import hosts

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where commands on a machine are looked for, behind the hook tools."""


@dataclasses.dataclass(frozen=True)
class Finished:
    """A command's end: its exit status, and what it wrote to stdout and stderr together."""

    status: int
    output: str


class Machine(Protocol):
    """What the simulator asks of a machine.

    Attributes:
        address: the IPv4 address that units on other machines reach it by.
        shared: the directory that it shares with the simulator, as the simulator sees it.
        shared_there: the same directory, as the machine sees it.
        agents: the directory on it in which units' agents live.
        storage: the directory on it in which storage is made.
    """

    @property
    def address(self) -> str: ...
    @property
    def shared(self) -> pathlib.Path: ...
    @property
    def shared_there(self) -> str: ...
    @property
    def agents(self) -> str: ...
    @property
    def storage(self) -> str: ...

    def run(self, command: Sequence[str], env: Mapping[str, str]) -> Finished:
        """Run a command to its end as root, with this environment and no other variable."""
        ...


class MachineError(Exception):
    """A machine did not do what the simulator itself needs done there."""


def must(machine: Machine, *command: str) -> None:
    """Run a command that has to work.

    Raises:
        MachineError: it did not; with what it printed.
    """
    done = machine.run(command, {"PATH": PATH, "LANG": "C.UTF-8"})
    if done.status != 0:
        raise MachineError(f"{' '.join(command)}: {done.output}")


@dataclasses.dataclass(eq=False)
class LocalMachine:
    """Processes on this host, kept within one directory: for charms that do not touch their host.

    Attributes:
        directory: for all that the machine has.
        patience: seconds after which a command that hangs is killed with its children.
    """

    directory: pathlib.Path
    address: str = "127.0.0.1"
    patience: float = 60

    @property
    def shared(self) -> pathlib.Path:
        """The directory that it shares with the simulator."""
        return self.directory / "shared"

    @property
    def shared_there(self) -> str:
        """The same directory."""
        return str(self.shared)

    @property
    def agents(self) -> str:
        """Where units' agents live."""
        return str(self.directory / "agents")

    @property
    def storage(self) -> str:
        """Where storage is made."""
        return str(self.directory / "storage")

    def run(self, command: Sequence[str], env: Mapping[str, str]) -> Finished:
        """Run a command to its end."""
        with subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=self.patience)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, _ = process.communicate()
                output += f"\nkilled after {self.patience:g} s"
        return Finished(process.returncode, output)


@dataclasses.dataclass(eq=False)
class HostMachine:
    """A host with an init of its own."""

    host: hosts.Host
    agents: str = "/var/lib/juju/agents"
    storage: str = "/var/lib/juju/storage"

    @property
    def address(self) -> str:
        """Its address on the network of hosts."""
        return self.host.address

    @property
    def shared(self) -> pathlib.Path:
        """The directory that it shares with this host."""
        return self.host.shared

    @property
    def shared_there(self) -> str:
        """Where it sees that directory."""
        return str(hosts.SHARED)

    def run(self, command: Sequence[str], env: Mapping[str, str]) -> Finished:
        """Run a command to its end; an agent has no home, and neither has the command."""
        done = self.host.run(["env", "--unset=HOME", *command], env=env, check=False)
        return Finished(done.returncode, done.stdout + done.stderr)
