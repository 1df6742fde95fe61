"""Listening on a port, or a refusal that says who holds it."""

import contextlib
import errno
import pathlib
import socket

from boot_resources import errors


class PortTaken(errors.BootResourcesError):
    """Another process listens there."""


def listen(host: str, port: int, option: str) -> socket.socket:
    """Return a listening TCP socket.

    Args:
        host: the address to listen on.
        port: the port; 0 for a free one.
        option: the settings key that chose it, for the message.

    Raises:
        PortTaken: another process holds the port; the message names it where that is visible.
        errors.SettingsError: the address is not one of this host.
    """
    try:
        return socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            backlog=1024,
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"port {port} on {host} is taken by {holder(port) or 'another process'}",
                f"stop that process, or set {option} to another port",
            ) from None
        raise errors.SettingsError(
            f"cannot listen on {host} port {port}: {error.strerror}", f"correct {option}"
        ) from None


def holder(port: int) -> str | None:
    """Return the command and process id that listens on a TCP port, as far as we may see it."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            for fd in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(fd.readlink()) in wanted:
                        name = (process / "comm").read_text().strip()
                        return f"{name} (process {process.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                is_listening = fields[3] == "0A"
                if is_listening and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(fields[9])
    return inodes
