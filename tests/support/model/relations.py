"""Relations and their databags, and how much of a relation each unit has seen."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass
class Bag:
    """A databag, and how often its content really changed."""

    content: dict[str, str] = dataclasses.field(default_factory=dict)
    version: int = 0

    def publish(self, content: Mapping[str, str]) -> list[str]:
        """Replace the content; return the keys that this changed, none if nothing did."""
        keys = self.content.keys() | content.keys()
        changed = sorted(key for key in keys if self.content.get(key) != content.get(key))
        if changed:
            self.content = dict(content)
            self.version += 1
        return changed


@dataclasses.dataclass
class Relation:
    """A relation between two applications, or among the units of one (a peer relation).

    Attributes:
        number: what follows the colon of a relation's id.
        endpoints: the endpoint of each application.
        apps: the bag of each application.
        units: the bag of each unit that is in scope.
        departed: the bags of units that were; they can be read as long as the relation lives.
        dying: whether it is being removed.
    """

    number: int
    endpoints: dict[str, str]
    apps: dict[str, Bag]
    units: dict[str, Bag] = dataclasses.field(default_factory=dict)
    departed: dict[str, Bag] = dataclasses.field(default_factory=dict)
    dying: bool = False

    @property
    def peer(self) -> bool:
        """Whether it is among the units of one application."""
        return len(self.endpoints) == 1

    def id_for(self, application: str) -> str:
        """Return the relation's id as this application's units know it: ``endpoint:number``."""
        return f"{self.endpoints[application]}:{self.number}"

    def other(self, application: str) -> str:
        """Return the application on the other end; in a peer relation, the same one."""
        others = [name for name in self.endpoints if name != application]
        return others[0] if others else application

    def others(self, unit: str) -> dict[str, int]:
        """Return the units in scope that this unit deals with, each with its bag's version."""
        other = self.other(application_of(unit))
        return {
            name: bag.version
            for name, bag in sorted(self.units.items())
            if name != unit and application_of(name) == other
        }

    def leave(self, unit: str) -> None:
        """Take a unit out of scope."""
        if unit in self.units:
            self.departed[unit] = self.units.pop(unit)


@dataclasses.dataclass
class View:
    """How much of a relation a unit's charm has seen.

    Attributes:
        members: the version of each remote unit's bag that it was told of.
        apps: the same of the remote application's bag.
        joined: a unit whose ``relation-joined`` ran, so that ``relation-changed`` must follow.
        known: every remote unit that ever joined.
    """

    members: dict[str, int] = dataclasses.field(default_factory=dict)
    apps: dict[str, int] = dataclasses.field(default_factory=dict)
    joined: str = ""
    known: set[str] = dataclasses.field(default_factory=set)


def application_of(unit: str) -> str:
    """Return the application that a unit belongs to, from its name."""
    return unit.rpartition("/")[0]
