"""The settings of a rack controller."""

import pathlib
from typing import Literal

import pydantic

from boot_resources import addresses, units
from boot_resources.settings import values


class Cache(values.Table):
    """The objects that machines asked for, the least recently used ones going first."""

    path: values.Path = pathlib.Path("/var/cache/boot-resources")
    """Directory of the cache. It must be empty at first."""
    size: values.Size = pydantic.Field(default=4 * units.GIB, ge=1)
    """The most that it takes on the disk, all included (size). A reload changes it live."""
    scrub_period: values.Duration = pydantic.Field(default=7 * 86400.0, ge=1.0)
    """In which time the scrub reads the whole cache once, to find rot (duration, at least 1s)."""


class Http(values.Table):
    """The port on which machines fetch boot files: plain HTTP, read-only."""

    listen: str = "0.0.0.0"  # noqa: S104 - machines are on other hosts; firmware knows only HTTP
    """Address to listen on."""
    port: values.Port = 5248
    """TCP port."""
    connections: values.Connections = 4096
    """The most connections that are open at once."""


class Control(values.Table):
    """How the command reaches this controller."""

    socket: values.Path = pathlib.Path("/run/boot-resources/rack.sock")
    """Path of the local socket; only its owner and root may use it."""


class RackSettings(values.Table):
    """All that a rack controller is told."""

    controller: Literal["rack"]
    """Which controller this file is for."""
    name: values.Name
    """This unit's name, as in its certificate."""
    log_level: values.LogLevel = "info"
    """The least severe level that is logged."""
    regions: tuple[str, ...] = pydantic.Field(min_length=1)
    """The regions to fetch from, each ``HOST:PORT`` (``[ADDRESS]:PORT`` for IPv6)."""
    cache: Cache = Cache()
    http: Http = Http()
    plane: values.Identity = pydantic.Field(default_factory=values.Identity)
    metrics: values.Metrics = values.Metrics()
    control: Control = Control()

    @pydantic.field_validator("regions")
    @classmethod
    def _host_and_port(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            addresses.split(address)
        return value

    def reloaded(self, asked: "RackSettings") -> "RackSettings":
        """Return what is in force once a rack that runs with these has read ``asked``.

        All is as it was, but for what can be changed as it runs.
        """
        cache = self.cache.model_copy(update={"size": asked.cache.size})
        return self.model_copy(update={"cache": cache, "log_level": asked.log_level})
