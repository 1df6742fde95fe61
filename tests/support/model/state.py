"""What a model holds: applications, units, secrets, storage and all the rest but ``relations``.

Plain values; who may read or write what stands in the hook tools, what is due next in ``hooks``.
"""

import dataclasses
from typing import Any

from . import charms, machines, relations

_Machines = dict[str, machines.Machine]
_Relations = dict[int, relations.Relation]


@dataclasses.dataclass(frozen=True)
class Status:
    """A workload status: its name as ``status-set`` takes it, and a message."""

    name: str
    message: str = ""


@dataclasses.dataclass
class Storage:
    """A storage instance, such as ``cache/0``, attached to a unit."""

    id: str
    kind: str
    location: str


@dataclasses.dataclass
class Secret:
    """A secret.

    Attributes:
        owner: an application, a unit, or the empty string for the operator.
        label: the owner's name for it; a user secret's name.
        revisions: the content of each revision, by number from 1.
        grants: who may read it, each with the number of the relation that the grant hangs on;
            None for an operator's grant.
    """

    id: str
    owner: str
    label: str = ""
    description: str = ""
    expire: str = ""
    rotate: str = ""
    revisions: dict[int, dict[str, str]] = dataclasses.field(default_factory=dict)
    grants: set[tuple[str, int | None]] = dataclasses.field(default_factory=set)

    @property
    def latest(self) -> int:
        """The number of the newest revision."""
        return max(self.revisions)


@dataclasses.dataclass
class Tracked:
    """The revision of a secret that a unit goes on reading, and its own label for the secret."""

    revision: int
    label: str = ""


@dataclasses.dataclass
class Action:
    """An action that ran or runs.

    Attributes:
        results: what ``action-set`` said, nested as its dotted keys are.
        log: what ``action-log`` said, in order.
        message: what ``action-fail`` said, or how the process ended.
        failed: whether it failed.
    """

    id: int
    name: str
    parameters: dict[str, Any]
    results: dict[str, Any] = dataclasses.field(default_factory=dict)
    log: list[str] = dataclasses.field(default_factory=list)
    message: str = ""
    failed: bool = False


@dataclasses.dataclass(frozen=True)
class Hook:
    """One run of a charm: what is told to it.

    Attributes:
        kind: ``install``, ``relation-changed``, ``storage-attached``, ``action`` …
        name: as the charm sees it, with the endpoint, storage or action in it.
    """

    kind: str
    name: str
    relation: int | None = None
    remote_app: str = ""
    remote_unit: str = ""
    departing: str = ""
    storage: str = ""
    secret: str = ""
    action: Action | None = None

    def __str__(self) -> str:
        return (
            f"{self.name} ({self.remote_unit or self.remote_app})"
            if self.remote_app
            else self.name
        )


@dataclasses.dataclass
class Unit:
    """A unit and what its agent remembers.

    Attributes:
        machine: where it runs.
        revision: of the charm that is unpacked there; 0 before the first.
        status: the workload's, as last set.
        statuses: all that were set, in order.
        version: of the workload.
        log: level and message of each ``juju-log``.
        ports: that it has open, as ``open-port`` names them.
        state: what ``state-set`` keeps.
        told_leader: whether its charm was last told that it leads; None before it was told.
        told_config: the config and address that its last ``config-changed`` saw.
        told_secrets: the revision of each secret that its last ``secret-changed`` was about.
        views: what it has seen of each relation that it takes part in, by number.
        left: the relations that it has taken part in for the last time.
        tracked: the secrets that it reads, by id.
        queued: hooks that follow from one that ran.
        failed: the hook that ended with an error and waits to be resolved.
    """

    name: str
    machine: machines.Machine
    storage: dict[str, Storage]
    revision: int = 0
    status: Status = Status("waiting", "waiting for machine")
    statuses: list[Status] = dataclasses.field(default_factory=list)
    version: str = ""
    log: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    ports: set[str] = dataclasses.field(default_factory=set)
    state: dict[str, str] = dataclasses.field(default_factory=dict)
    installed: bool = False
    started: bool = False
    stopped: bool = False
    dying: bool = False
    rebooted: bool = False
    told_leader: bool | None = None
    told_config: object = None
    told_secrets: dict[str, int] = dataclasses.field(default_factory=dict)
    attached: set[str] = dataclasses.field(default_factory=set)
    views: dict[int, relations.View] = dataclasses.field(default_factory=dict)
    left: set[int] = dataclasses.field(default_factory=set)
    tracked: dict[str, Tracked] = dataclasses.field(default_factory=dict)
    queued: list[Hook] = dataclasses.field(default_factory=list)
    failed: Hook | None = None
    resolved: bool = False

    @property
    def application(self) -> str:
        """The application that it is a unit of."""
        return relations.application_of(self.name)

    @property
    def agent_directory(self) -> str:
        """Where its agent lives on the machine; the charm is in ``charm/`` there."""
        return f"{self.machine.agents}/unit-{self.name.replace('/', '-')}"


@dataclasses.dataclass
class Application:
    """An application.

    Attributes:
        revision: counts its charms from 1; ``refresh`` raises it.
        settings: the options that the operator has set.
        leader: the unit that leads; empty where there is none.
        next_unit: the number that its next unit gets; numbers are never used twice.
    """

    name: str
    charm: charms.Charm
    settings: dict[str, Any]
    revision: int = 1
    status: Status | None = None
    leader: str = ""
    next_unit: int = 0
    dying: bool = False

    @property
    def config(self) -> dict[str, Any]:
        """Every option that has a value."""
        whole = charms.config(self.charm, self.settings)
        return {name: value for name, value in whole.items() if value is not None}


@dataclasses.dataclass
class World:
    """All of a model.

    Attributes:
        version: of the controller that is simulated, for example ``3.6.14``.
        proxies: what the model's config says of proxies: ``http``, ``https``, ``no``.
    """

    name: str
    uuid: str
    version: str
    proxies: dict[str, str] = dataclasses.field(default_factory=dict)
    machines: _Machines = dataclasses.field(default_factory=dict)
    applications: dict[str, Application] = dataclasses.field(default_factory=dict)
    units: dict[str, Unit] = dataclasses.field(default_factory=dict)
    relations: _Relations = dataclasses.field(default_factory=dict)
    secrets: dict[str, Secret] = dataclasses.field(default_factory=dict)

    @property
    def before_4(self) -> bool:
        """Whether it simulates a Juju 3."""
        return self.version.startswith("3.")

    def units_of(self, application: str) -> list[Unit]:
        """Return the units of an application, by number."""
        units = (u for u in self.units.values() if u.application == application)
        return sorted(units, key=lambda u: int(u.name.rpartition("/")[2]))

    def machine_of(self, unit: Unit) -> str:
        """Return the id of the machine that a unit runs on."""
        return next(id_ for id_, machine in self.machines.items() if machine is unit.machine)
