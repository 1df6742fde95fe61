"""The hook tools for relations and the network.

A unit reads its own bags as it has written them, those of units that joined, and the bag of the
application on the other end; it writes its own, and its application's while it leads.
"""

import ipaddress
from typing import Any

from . import context, relations
from .tools import Given, settings, tool

_WHICH = "r relation"


@tool("relation-ids", query=True)
def relation_ids(running: context.Context, given: Given) -> list[str]:
    endpoint = (
        running.world.relations[running.hook.relation].endpoints[running.application.name]
        if running.hook.relation is not None
        else ""
    )
    if given.words:
        endpoint = given.words.pop(0)
    if not endpoint:
        raise context.Refused("no endpoint name specified")
    if endpoint not in running.application.charm.endpoints:
        raise context.Refused(f'endpoint "{endpoint}" is not declared')
    ours = (running.world.relations[number] for number in running.unit.views)
    ids = (relation.id_for(running.application.name) for relation in ours)
    return sorted(id_ for id_ in ids if id_.rpartition(":")[0] == endpoint)


@tool("relation-list", values=_WHICH, switches="app", query=True)
def relation_list(running: context.Context, given: Given) -> str | list[str]:
    relation = _relation(running, given)
    if given.switch("app"):
        return relation.other(running.application.name)
    return sorted(running.unit.views[relation.number].members)


@tool("relation-model-get", values=_WHICH, query=True)
def relation_model_get(running: context.Context, given: Given) -> dict[str, str]:
    _relation(running, given)
    return {"uuid": running.world.uuid}


@tool("relation-get", values=_WHICH, switches="app", query=True)
def relation_get(running: context.Context, given: Given) -> Any:
    relation = _relation(running, given)
    key = given.words.pop(0) if given.words else "-"
    content = _read(running, relation, _owner(running, given))
    return content if key == "-" else content.get(key)


@tool("relation-set", values=f"{_WHICH} file", switches="app")
def relation_set(running: context.Context, given: Given) -> None:
    relation = _relation(running, given)
    if given.switch("app") and not running.leads:
        raise context.Refused("cannot write relation settings")
    owner = running.application.name if given.switch("app") else running.unit.name
    bag = running.own_bag(relation, owner)
    for key, value in settings(given).items():
        if value:
            bag[key] = value
        else:
            bag.pop(key, None)


@tool("network-get", values=_WHICH, switches="bind-address ingress-address", query=True)
def network_get(running: context.Context, given: Given) -> Any:
    binding = given.word("no arguments specified")
    charm, address = running.application.charm, running.unit.machine.address
    if binding not in charm.endpoints and binding not in charm.bindings:
        raise context.Refused(f'no network config found for binding "{binding}"')
    if {"r", "relation"} & given.options.keys():
        _relation(running, given)
    if given.switch("bind-address") or given.switch("ingress-address"):
        return address
    subnet = str(ipaddress.ip_network(f"{address}/24", strict=False))
    bound = {"hostname": "", "value": address, "cidr": subnet}
    interface = {"mac-address": "", "interface-name": "eth0", "addresses": [bound]}
    return {
        "bind-addresses": [interface],
        "egress-subnets": [f"{address}/32"],
        "ingress-addresses": [address],
    }


def _relation(running: context.Context, given: Given) -> relations.Relation:
    """Return the relation that ``-r`` names, or the one that the hook is about."""
    named = given.options.get("r", given.options.get("relation", ""))
    if not named:
        if running.hook.relation is None:
            raise context.Refused("no relation id specified")
        return running.world.relations[running.hook.relation]
    endpoint, _, number = named.rpartition(":")
    found = int(number) if number.isdecimal() else -1
    if found in running.unit.views:
        relation = running.world.relations[found]
        if endpoint in {"", relation.endpoints[running.application.name]}:
            return relation
    raise context.Refused(f'invalid value "{named}" for option -r: relation not found')


def _owner(running: context.Context, given: Given) -> str:
    """Return the unit or application whose bag is asked for."""
    hook = running.hook
    if given.words:
        named = given.words.pop(0)
        if given.switch("app"):
            return named.partition("/")[0]
        if "/" not in named:
            raise context.Refused(f'expected unit name, got application name "{named}"')
        return named
    default = hook.remote_app if given.switch("app") else hook.remote_unit or hook.remote_app
    if not default:
        raise context.Refused("no unit or application specified")
    return default


def _read(running: context.Context, relation: relations.Relation, owner: str) -> dict[str, str]:
    unit, application = running.unit, running.application.name
    if owner == unit.name or (owner == application and running.leads):
        return running.own_bag(relation, owner)
    if owner in relation.apps and (owner != application or relation.peer):
        return relation.apps[owner].content
    if owner in unit.views[relation.number].known:
        return (relation.units.get(owner) or relation.departed[owner]).content
    raise context.Refused("permission denied")
