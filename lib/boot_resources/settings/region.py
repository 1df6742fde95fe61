"""The settings of a region controller."""

import pathlib
from typing import Literal, Self

import pydantic

from boot_resources import addresses, errors, units
from boot_resources.settings import values

SEED_SOURCE = "https://images.maas.io/ephemeral-v3/stable/"
"""The boot source that suffices for most users (the seeds, "Boot sources matter")."""
UBUNTU_KEYRING = pathlib.Path("/usr/share/keyrings/ubuntu-cloudimage-keyring.gpg")
"""The keyring that has signed it; it comes with Ubuntu."""


class Storage(values.Table):
    """Where this region keeps images."""

    path: values.Path = pathlib.Path("/var/lib/maas/image-storage")
    """Directory of the objects. It must be empty at first; it then belongs to this cluster."""
    reserve: values.Size = units.GIB
    """Space that a sync leaves free on that file system (size)."""
    removed_grace: values.Duration = 7 * 86400.0
    """How long objects that no image needs any more stay in ``removed/`` or ``unknown/``, and
    damaged ones in ``damaged/`` (duration)."""
    superseded_grace: values.Duration = 86400.0
    """How long an older version is still served beside its available successor (duration)."""
    scrub_period: values.Duration = pydantic.Field(default=7 * 86400.0, ge=1.0)
    """In which time the scrub reads all objects once, to find rot (duration, at least 1s)."""


class Catalog(values.Table):
    """The database of what exists and who holds it."""

    url: str = "sqlite:////var/lib/boot-resources/catalog.db"
    """``sqlite:///PATH`` for one region, ``postgresql://USER@HOST/NAME`` for more."""

    @pydantic.field_validator("url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value.startswith(("sqlite:////", "postgresql://", "postgres://")):
            raise ValueError("write sqlite:////ABSOLUTE/PATH or postgresql://USER@HOST/NAME")
        return value


class Source(values.Table):
    """The boot source. Present: a declaration. Absent: ``boot-resources sources`` manages it."""

    url: values.HttpUrl = SEED_SOURCE
    """URL of the simplestreams source, http or https."""
    keyring: values.ReadableFile | None = None
    """File of the GPG keys that must have signed it, binary or armoured. Without this and without
    ``keyring-data``: /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg."""
    keyring_data: str | None = None
    """The keys themselves, armoured; instead of ``keyring``."""
    allow_unsigned: bool = False
    """Accept a source without signatures. Whoever can change what it sends decides what machines
    run; every status says so."""

    @pydantic.model_validator(mode="after")
    def _one_keyring(self) -> Self:
        if self.keyring is not None and self.keyring_data is not None:
            raise ValueError("give keyring or keyring-data, not both")
        if self.allow_unsigned and (self.keyring is not None or self.keyring_data is not None):
            raise ValueError("give a keyring or allow-unsigned = true, not both")
        return self

    def keyring_bytes(self) -> bytes | None:
        """Return the keys, or None for an unsigned source.

        Raises:
            OSError: the keyring cannot be read.
        """
        if self.keyring_data is not None:
            return self.keyring_data.encode()
        if self.keyring is not None:
            return self.keyring.read_bytes()
        return None if self.allow_unsigned else UBUNTU_KEYRING.read_bytes()


class Download(values.Table):
    """How this region reaches the boot source."""

    proxy: values.HttpUrl | None = None
    """HTTP proxy for the boot source, ``http://[USER:PASSWORD@]HOST:PORT``."""
    no_proxy: tuple[str, ...] = ()
    """Host names, addresses or ``.domains`` that are reached without the proxy."""
    authorities: values.ReadableFile | None = None
    """File of the certificate authorities to trust for an https source, PEM. Unless given, this
    host's own (/etc/ssl/certs/ca-certificates.crt)."""
    parallel: int = pydantic.Field(default=4, ge=1, le=32)
    """How many objects are fetched at once."""
    sync_interval: values.Duration = pydantic.Field(default=3600.0, ge=1.0)
    """How often the boot source is read (duration, at least 1s)."""
    stale_after: values.Duration = pydantic.Field(default=90 * 86400.0, ge=86400.0)
    """How long ago a document of the boot source may have been published before a notice asks
    whether somebody holds back newer ones (duration, at least 1d)."""


class Selection(values.Table):
    """Which images are wanted. ``"*"`` matches everything; bootloaders are always wanted."""

    os: str
    """Operating system, for example ``ubuntu``."""
    release: str
    """Release, for example ``noble``."""
    arches: tuple[str, ...] = ("*",)
    """Architectures, for example ``amd64``."""
    subarches: tuple[str, ...] = ("*",)
    """Subarchitectures, for example ``ga-24.04``."""
    labels: tuple[str, ...] = ("*",)
    """Labels, for example ``stable``."""


class Migration(values.Table):
    """The MAAS database whose images this region takes over, once. Absent: it is told nothing."""

    url: pydantic.SecretStr | None = None
    """``postgresql://USER:PASSWORD@HOST:PORT/NAME``; never shown and never logged."""
    url_file: values.ReadableFile | None = None
    """File that holds the URL, for its owner alone; in place of ``url``. Read for each run."""
    parallel: int = pydantic.Field(default=4, ge=1, le=32)
    """How many large objects are read at once, each over a connection of its own."""

    @pydantic.model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.url is None) == (self.url_file is None):
            raise ValueError("give url or url-file, one of the two")
        return self

    def database_url(self) -> str:
        """Return the URL, password and all.

        Raises:
            errors.SettingsError: the file that holds it cannot be read.
        """
        if self.url is not None:
            return self.url.get_secret_value()
        assert self.url_file is not None, "one of the two is given"
        try:
            return self.url_file.read_text().strip()
        except (OSError, ValueError) as error:
            raise errors.SettingsError(
                f"migration.url-file: cannot read {self.url_file}: {error}",
                "write the URL into it, on one line, and let the region's user read it",
            ) from None


class Plane(values.Identity):
    """The port on which racks and other regions reach this one: TLS with certificates, always."""

    listen: str = "0.0.0.0"  # noqa: S104 - a region serves other hosts; only members are admitted
    """Address to listen on."""
    port: values.Port = 5290
    """TCP port."""
    connections: values.Connections = 4096
    """The most connections that are open at once."""
    address: str | None = None
    """Where other controllers reach this one, ``HOST:PORT``; unless given, this host's name."""

    @pydantic.field_validator("address")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None:
            addresses.split(value)
        return value


class Control(values.Table):
    """How the command reaches this controller."""

    socket: values.Path = pathlib.Path("/run/boot-resources/region.sock")
    """Path of the local socket; only its owner and root may use it."""


class RegionSettings(values.Table):
    """All that a region controller is told."""

    controller: Literal["region"]
    """Which controller this file is for."""
    name: values.Name
    """This unit's name, as in its certificate."""
    log_level: values.LogLevel = "info"
    """The least severe level that is logged."""
    storage: Storage = Storage()
    catalog: Catalog = Catalog()
    source: Source | None = None
    download: Download = Download()
    selections: tuple[Selection, ...] | None = None
    """Present (even if empty): a declaration. Absent: ``boot-resources selections`` manages."""
    migration: Migration | None = None
    plane: Plane = pydantic.Field(default_factory=Plane)
    metrics: values.Metrics = values.Metrics()
    control: Control = Control()

    @pydantic.model_validator(mode="after")
    def _keyring_is_there(self) -> Self:
        if self.source is not None:
            try:
                self.source.keyring_bytes()
            except OSError as error:
                raise ValueError(
                    f"source: cannot read the keyring {UBUNTU_KEYRING}: {error.strerror}; copy "
                    "it from an Ubuntu host, or set source.keyring"
                ) from None
        return self
