"""The hook tools about a unit itself: its config, status, log, ports, storage and kept state.

What it says of itself (status, log, version) is seen at once, also where the hook then fails.
"""

import datetime
import re
from typing import Any

from . import context, state
from .tools import Given, settings, tool

_PORT = re.compile(r"(?P<from>\d+)(-(?P<to>\d+))?(/(?P<protocol>tcp|udp))?|icmp")


@tool("config-get", query=True)
def config_get(running: context.Context, given: Given) -> Any:
    config = running.application.config
    if not given.words:
        return config
    name = given.words.pop(0)
    if name not in running.application.charm.options:
        raise context.Refused(f'option "{name}" is not declared')
    return config.get(name)


@tool("is-leader", query=True)
def is_leader(running: context.Context, given: Given) -> bool:
    return running.leads


@tool("juju-log", values="log-level l", switches="debug")
def juju_log(running: context.Context, given: Given) -> None:
    message = given.word("no message specified")
    running.unit.log.append((given.options.get("log-level", "INFO"), message))


@tool("application-version-set")
def application_version_set(running: context.Context, given: Given) -> None:
    running.unit.version = given.word("no version specified")


@tool("status-set", switches="application")
def status_set(running: context.Context, given: Given) -> None:
    name = given.word("invalid args, require <status> [message]")
    if name not in {"maintenance", "blocked", "waiting", "active"}:
        raise context.Refused(
            f'invalid status "{name}", expected one of [maintenance blocked waiting active]'
        )
    status = state.Status(name, given.words.pop(0) if given.words else "")
    if given.switch("application"):
        _only_leader(running)
        running.application.status = status
    else:
        running.unit.status = status
        running.unit.statuses.append(status)


@tool("status-get", switches="application include-data", query=True)
def status_get(running: context.Context, given: Given) -> dict[str, Any]:
    if not given.switch("application"):
        return _status(running.unit.status)
    _only_leader(running)
    units = running.world.units_of(running.application.name)
    return {
        "application-status": {
            **_status(running.application.status or state.Status("unknown")),
            "units": {unit.name: _status(unit.status) for unit in units},
        }
    }


def _status(status: state.Status) -> dict[str, Any]:
    return {"status": status.name, "message": status.message, "status-data": {}}


def _only_leader(running: context.Context) -> None:
    if not running.leads:
        raise context.Refused("this unit is not the leader")


@tool("open-port", values="endpoints")
def open_port(running: context.Context, given: Given) -> None:
    running.ports.add(_port(running, given))


@tool("close-port", values="endpoints")
def close_port(running: context.Context, given: Given) -> None:
    running.ports.discard(_port(running, given))


@tool("opened-ports", switches="endpoints", query=True)
def opened_ports(running: context.Context, given: Given) -> list[str]:
    """Return the ports as they were before this hook: what it opens does not show yet."""
    return sorted(running.unit.ports)


def _port(running: context.Context, given: Given) -> str:
    if "endpoints" in given.options:
        raise context.Refused("this simulator opens ports for all endpoints only")
    word = given.word("no port or range specified").lower()
    match = _PORT.fullmatch(word)
    if match is None:
        raise context.Refused(f'invalid port range "{word}"')
    if word == "icmp":
        return word
    first, last = int(match["from"]), int(match["to"] or match["from"])
    if not 1 <= first <= last <= 65535:
        raise context.Refused(f'invalid port range "{word}"')
    ports = str(first) if first == last else f"{first}-{last}"
    return f"{ports}/{match['protocol'] or 'tcp'}"


@tool("storage-list", query=True)
def storage_list(running: context.Context, given: Given) -> list[str]:
    name = given.words.pop(0) if given.words else ""
    if name and name not in running.application.charm.storage:
        raise context.Refused(f'storage "{name}" is not declared')
    return sorted(id_ for id_ in running.unit.storage if not name or id_.startswith(f"{name}/"))


@tool("storage-get", values="s", query=True)
def storage_get(running: context.Context, given: Given) -> Any:
    id_ = given.options.get("s", running.hook.storage)
    if not id_:
        raise context.Refused("no storage instance specified")
    if id_ not in running.unit.storage:
        raise context.Refused(f'invalid value "{id_}" for option -s: storage not found')
    storage = running.unit.storage[id_]
    values = {"kind": storage.kind, "location": storage.location}
    if not given.words:
        return values
    key = given.words.pop(0)
    if key not in values:
        raise context.Refused(f'invalid storage attribute "{key}"')
    return values[key]


@tool("state-get", query=True)
def state_get(running: context.Context, given: Given) -> Any:
    if not given.words or given.words == ["-"]:
        given.words.clear()
        return running.state
    key = given.words.pop(0)
    if key not in running.state:
        raise context.Refused(f'"{key}" not found', ordinary=True)
    return running.state[key]


@tool("state-set", values="file")
def state_set(running: context.Context, given: Given) -> None:
    running.state.update(settings(given))


@tool("state-delete")
def state_delete(running: context.Context, given: Given) -> None:
    running.state.pop(given.word("no key specified"), None)


@tool("goal-state", query=True)
def goal_state(running: context.Context, given: Given) -> dict[str, Any]:
    world, name = running.world, running.application.name
    relations: dict[str, dict[str, Any]] = {}
    for relation in world.relations.values():
        if name in relation.endpoints and not relation.dying:
            other = relation.other(name)
            there = relations.setdefault(relation.endpoints[name], {})
            there |= {other: _goal("joined")} if not relation.peer else {}
            there |= {
                unit.name: _goal_of(unit)
                for unit in world.units_of(other)
                if unit is not running.unit
            }
    units = {unit.name: _goal_of(unit) for unit in world.units_of(name)}
    return {"units": units, "relations": relations}


def _goal_of(unit: state.Unit) -> dict[str, str]:
    return _goal("dying" if unit.dying else unit.status.name)


def _goal(status: str) -> dict[str, str]:
    return {"status": status, "since": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%SZ}"}
