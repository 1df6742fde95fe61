"""What units say to one another over relations: typed, versioned, in one module for both charms.

``region-peers``     each region unit asks for a certificate; the leader answers all of them
``boot-resources``   each rack unit asks for a certificate and tells how its cache is; the
                     regions' leader answers with where the regions are, and what racks keep

Each field of a model is a field of the data bag, in JSON. Fields may be added at will: a reader
passes over those that it does not know. Whatever else changes raises ``SCHEMA``; a reader that
meets a newer one says which charm to upgrade, and takes nothing from it.

Always true: nothing secret is said here. A request has a public key and no other; names and roles
are those that Juju gives, whatever a bag claims.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import ops
import pydantic

from boot_resources import addresses, units
from boot_resources.plane import members
from boot_resources.settings import values

from . import problems

SCHEMA = 1
PEERS = "region-peers"
PLANE = "boot-resources"
"""The name that both charms give to the relation between them."""

CACHE_SIZES: Any = pydantic.Field(ge=1, lt=2**63)
"""How many bytes a cache may take: what an operator may set is what racks take."""
Listed = tuple[members.Member, ...]
"""A member list."""


def _with_port(address: str) -> str:
    """Return an address if it is ``HOST:PORT``, as the engine reads it."""
    addresses.split(address)
    return address


class _Model(pydantic.BaseModel):
    """What all that is said has in common: hyphens in the bag, and unknown fields passed over."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=values.hyphenated,
        validate_by_alias=True,
        validate_by_name=True,
    )


class Bag(_Model):
    """What every bag begins with."""

    version: int = pydantic.Field(default=SCHEMA, alias="schema")
    """Which schema the bag is written in."""


class Applicant(Bag):
    """A unit that asks for a certificate; in its own bag."""

    address: str
    """The IP address or host name where others reach it."""
    request: str
    """The certificate request, PEM. Of it only the public key counts."""
    model: str = ""
    """The UUID of the model that the unit is in; empty from a charm that does not say."""


class CacheFigures(_Model):
    """How a rack's cache is."""

    size: int
    """The most that it takes, in bytes."""
    used: int
    """Bytes on the disk."""
    hit_ratio: float | None = None
    """The share of the bytes served that came from the cache, 0 to 1; None before the first."""

    @classmethod
    def rounded(cls, size: int, used: int, hit_ratio: float | None) -> "CacheFigures":
        """Return figures that are round enough not to wake the regions for every byte."""
        ratio = None if hit_ratio is None else round(hit_ratio, 2)
        return cls(size=size, used=used - used % units.MIB, hit_ratio=ratio)


class RackUnit(Applicant):
    """What a rack unit says."""

    cache: CacheFigures | None = None
    """None while the rack does not answer."""


class Region(_Model):
    """A region that serves."""

    name: str
    """As in its certificate: ``region-0``."""
    address: Annotated[str, pydantic.AfterValidator(_with_port)]
    """``HOST:PORT`` of its plane port."""


class PeerApplication(Bag):
    """What the leader of the regions says to all of them."""

    region: str = ""
    """The unit that is the region, such as ``region/0``; the others stand by."""
    authority: str
    """The certificate that all of them trust, PEM."""
    certificates: Mapping[str, str] = {}
    """PEM, by unit: ``region/0``."""
    members: Listed = ()
    """All that may speak on the plane, racks included."""


class RegionApplication(Bag):
    """What the leader of the regions says to the racks of one relation."""

    regions: tuple[Region, ...] = ()
    """Where images come from."""
    authority: str
    """The certificate that all of them trust, PEM."""
    certificates: Mapping[str, str] = {}
    """PEM, by rack unit: ``rack/0``."""
    members: Listed = ()
    """All that may speak on the plane."""
    cache_size: Annotated[int, CACHE_SIZES] | None = None
    """Bytes that a rack's cache takes where the rack is told nothing else; None: the default."""
    model: str = ""
    """The UUID of the model that the regions are in; empty from a charm that does not say."""


AnyBag = TypeVar("AnyBag", bound=Bag)


def read(
    relation: ops.Relation, source: ops.Unit | ops.Application, model: type[AnyBag]
) -> AnyBag | None:
    """Return what ``source`` says in a relation; None where it has said nothing yet.

    Raises:
        problems.Problem: what it says is of a newer schema, or cannot be understood.
    """
    said = relation.data[source].get("schema")
    if said is None:
        return None
    _check_schema(relation, source, said)
    try:
        return relation.load(model, source)
    except (ValueError, RecursionError) as error:
        raise _garbled(relation, source, _first(error)) from None


def publish(relation: ops.Relation, target: ops.Unit | ops.Application, said: Bag) -> None:
    """Say ``said``, where it is not what is said already: who reads is told of changes only."""
    bag = relation.data[target]
    wanted = said.model_dump(mode="json", by_alias=True)
    fields = {field: json.dumps(value) for field, value in wanted.items()}
    if any(bag.get(field) != text for field, text in fields.items()):
        relation.save(said, target)


def check_model(model: ops.Model, other: str, named: str) -> None:
    """Return if the other side of a relation is in this unit's model.

    Across models each side knows the other's units by other names than they have themselves, and
    a certificate is for a name.

    Args:
        model: this unit's.
        other: the UUID that the other side says; empty where it says none.
        named: the other side, as this unit knows it.

    Raises:
        problems.Problem: it is in another model.
    """
    if other not in ("", model.uuid):
        raise problems.Problem(
            f"{named} is in another model, and regions and racks work together within one",
            "deploy both applications in one model, and juju integrate them there",
        )


def _check_schema(relation: ops.Relation, source: ops.Unit | ops.Application, said: str) -> None:
    """Return if we read that schema.

    Raises:
        problems.Problem: it is newer, or none.
    """
    try:
        schema = json.loads(said)
    except (ValueError, RecursionError):
        schema = None
    # Not isinstance: true is an int, too.
    if type(schema) is not int or schema < 1:
        raise _garbled(relation, source, f"schema {said[:20]!r}")
    if schema > SCHEMA:
        raise problems.Problem(
            f"{source.name} speaks schema {said[:20]} in {relation.name}, and this charm reads "
            f"{SCHEMA}",
            "upgrade this charm with juju refresh",
        )


def _garbled(
    relation: ops.Relation, source: ops.Unit | ops.Application, what: str
) -> problems.Problem:
    application = source.name.partition("/")[0]
    return problems.Problem(
        f"what {source.name} says in {relation.name} cannot be understood: {what}",
        f"upgrade that charm: juju refresh {application}",
    )


def _first(error: Exception) -> str:
    """Return the first thing that is wrong; never the value, which may be long."""
    if isinstance(error, pydantic.ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg'].removeprefix('Value error, ')}"
    return "a field is not JSON"
