"""Where everything of a unit lies on its machine.

Always true: every path here belongs to one unit and to no other, ``COMMAND`` aside; so a region
and a rack on one machine never touch each other's files.
"""

import dataclasses
import functools
import hashlib
import pathlib

from boot_resources.plane import members

_LONGEST_USER = 31
"""What useradd(8) and the records of logins have room for."""


@dataclasses.dataclass(frozen=True)
class Places:
    """The paths of one unit.

    Attributes:
        unit: the unit as the engine names it: ``region-0``.
        role: which controller runs here.
        root: the file system they are in: ``/``, or a directory of a test.
    """

    unit: str
    role: members.Role
    root: pathlib.Path = pathlib.Path("/")

    @property
    def service(self) -> str:
        """The systemd unit: ``boot-resources-region-0.service``."""
        return f"boot-resources-{self.unit}.service"

    @functools.cached_property
    def user(self) -> str:
        """The system user, and its group, that the service runs as."""
        name = f"boot-resources-{self.unit}"
        if len(name) <= _LONGEST_USER:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return f"{name[: _LONGEST_USER - 9].rstrip('-.')}-{digest}"

    @property
    def settings_directory(self) -> pathlib.Path:
        """Settings, key, certificate, authority, member list, keyring."""
        return self.root / "etc/boot-resources" / self.unit

    @property
    def settings(self) -> pathlib.Path:
        """The engine's settings file."""
        return self.settings_directory / f"{self.role}.toml"

    @property
    def key(self) -> pathlib.Path:
        """The private key of this unit; it never leaves this machine."""
        return self.settings_directory / "controller.key"

    @property
    def request(self) -> pathlib.Path:
        """The certificate request for that key."""
        return self.settings_directory / "controller.csr"

    @property
    def state(self) -> pathlib.Path:
        """What the service keeps: a region's catalog."""
        return self.root / "var/lib/boot-resources" / self.unit

    @property
    def runtime(self) -> pathlib.Path:
        """What lives as long as the service runs."""
        return self.root / "run/boot-resources" / self.unit

    @property
    def socket(self) -> pathlib.Path:
        """The local socket on which the command reaches the service."""
        return self.runtime / "control.sock"

    @property
    def engines(self) -> pathlib.Path:
        """The engine's versions, a directory each."""
        return self.root / "opt/boot-resources" / self.unit

    @property
    def unit_file(self) -> pathlib.Path:
        """The systemd unit's file."""
        return self.root / "etc/systemd/system" / self.service

    @property
    def unit_command(self) -> pathlib.Path:
        """The command that always means this unit."""
        return self.root / "usr/local/bin" / f"boot-resources-{self.unit}"

    @property
    def command(self) -> pathlib.Path:
        """The command that means the first unit of this machine; all units share it."""
        return self.root / "usr/local/bin/boot-resources"
