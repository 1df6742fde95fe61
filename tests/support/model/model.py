"""The model: what an operator does to it.

A verb changes what the model holds and runs nothing; ``settle`` then runs every hook that is due.
Only ``run`` runs something at once: an action.

    with model.Model() as cloud:
        cloud.add_machine(machines.LocalMachine(directory))
        cloud.deploy(charm, "region")
        cloud.settle()
        assert cloud.status("region/0") == state.Status("active")
"""

import pathlib
import types
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from . import agents, bundles, charms, context, machines, relations, secret_tools, state

_T = TypeVar("_T")
_NOTHING: Mapping[str, Any] = types.MappingProxyType({})


class Model:
    """A model with its applications, and the machines they run on.

    Attributes:
        world: all that the model holds.
    """

    def __init__(self, version: str = "3.6.14", name: str = "images") -> None:
        self.world = state.World(name, str(uuid.uuid4()), version)
        self._agents = agents.Agents(self.world)
        self._actions = 0
        self._relations = 0
        self._storages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self._agents.desk.close()

    # What a test looks at.

    @property
    def ran(self) -> list[agents.Ran]:
        """Every run of a charm, in order."""
        return self._agents.ran

    @property
    def refusals(self) -> list[context.Refusal]:
        """What the hook tools refused to charms that asked for what they must not."""
        return self._agents.desk.refusals

    def status(self, unit: str) -> state.Status:
        """Return a unit's status; ``error`` where its hook failed."""
        failed = self._unit(unit).failed
        if failed is not None:
            return state.Status("error", f'hook failed: "{failed.name}"')
        return self._unit(unit).status

    def hooks_of(self, unit: str) -> list[str]:
        """Return the names of the hooks that ran at a unit, in order; those that failed too."""
        return [ran.hook.name for ran in self.ran if ran.unit == unit]

    def bag(self, relation: int, owner: str) -> dict[str, str]:
        """Return what a unit or application has published on a relation."""
        found = self.world.relations[relation]
        return dict((found.units if "/" in owner else found.apps)[owner].content)

    # What an operator does.

    def add_machine(self, machine: machines.Machine) -> str:
        """Take a machine into the model; return its id."""
        id_ = str(len(self.world.machines))
        self._agents.desk.serve(machine.shared)
        self.world.machines[id_] = machine
        return id_

    def deploy(
        self,
        charm: pathlib.Path,
        name: str = "",
        *,
        config: Mapping[str, Any] = _NOTHING,
        to: Sequence[str] = (),
        units: int = 1,
    ) -> None:
        """Deploy a packed charm.

        Args:
            charm: the file.
            name: of the application; the charm's own by default.
            config: the operator's options.
            to: the machine of each unit; by default machines that no unit is on.
            units: how many, where ``to`` does not say.
        """
        read = charms.read(charm)
        name = name or read.name
        if name in self.world.applications:
            raise charms.ModelError(f'application "{name}" already exists')
        charms.config(read, config)
        self.world.applications[name] = state.Application(name, read, dict(config))
        self._add_peer_relations(name)
        for machine in to or self._free_machines(units):
            self.add_unit(name, machine)

    def deploy_bundle(self, path: pathlib.Path) -> None:
        """Deploy a bundle; the machines that it wants are those of the model, in their order."""
        bundle = bundles.read(path)
        for name, asked in bundle.applications.items():
            self.deploy(asked.charm, name, config=asked.options, to=asked.to, units=asked.units)
        for one, other in bundle.relations:
            self.integrate(one, other)

    def add_unit(self, application: str, to: str = "") -> str:
        """Add a unit, on a machine that no unit is on unless told otherwise; return its name."""
        app = self._application(application)
        machine = to or self._free_machines(1)[0]
        if machine not in self.world.machines:
            raise charms.ModelError(f"machine {machine} not found")
        name = f"{application}/{app.next_unit}"
        unit = state.Unit(name, self.world.machines[machine], {})
        for storage, declared in app.charm.storage.items():
            self._attach_new(unit, storage, declared)
        app.next_unit += 1
        app.leader = app.leader or name
        self.world.units[name] = unit
        return name

    def integrate(self, one: str, other: str) -> int:
        """Relate ``application`` or ``application:endpoint`` with another; return the number."""
        pairs = [
            (a, b)
            for a in self._endpoints(one)
            for b in self._endpoints(other)
            if a.interface == b.interface and {a.role, b.role} == {"provides", "requires"}
        ]
        if len(pairs) != 1:
            found = "ambiguous" if pairs else "no"
            raise charms.ModelError(f"{found} relation between {one} and {other}")
        ends = dict(zip((one.partition(":")[0], other.partition(":")[0]), pairs[0], strict=True))
        for application, endpoint in ends.items():
            here = [r for r in self.world.relations.values() if not r.dying]
            taken = sum(r.endpoints.get(application) == endpoint.name for r in here)
            if endpoint.limit is not None and taken >= endpoint.limit:
                raise charms.ModelError(
                    f"{application}:{endpoint.name} takes {endpoint.limit} relation(s) at most"
                )
        return self._relate({application: end.name for application, end in ends.items()})

    def remove_relation(self, number: int) -> None:
        """End a relation."""
        self.world.relations[number].dying = True

    def config(self, application: str, **options: Any) -> None:
        """Set options; an underscore in a name stands for a hyphen, None resets to the default."""
        app = self._application(application)
        named = {name.replace("_", "-"): value for name, value in options.items()}
        charms.config(app.charm, {n: v for n, v in named.items() if v is not None})
        merged = app.settings | named
        app.settings = {name: value for name, value in merged.items() if value is not None}

    def refresh(self, application: str, charm: pathlib.Path) -> None:
        """Give an application another charm; config that it no longer declares is dropped."""
        app = self._application(application)
        read = charms.read(charm)
        if read.name != app.charm.name:
            raise charms.ModelError(f"{read.name} is another charm than {app.charm.name}")
        app.charm, app.revision = read, app.revision + 1
        app.settings = {n: v for n, v in app.settings.items() if n in read.options}
        self._add_peer_relations(application)

    def elect(self, unit: str) -> None:
        """Make a unit the leader of its application."""
        self._application(self._unit(unit).application).leader = unit

    def add_secret(self, name: str, content: Mapping[str, str]) -> str:
        """Add a secret of the operator's; return its URI."""
        secret = state.Secret(secret_tools.new_id(), "", name, revisions={1: dict(content)})
        self.world.secrets[secret.id] = secret
        return f"secret:{secret.id}"

    def update_secret(self, name: str, content: Mapping[str, str]) -> None:
        """Give a secret of the operator's a new revision."""
        secret = self._secret(name)
        secret.revisions[secret.latest + 1] = dict(content)

    def grant_secret(self, name: str, application: str) -> None:
        """Let an application read a secret of the operator's."""
        self._secret(name).grants.add((self._application(application).name, None))

    def remove_unit(self, unit: str) -> None:
        """Remove a unit; the content of its storage stays."""
        self._unit(unit).dying = True

    def remove_application(self, application: str) -> None:
        """Remove an application with its units and relations."""
        app = self._application(application)
        app.dying = True
        for unit in self.world.units_of(application):
            unit.dying = True
        for relation in self.world.relations.values():
            if application in relation.endpoints and not relation.peer:
                relation.dying = True

    def resolve(self, unit: str) -> None:
        """Have the hook that failed run once more."""
        if self._unit(unit).failed is None:
            raise charms.ModelError(f'unit "{unit}" is not in an error state')
        self._unit(unit).resolved = True

    def update_status(self) -> None:
        """Make ``update-status`` due at every unit that started, as the clock does in time."""
        for unit in self.world.units.values():
            if unit.started and not unit.dying:
                unit.queued.append(state.Hook("update-status", "update-status"))

    def rebooted(self, machine: str) -> None:
        """Tell the units of a machine that it rebooted; rebooting it is the test's own work."""
        for unit in self.world.units.values():
            unit.rebooted |= unit.machine is self.world.machines[machine]

    def run(self, unit: str, action: str, **parameters: Any) -> state.Action:
        """Run an action to its end; an underscore in a parameter's name stands for a hyphen."""
        given = {name.replace("_", "-"): value for name, value in parameters.items()}
        found = self._unit(unit)
        if not found.installed:
            raise charms.ModelError(f'unit "{unit}" has no charm to run "{action}" yet')
        charm = self._application(found.application).charm
        whole = charms.parameters(charm, action, given, self.world.before_4)
        self._actions += 1
        running = state.Action(self._actions, action, whole)
        self._agents.act(found, running)
        return running

    def settle(self, limit: int = 300) -> None:
        """Run the hooks that are due until none is.

        Args:
            limit: of hooks; more mean that they make one another due.

        Raises:
            agents.UnitInError: a hook failed; what was due at the other units has run.
            agents.DoesNotSettle: there seems to be no end.
        """
        self._agents.settle(limit)

    def _attach_new(self, unit: state.Unit, name: str, declared: Mapping[str, Any]) -> None:
        if declared.get("type") != "filesystem":
            raise charms.ModelError(f'storage "{name}": this simulator makes file systems only')
        id_ = f"{name}/{self._storages}"
        self._storages += 1
        location = declared.get("location") or f"{unit.machine.storage}/{id_}"
        machines.must(unit.machine, "mkdir", "--parents", location)
        unit.storage[id_] = state.Storage(id_, "filesystem", location)

    def _relate(self, ends: dict[str, str]) -> int:
        self._relations += 1
        bags = {application: relations.Bag() for application in ends}
        self.world.relations[self._relations] = relations.Relation(self._relations, ends, bags)
        return self._relations

    def _add_peer_relations(self, application: str) -> None:
        there = [r.endpoints for r in self.world.relations.values()]
        for endpoint in self._application(application).charm.endpoints.values():
            ends = {application: endpoint.name}
            if endpoint.role == "peers" and ends not in there:
                self._relate(ends)

    def _endpoints(self, named: str) -> list[charms.Endpoint]:
        application, _, wanted = named.partition(":")
        declared = self._application(application).charm.endpoints
        if wanted and wanted not in declared:
            raise charms.ModelError(f'application "{application}" has no "{wanted}" relation')
        return [declared[wanted]] if wanted else list(declared.values())

    def _free_machines(self, count: int) -> list[str]:
        taken = [unit.machine for unit in self.world.units.values()]
        free = [id_ for id_, machine in self.world.machines.items() if machine not in taken]
        if len(free) < count:
            raise charms.ModelError(f"{count} free machine(s) needed, there are {len(free)}")
        return free[:count]

    def _unit(self, name: str) -> state.Unit:
        return _known("unit", self.world.units, name)

    def _application(self, name: str) -> state.Application:
        return _known("application", self.world.applications, name)

    def _secret(self, name: str) -> state.Secret:
        named = {s.label: s for s in self.world.secrets.values() if not s.owner}
        return _known("secret", named, name)


def _known(kind: str, there: Mapping[str, _T], name: str) -> _T:
    if name not in there:
        raise charms.ModelError(f'{kind} "{name}" not found')
    return there[name]
