"""What Juju says of a rack unit, read in one place and immutable from then on.

Whatever is missing or cannot be used raises a ``problems.Problem``, and nothing is changed on the
machine: the service goes on with what it was told before. So a rack whose relation is gone serves
what it has cached.
"""

import dataclasses
import pathlib
from typing import Annotated

import ops
import pydantic

from boot_resources.settings import values
from boot_resources_charms import (
    authority,
    configuration,
    enrolment,
    network,
    problems,
    relations,
)

PORT = 5248
"""The port on which machines fetch boot files."""
STORAGE = "cache"


def _none_if_empty(text: object) -> object:
    return str(text).strip() or None


class Config(pydantic.BaseModel):
    """The options, in the kinds of value that the engine's settings have."""

    model_config = pydantic.ConfigDict(frozen=True, str_strip_whitespace=True)

    cache_size: Annotated[
        Annotated[values.Size, relations.CACHE_SIZES] | None,
        pydantic.BeforeValidator(_none_if_empty),
    ]
    log_level: values.LogLevel


@dataclasses.dataclass(frozen=True)
class RackState:
    """All that decides what a rack does.

    Attributes:
        name: as in its certificate: ``rack-0``.
        regions: ``HOST:PORT`` of each.
        cache_size: in bytes; None leaves it to the engine.
        log_level: the least severe level that is logged.
        storage: where Juju has put the storage for the cache.
    """

    name: str
    regions: tuple[str, ...]
    cache_size: int | None
    log_level: str
    storage: pathlib.Path

    @classmethod
    def from_charm(cls, charm: ops.CharmBase) -> "RackState":
        """Return what Juju says.

        Raises:
            problems.Problem: something is missing or cannot be used.
        """
        config = configuration.load(charm, Config)
        said = _said_by_leader(charm)
        if not said.regions:
            raise problems.Waiting("waiting for a region to be ready")
        return cls(
            name=authority.plane_name(charm.unit.name),
            regions=tuple(region.address for region in said.regions),
            cache_size=config.cache_size or said.cache_size,
            log_level=config.log_level,
            storage=network.storage(charm.model, STORAGE),
        )


def given(charm: ops.CharmBase) -> enrolment.Enrolment:
    """Return what the regions' leader gave this unit; no option or storage has a part in it.

    Raises:
        problems.Problem: it has given nothing yet, or what it says cannot be used.
    """
    said = _said_by_leader(charm)
    asked = relations.read(plane(charm), charm.unit, relations.RackUnit)
    if asked is None:
        raise _unanswered()
    return enrolment.given(
        charm.unit.name, asked.request, said.authority, said.certificates, said.members
    )


def plane(charm: ops.CharmBase) -> ops.Relation:
    """Return the relation to the regions; the newest, while another one takes its place.

    Raises:
        problems.Problem: there is none.
    """
    found = charm.model.relations[relations.PLANE]
    if not found:
        raise problems.Problem(
            "not related to the regions that images come from",
            f"juju integrate {charm.app.name} with the application of boot-resources-region",
        )
    return max(found, key=lambda relation: relation.id)


def _said_by_leader(charm: ops.CharmBase) -> relations.RegionApplication:
    relation = plane(charm)
    said = relations.read(relation, relation.app, relations.RegionApplication)
    if said is None:
        raise _unanswered()
    relations.check_model(charm.model, said.model, relation.app.name)
    return said


def _unanswered() -> problems.Waiting:
    return problems.Waiting("waiting for the regions' leader to answer")
