"""What Juju says of a region unit, read in one place and immutable from then on.

Whatever is missing or cannot be used raises a ``problems.Problem``, and nothing is changed on the
machine: the service goes on with what it was told before. So a secret that cannot be read for a
while never calls a migration off.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import ops
import pydantic
import yaml

from boot_resources import errors
from boot_resources.settings import region as region_settings
from boot_resources.settings import values
from boot_resources.source import keyring
from boot_resources_charms import (
    authority,
    configuration,
    enrolment,
    network,
    problems,
    relations,
)

PORT = 5290
"""The plane's port, on which racks reach a region."""
STORAGE = "image-storage"
_URL = "url"
"""The key of the user secret that names a MAAS database."""


def _parsed(text: object) -> object:
    """Return the selections that a text in YAML lists; none where it is empty."""
    try:
        listed = yaml.safe_load(str(text))
    except yaml.MarkedYAMLError as error:
        place = f" in line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"this is not YAML{place}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise ValueError("this is not YAML") from None
    if listed is None:
        return []
    if isinstance(listed, list):
        return listed
    raise ValueError("write a YAML list, for example [{os: ubuntu, release: noble}]")


class Config(pydantic.BaseModel):
    """The options, in the kinds of value that the engine's settings have."""

    model_config = pydantic.ConfigDict(
        frozen=True, arbitrary_types_allowed=True, str_strip_whitespace=True
    )

    source_url: values.HttpUrl
    source_keyring: str
    source_allow_unsigned: bool
    selections: Annotated[tuple[region_settings.Selection, ...], pydantic.BeforeValidator(_parsed)]
    sync_interval: Annotated[values.Duration, pydantic.Field(ge=1.0)]
    cache_size: Annotated[values.Size, relations.CACHE_SIZES]
    log_level: values.LogLevel
    migration_database: ops.Secret | None = None


@dataclasses.dataclass(frozen=True)
class Proxy:
    """How the model says that the source is reached.

    Attributes:
        url: ``http://[USER:PASSWORD@]HOST:PORT``, or None.
        exceptions: hosts that are reached without it.
    """

    url: str | None = None
    exceptions: tuple[str, ...] = ()

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], source: str) -> "Proxy":
        """Return what the model's configuration says, as Juju hands it to a hook.

        Raises:
            problems.Problem: the proxy is no URL; it is not shown, for it may hold a password.
        """
        kind = "https" if source.startswith("https:") else "http"
        url = environ.get(f"JUJU_CHARM_{kind.upper()}_PROXY", "").strip()
        excepted = environ.get("JUJU_CHARM_NO_PROXY", "").split(",")
        try:
            proxy = region_settings.Download.model_validate({"proxy": url or None}).proxy
        except pydantic.ValidationError:
            raise problems.Problem(
                f"the model's juju-{kind}-proxy is not a URL of http or https",
                f"juju model-config juju-{kind}-proxy=http://HOST:PORT",
            ) from None
        return cls(proxy, tuple(each.strip() for each in excepted if each.strip()))


@dataclasses.dataclass(frozen=True)
class RegionState:
    """All that decides what a region does.

    Attributes:
        name: as in its certificate: ``region-0``.
        address: ``HOST:PORT``, where racks reach it.
        config: what an operator set.
        proxy: how the source is reached.
        storage: where Juju has put the storage for images.
        migration_url: the MAAS database to take images out of, or None. Never shown.
    """

    name: str
    address: str
    config: Config
    proxy: Proxy
    storage: pathlib.Path
    migration_url: str | None = dataclasses.field(default=None, repr=False)

    @classmethod
    def from_charm(cls, charm: ops.CharmBase, environ: Mapping[str, str]) -> "RegionState":
        """Return what Juju says.

        Args:
            charm: the region's.
            environ: the hook's environment, which has the model's proxies.

        Raises:
            problems.Problem: something is missing or cannot be used.
        """
        config = configured(charm)
        return cls(
            name=authority.plane_name(charm.unit.name),
            address=network.with_port(network.address(charm.model, relations.PLANE), PORT),
            config=config,
            proxy=Proxy.from_environ(environ, config.source_url),
            storage=network.storage(charm.model, STORAGE),
            migration_url=_migration_url(charm, config.migration_database),
        )


def configured(charm: ops.CharmBase) -> Config:
    """Return the options, as far as they can be judged without the network.

    Raises:
        problems.Problem: one cannot be used.
    """
    config = configuration.load(charm, Config)
    if config.source_keyring and config.source_allow_unsigned:
        raise problems.Problem(
            "the options source-keyring and source-allow-unsigned contradict each other",
            f"juju config {charm.app.name} --reset one of the two",
        )
    if config.source_keyring:
        try:
            keyring.Keyring(config.source_keyring.encode(), "the option source-keyring")
        except errors.BootResourcesError as error:
            raise problems.of_refusal(error) from None
    elif not config.source_allow_unsigned and not region_settings.UBUNTU_KEYRING.exists():
        raise problems.Problem(
            f"the keyring of Ubuntu's images, {region_settings.UBUNTU_KEYRING}, is not on this "
            "machine",
            f"juju config {charm.app.name} source-keyring=@FILE",
        )
    return config


def serving_unit(charm: ops.CharmBase) -> str:
    """Return which unit is the region; empty where the leader has not said.

    Raises:
        problems.Problem: what the leader says cannot be understood.
    """
    said = _said_by_leader(charm)
    return said.region if said else ""


def given(charm: ops.CharmBase) -> enrolment.Enrolment:
    """Return what the leader gave this unit; no option, secret or storage has a part in it.

    Raises:
        problems.Problem: it has given nothing yet, or what it says cannot be used.
    """
    peers = charm.model.get_relation(relations.PEERS)
    said = _said_by_leader(charm)
    asked = None
    if peers is not None:
        asked = relations.read(peers, charm.unit, relations.Applicant)
    if asked is None or said is None:
        raise problems.Waiting("waiting for the regions' leader to issue a certificate")
    return enrolment.given(
        charm.unit.name, asked.request, said.authority, said.certificates, said.members
    )


def _said_by_leader(charm: ops.CharmBase) -> relations.PeerApplication | None:
    peers = charm.model.get_relation(relations.PEERS)
    if peers is None:
        return None
    return relations.read(peers, charm.app, relations.PeerApplication)


def _migration_url(charm: ops.CharmBase, secret: ops.Secret | None) -> str | None:
    """Return the URL that the user secret holds; None where none is configured.

    Raises:
        problems.Problem: it cannot be read, or holds no such URL. No word of it is quoted.
    """
    if secret is None:
        return None
    try:
        content: Mapping[str, Any] = secret.get_content(refresh=True)
    except ops.ModelError:
        raise problems.Problem(
            "the secret of the option migration-database cannot be read",
            f"juju grant-secret {secret.id} {charm.app.name}",
        ) from None
    url = str(content.get(_URL, "")).strip()
    if not url.startswith(("postgresql://", "postgres://")) or len(url.split()) != 1:
        raise problems.Problem(
            f"the secret of the option migration-database has no PostgreSQL URL in its key {_URL}",
            f"juju update-secret {secret.id} {_URL}#file=FILE",
        )
    return url
