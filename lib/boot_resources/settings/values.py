"""The kinds of value that settings have, and the parts that both controllers share.

Keys are written with hyphens, as Juju writes its options (``allow-unsigned``). A key that is not
known is refused: a misspelt option must not be passed over in silence.
"""

import pathlib
import urllib.parse
from typing import Annotated, Literal

import pydantic

from boot_resources import units

Size = Annotated[int, pydantic.BeforeValidator(units.parse_size)]
"""Bytes, written as ``512M``, ``4G`` or ``1.5T`` (powers of 1024)."""
Duration = Annotated[float, pydantic.BeforeValidator(units.parse_duration)]
"""Seconds, written as ``90s``, ``30m``, ``1h`` or ``7d``."""
Port = Annotated[int, pydantic.Field(ge=1, le=65535)]
Connections = Annotated[int, pydantic.Field(ge=16, le=65536)]
Name = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
"""A unit's name, as in its certificate: ``region-0``."""


def _must_be_possible(path: pathlib.Path) -> pathlib.Path:
    if "\0" in str(path):
        raise ValueError("a path cannot have a NUL character")
    return path


Path = Annotated[pathlib.Path, pydantic.AfterValidator(_must_be_possible)]
"""Where something lies or will lie."""


def _must_be_readable(path: pathlib.Path) -> pathlib.Path:
    _must_be_possible(path)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"cannot read {path}: {reason}") from None


ReadableFile = Annotated[pathlib.Path, pydantic.AfterValidator(_must_be_readable)]


def _must_be_http(url: str) -> str:
    # The value is not shown: it may hold a password.
    parts = urllib.parse.urlsplit(url)
    # A port that is none raises ValueError here, and not at the first request.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("this is not a URL of http or https")
    return url


HttpUrl = Annotated[str, pydantic.AfterValidator(_must_be_http)]
"""Where something answers by HTTP; it may hold a password."""


def hyphenated(name: str) -> str:
    """Return a field's name as it is written in a settings file."""
    return name.replace("_", "-")


class Table(pydantic.BaseModel):
    """The base of all tables of a settings file."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=hyphenated,
        validate_default=True,
        str_strip_whitespace=True,
    )


class Identity(Table):
    """Who this controller is on the plane, and whom it trusts; ``boot-resources ca`` makes it."""

    certificate: ReadableFile = pathlib.Path("/etc/boot-resources/controller.crt")
    """This controller's certificate, PEM."""
    key: ReadableFile = pathlib.Path("/etc/boot-resources/controller.key")
    """Its private key, PEM; readable by this controller's user only."""
    authority: ReadableFile = pathlib.Path("/etc/boot-resources/authority.crt")
    """The certificate authorities to trust, PEM; several while one replaces another."""
    members: ReadableFile = pathlib.Path("/etc/boot-resources/members.json")
    """The member list: whose key counts, and in which role. Read again when it changes."""


class Metrics(Table):
    """Where Prometheus finds this controller's metrics (``/metrics``)."""

    listen: str = "127.0.0.1"
    """Address to listen on."""
    port: Port = 5291
    """TCP port."""


LogLevel = Literal["debug", "info", "warning", "error"]
