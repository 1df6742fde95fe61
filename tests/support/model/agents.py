"""The agents: they run the hooks that are due, one after the other, and actions on demand."""

import collections
import dataclasses

from . import context, desk, hooks, machines, state

_DISPATCH = ["/bin/sh", "-c", 'cd "$JUJU_CHARM_DIR" && exec ./dispatch']
_LAST_LINES = 40


class UnitInError(Exception):
    """A unit's hook failed; says what it printed. Once resolved, it runs once more."""


class DoesNotSettle(Exception):
    """Hooks go on being due, because each makes another due; names those, and what changes."""


@dataclasses.dataclass(frozen=True)
class Ran:
    """A run of a charm: its end, the hook tools that it called, and what it changed."""

    unit: str
    hook: state.Hook
    status: int
    output: str
    calls: tuple[tuple[str, ...], ...]
    changed: tuple[str, ...]


class Agents:
    """The agents of all units of a model.

    Attributes:
        desk: answers the hook tools.
        ran: every run of a charm, in order.
    """

    def __init__(self, world: state.World) -> None:
        self.desk = desk.Desk()
        self.ran: list[Ran] = []
        self._world = world

    def settle(self, limit: int) -> None:
        """Run what is due until nothing is, or ``limit`` hooks have run.

        Raises:
            UnitInError: a hook failed; what was due at the other units has run.
            DoesNotSettle: there seems to be no end.
        """
        start = len(self.ran)
        while self._round():
            if len(self.ran) - start > limit:
                raise DoesNotSettle(_loop(self.ran[start + limit // 2 :]))
        for unit in self._world.units.values():
            if unit.failed is not None:
                raise UnitInError(self._failure(unit))

    def act(self, unit: state.Unit, action: state.Action) -> None:
        """Run an action to its end; an error of its process is its failure, not the unit's."""
        ran = self._dispatch(unit, state.Hook("action", action.name, action=action))
        if ran.status != 0:
            action.failed, action.message = True, f"exit status {ran.status}\n{ran.output}"

    def _round(self) -> bool:
        """Run one hook of every unit that has one due; return whether any did."""
        busy = False
        for unit in list(self._world.units.values()):
            hook = hooks.due(self._world, unit)
            if hook is not None:
                self._step(unit, hook)
                busy = True
            elif unit.dying and unit.failed is None:
                self._bury(unit)
                busy = True
        self._forget_ended()
        return busy

    def _step(self, unit: state.Unit, hook: state.Hook) -> None:
        if not unit.revision or hook.kind == "upgrade-charm":
            self._unpack(unit)
        if hook.kind == "install":
            unit.status = state.Status("maintenance", "installing charm software")
        unit.failed, unit.resolved = None, False
        hooks.begin(self._world, unit, hook)
        if self._dispatch(unit, hook).status == 0:
            hooks.commit(self._world, unit, hook)
        else:
            unit.failed = hook

    def _dispatch(self, unit: state.Unit, hook: state.Hook) -> Ran:
        running = context.Context(self._world, unit, hook)
        there = unit.machine.shared_there
        env = running.environment(f"{there}/{desk.TOOLS}", f"{there}/{desk.SOCKET}")
        with self.desk.answering(running):
            done = unit.machine.run(_DISPATCH, env)
        changed = running.keep() if done.status == 0 else []
        calls = tuple(running.calls)
        self.ran.append(Ran(unit.name, hook, done.status, done.output, calls, tuple(changed)))
        return self.ran[-1]

    def _unpack(self, unit: state.Unit) -> None:
        app = self._world.applications[unit.application]
        machine, packed = unit.machine, f"{app.name}-{app.revision}.charm"
        (machine.shared / packed).write_bytes(app.charm.path.read_bytes())
        unpack, charm = (f"{machine.shared_there}/{name}" for name in ("unpack.py", packed))
        machines.must(machine, "python3", unpack, charm, f"{unit.agent_directory}/charm")
        unit.revision = app.revision

    def _bury(self, unit: state.Unit) -> None:
        """Take a unit out of the model after its last hook, and what ends with it."""
        world, app = self._world, self._world.applications[unit.application]
        machines.must(unit.machine, "rm", "-rf", unit.agent_directory)
        del world.units[unit.name]
        for relation in world.relations.values():
            relation.leave(unit.name)
        left = world.units_of(app.name)
        if app.leader == unit.name:
            app.leader = left[0].name if left else ""
        gone = {unit.name}
        if app.dying and not left:
            del world.applications[app.name]
            gone.add(app.name)
        for id_ in [id_ for id_, secret in world.secrets.items() if secret.owner in gone]:
            del world.secrets[id_]

    def _forget_ended(self) -> None:
        """Take relations out of the model that no unit is in any more, and grants with them."""
        world = self._world
        for number, relation in list(world.relations.items()):
            ended = relation.dying or not relation.endpoints.keys() & world.applications.keys()
            if ended and not relation.units:
                del world.relations[number]
                for secret in world.secrets.values():
                    secret.grants = {g for g in secret.grants if g[1] != number}

    def _failure(self, unit: state.Unit) -> str:
        last = next(ran for ran in reversed(self.ran) if ran.unit == unit.name)
        lines = [f"{level}: {message}" for level, message in unit.log[-_LAST_LINES:]]
        lines += last.output.splitlines()[-_LAST_LINES:]
        return "\n".join([f"{unit.name} {last.hook}: exit status {last.status}", *lines])


def _loop(ran: list[Ran]) -> str:
    """Name the hooks that ran most often, and what kept changing."""
    hooks_ = collections.Counter(f"{each.unit} {each.hook}" for each in ran)
    changes = collections.Counter(change for each in ran for change in each.changed)
    lines = [f"the model does not settle; the last {len(ran)} hooks were"]
    lines += [f"  {count} x {hook}" for hook, count in hooks_.most_common(6)]
    lines += [f"  {count} x changed {change}" for change, count in changes.most_common(6)]
    return "\n".join(lines)
