"""Which hook is due next at a unit, and what follows from running it.

``due`` compares what the model holds with what the unit has seen, in the order in which Juju's
agent looks: relations created, leadership, secrets, storage, what the last hook queued, and then
the life of the unit. ``begin`` notes what the charm is being told, ``commit`` what holds once the
hook has ended with 0.
"""

from collections.abc import Callable

from . import relations, state

_Question = Callable[[state.World, state.Unit], state.Hook | None]


def due(world: state.World, unit: state.Unit) -> state.Hook | None:
    """Return a unit's next hook; None where it has seen all, or waits to be resolved."""
    if unit.failed is not None:
        return unit.failed if unit.resolved else None
    questions: list[_Question] = [_reboot, _created, _leadership, _secrets, _storage, _queued]
    questions += [_teardown] if unit.dying else [_install, _upgrade, _config, _relations]
    for question in questions:
        hook = question(world, unit)
        if hook is not None:
            return hook
    return None


def begin(world: state.World, unit: state.Unit, hook: state.Hook) -> None:
    """Note what the charm is told by a hook that is about to run, first or once more."""
    if hook.kind == "relation-created" and hook.relation is not None:
        relation = world.relations[hook.relation]
        unit.views[hook.relation] = relations.View()
        relation.units.setdefault(unit.name, relations.Bag(_addresses(world, unit)))
    elif hook.kind in {"relation-joined", "relation-changed", "relation-departed"}:
        _see(world, unit, hook)
    elif hook.kind == "upgrade-charm":
        unit.revision = world.applications[unit.application].revision
    elif hook.kind == "config-changed":
        unit.told_config = _config_of(world, unit)
    elif hook.kind == "secret-changed":
        unit.told_secrets[hook.secret] = world.secrets[hook.secret].latest
    elif hook.kind in {"leader-elected", "leader-settings-changed"}:
        unit.told_leader = hook.kind == "leader-elected"
    elif hook.kind == "storage-attached":
        unit.attached.add(hook.storage)


def commit(world: state.World, unit: state.Unit, hook: state.Hook) -> None:
    """Note what holds now that a hook has ended with 0."""
    if hook in unit.queued:
        unit.queued.remove(hook)
    if hook.kind == "install":
        unit.installed = True
    elif hook.kind == "start":
        unit.started, unit.rebooted = True, False
    elif hook.kind == "stop":
        unit.stopped = True
    elif hook.kind == "remove":
        unit.installed = False
    elif hook.kind == "upgrade-charm":
        unit.queued.append(_plain("config-changed"))
    elif hook.kind == "config-changed" and not unit.started:
        unit.queued.append(_plain("start"))
    elif hook.kind == "storage-detaching":
        unit.attached.remove(hook.storage)
        del unit.storage[hook.storage]
    elif hook.kind == "relation-broken" and hook.relation is not None:
        unit.views.pop(hook.relation)
        unit.left.add(hook.relation)
        world.relations[hook.relation].leave(unit.name)


def _plain(kind: str) -> state.Hook:
    return state.Hook(kind, kind)


def _reboot(world: state.World, unit: state.Unit) -> state.Hook | None:
    return _plain("start") if unit.rebooted and unit.started else None


def _created(world: state.World, unit: state.Unit) -> state.Hook | None:
    if not unit.installed or unit.dying:
        return None
    for number, relation in world.relations.items():
        ours = unit.application in relation.endpoints and not relation.dying
        if ours and number not in unit.views and number not in unit.left:
            return _of_relation(unit, relation, "relation-created")
    return None


def _leadership(world: state.World, unit: state.Unit) -> state.Hook | None:
    leads = world.applications[unit.application].leader == unit.name
    if not unit.installed or unit.dying or leads is unit.told_leader:
        return None
    if leads:
        return _plain("leader-elected")
    if world.before_4:
        return _plain("leader-settings-changed")
    unit.told_leader = False
    return None


def _secrets(world: state.World, unit: state.Unit) -> state.Hook | None:
    if not unit.started or unit.dying:
        return None
    leads = world.applications[unit.application].leader == unit.name
    for id_, tracked in unit.tracked.items():
        secret = world.secrets.get(id_)
        if secret is None or secret.owner in {unit.name, unit.application if leads else None}:
            continue
        if secret.latest > max(tracked.revision, unit.told_secrets.get(id_, 0)):
            return state.Hook("secret-changed", "secret-changed", secret=id_)
    return None


def _storage(world: state.World, unit: state.Unit) -> state.Hook | None:
    """Storage is attached before all else, and detached before the unit leaves its relations."""
    for id_ in sorted(unit.storage):
        name = id_.rpartition("/")[0]
        if unit.dying and id_ in unit.attached:
            return state.Hook("storage-detaching", f"{name}-storage-detaching", storage=id_)
        if not unit.dying and id_ not in unit.attached:
            return state.Hook("storage-attached", f"{name}-storage-attached", storage=id_)
    return None


def _queued(world: state.World, unit: state.Unit) -> state.Hook | None:
    return unit.queued[0] if unit.queued else None


def _install(world: state.World, unit: state.Unit) -> state.Hook | None:
    return None if unit.installed else _plain("install")


def _upgrade(world: state.World, unit: state.Unit) -> state.Hook | None:
    newer = world.applications[unit.application].revision > unit.revision
    return _plain("upgrade-charm") if newer else None


def _config(world: state.World, unit: state.Unit) -> state.Hook | None:
    told = unit.told_config == _config_of(world, unit)
    return None if told else _plain("config-changed")


def _config_of(world: state.World, unit: state.Unit) -> object:
    return world.applications[unit.application].config, unit.machine.address


def _teardown(world: state.World, unit: state.Unit) -> state.Hook | None:
    leaving = _relations(world, unit)
    if leaving is not None:
        return leaving
    if unit.started and not unit.stopped:
        return _plain("stop")
    return _plain("remove") if unit.installed else None


def _relations(world: state.World, unit: state.Unit) -> state.Hook | None:
    for number, view in sorted(unit.views.items()):
        hook = _next_of(unit, world.relations[number], view)
        if hook is not None:
            return hook
    return None


def _next_of(
    unit: state.Unit, relation: relations.Relation, view: relations.View
) -> state.Hook | None:
    """Departures first, then the end, then the application's bag, arrivals, and units' bags."""
    breaking = unit.dying or relation.dying
    others = {} if breaking else relation.others(unit.name)
    remote = relation.other(unit.application)
    if view.joined:
        return _of_relation(unit, relation, "relation-changed", view.joined)
    for name in sorted(view.members.keys() - others.keys()):
        return _of_relation(
            unit, relation, "relation-departed", name, unit.name if unit.dying else name
        )
    if breaking:
        return None if relation.peer else _of_relation(unit, relation, "relation-broken")
    # A leader is told of what it wrote to its own peer relation, too (juju/juju issue 20178).
    if relation.apps[remote].version != view.apps.get(remote, 0):
        return _of_relation(unit, relation, "relation-changed")
    for name in sorted(others.keys() - view.members.keys()):
        return _of_relation(unit, relation, "relation-joined", name)
    for name, version in others.items():
        if version != view.members[name]:
            return _of_relation(unit, relation, "relation-changed", name)
    return None


def _of_relation(
    unit: state.Unit,
    relation: relations.Relation,
    kind: str,
    remote: str = "",
    departing: str = "",
) -> state.Hook:
    return state.Hook(
        kind,
        f"{relation.endpoints[unit.application]}-{kind}",
        relation=relation.number,
        remote_app=relation.other(unit.application),
        remote_unit=remote,
        departing=departing,
    )


def _see(world: state.World, unit: state.Unit, hook: state.Hook) -> None:
    if hook.relation is None:
        return
    relation, view = world.relations[hook.relation], unit.views[hook.relation]
    if hook.kind == "relation-departed":
        view.members.pop(hook.remote_unit, None)
        view.joined = ""
    elif not hook.remote_unit:
        view.apps[hook.remote_app] = relation.apps[hook.remote_app].version
    else:
        bag = relation.units.get(hook.remote_unit) or relation.departed[hook.remote_unit]
        view.members[hook.remote_unit] = bag.version
        view.known.add(hook.remote_unit)
        view.joined = hook.remote_unit if hook.kind == "relation-joined" else ""


def _addresses(world: state.World, unit: state.Unit) -> dict[str, str]:
    address = unit.machine.address
    kept = {"egress-subnets": f"{address}/32", "ingress-address": address}
    return kept | ({"private-address": address} if world.before_4 else {})
