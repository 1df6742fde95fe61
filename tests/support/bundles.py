"""Check a bundle against the charms that it deploys, as Juju's own verifier does.

The rules are those of ``bundledata.go`` in Juju: machines, applications, placement, relations,
endpoint bindings and options, as far as they can be known without a controller. Two rules are
added that Juju applies when it deploys: storage and trust.

A problem is one line, which begins with what it is about: ``application rack: …``.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Charm = Mapping[str, Any]
"""What a charm's ``charmcraft.yaml`` says."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*")
_BASE = re.compile(r"ubuntu@\d\d\.\d\d(/(stable|candidate|beta|edge))?")
_PLACE = re.compile(r"((?P<kind>lxd|kvm):)?(?P<target>[a-z0-9-]+)(/(?P<unit>\d+))?")
_CONSTRAINTS = re.compile(r"[a-z-]+=\S+( +[a-z-]+=\S+)*")
_STORAGE = re.compile(r"([a-z][a-z0-9-]*|\d+|\d+(\.\d+)?[MGTP](iB|B)?)")
_KEYS = {"applications", "default-base", "description", "machines", "name", "relations", "tags"}
_APPLICATION_KEYS = {
    "annotations",
    "base",
    "bindings",
    "charm",
    "constraints",
    "expose",
    "num_units",
    "options",
    "storage",
    "to",
    "trust",
}
_MACHINE_KEYS = {"annotations", "base", "constraints"}
_TYPES: Mapping[str, Callable[[object], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "secret": lambda value: isinstance(value, str) and value.startswith("secret:"),
    "string": lambda value: isinstance(value, str),
}


def problems(bundle: Mapping[str, Any], charms: Mapping[str, Charm]) -> list[str]:
    """Return all that is wrong with a bundle; nothing if it can be deployed.

    Args:
        bundle: what ``bundle.yaml`` says.
        charms: the charm of each application, by the application's name.
    """
    return [
        *_unknown("bundle", bundle, _KEYS),
        *_based("bundle", bundle.get("default-base")),
        *_machines(bundle),
        *_applications(bundle, charms),
        *_placements(bundle),
        *_relations(bundle, charms),
    ]


def _unknown(what: str, table: Mapping[str, Any], known: Iterable[str]) -> Iterator[str]:
    for key in sorted(set(table) - set(known)):
        yield f"{what}: unknown key {key}"


def _based(what: str, base: object) -> Iterator[str]:
    if base is not None and not _BASE.fullmatch(str(base)):
        yield f"{what}: {base} is not a base such as ubuntu@24.04"


def _constrained(what: str, constraints: object) -> Iterator[str]:
    if constraints and not _CONSTRAINTS.fullmatch(str(constraints)):
        yield f"{what}: constraints {constraints!r} are not KEY=VALUE words"


def _machines(bundle: Mapping[str, Any]) -> Iterator[str]:
    used = {place["target"] for _, place in _places(bundle) if place is not None}
    for name, machine in (bundle.get("machines") or {}).items():
        what = f"machine {name}"
        if not str(name).isdigit():
            yield f"{what}: the name is not a number"
        if str(name) not in used:
            yield f"{what}: no placement refers to it"
        yield from _unknown(what, machine or {}, _MACHINE_KEYS)
        yield from _based(what, (machine or {}).get("base"))
        yield from _constrained(what, (machine or {}).get("constraints"))


def _applications(bundle: Mapping[str, Any], charms: Mapping[str, Charm]) -> Iterator[str]:
    applications = bundle.get("applications") or {}
    if not applications:
        yield "bundle: it has no applications"
    for name, application in applications.items():
        what = f"application {name}"
        if not _NAME.fullmatch(name):
            yield f"{what}: the name is not valid"
        if not application.get("charm"):
            yield f"{what}: it has no charm"
        yield from _unknown(what, application, _APPLICATION_KEYS)
        yield from _based(what, application.get("base"))
        yield from _constrained(what, application.get("constraints"))
        if application.get("trust"):
            yield f"{what}: it wants the cloud's credentials, which deploys only with --trust"
        if name in charms:
            yield from _fits(what, application, charms[name])


def _fits(what: str, application: Mapping[str, Any], charm: Charm) -> Iterator[str]:
    """Yield what an application says that its charm does not have."""
    base = str(application.get("base", charm["base"])).partition("/")[0]
    if base != charm["base"]:
        yield f"{what}: the charm is for {charm['base']}, not for {base}"
    declared = charm.get("config", {}).get("options", {})
    for option, value in (application.get("options") or {}).items():
        if option not in declared:
            yield f"{what}: its charm has no option {option}"
        elif not _TYPES[declared[option]["type"]](value):
            yield f"{what}: option {option} is a {declared[option]['type']}, not {value!r}"
    for endpoint in application.get("bindings") or {}:
        if endpoint and endpoint not in {*_endpoints(charm), *charm.get("extra-bindings", ())}:
            yield f"{what}: its charm has no endpoint {endpoint} to bind"
    yield from _stored(what, application, charm)


def _stored(what: str, application: Mapping[str, Any], charm: Charm) -> Iterator[str]:
    for storage, wanted in (application.get("storage") or {}).items():
        if storage not in charm.get("storage", {}):
            yield f"{what}: its charm has no storage {storage}"
        elif not all(_STORAGE.fullmatch(word) for word in str(wanted).split(",")):
            yield f"{what}: storage {storage} is not POOL,COUNT,SIZE: {wanted!r}"


def _places(bundle: Mapping[str, Any]) -> Iterator[tuple[str, re.Match[str] | None]]:
    """Yield the name of each application with each of its placements; None for a bad one."""
    for name, application in (bundle.get("applications") or {}).items():
        for place in application.get("to") or ():
            yield name, _PLACE.fullmatch(str(place))


def _placements(bundle: Mapping[str, Any]) -> Iterator[str]:
    applications = bundle.get("applications") or {}
    for name, application in applications.items():
        what, units = f"application {name}", application.get("num_units", 0)
        if not isinstance(units, int) or units < 0:
            yield f"{what}: num_units is not a count: {units!r}"
        elif len(application.get("to") or ()) > units:
            yield f"{what}: more placements than units"
    machines = {str(machine) for machine in bundle.get("machines") or {}}
    for name, place in _places(bundle):
        what = f"application {name}"
        if place is None:
            yield f"{what}: a placement is not [lxd:]MACHINE or [lxd:]APPLICATION[/UNIT]"
        elif place["target"].isdigit():
            if place["target"] not in machines:
                yield f"{what}: it is placed on machine {place['target']}, which is not declared"
        elif place["target"] != "new":
            yield from _beside(what, place, applications)


def _beside(what: str, place: re.Match[str], applications: Mapping[str, Any]) -> Iterator[str]:
    if place["target"] not in applications:
        yield f"{what}: it is placed with application {place['target']}, which is not declared"
    elif int(place["unit"] or 0) >= applications[place["target"]].get("num_units", 0):
        yield f"{what}: it is placed with a unit that {place['target']} does not have"


def _relations(bundle: Mapping[str, Any], charms: Mapping[str, Charm]) -> Iterator[str]:
    seen = set()
    for ends in bundle.get("relations") or ():
        what = f"relation {ends}"
        if len(ends) != 2:
            yield f"{what}: it has not two ends"
            continue
        names = [end.partition(":")[0] for end in ends]
        missing = [name for name in names if name not in bundle.get("applications", {})]
        for name in missing:
            yield f"{what}: application {name} is not declared"
        if names[0] == names[1]:
            yield f"{what}: it relates an application to itself"
        if frozenset(ends) in seen:
            yield f"{what}: it is there twice"
        seen.add(frozenset(ends))
        if not missing:
            yield from _joined(what, ends, charms)


def _joined(what: str, ends: list[str], charms: Mapping[str, Charm]) -> Iterator[str]:
    """Yield why two ends, of which every one names its endpoint, cannot be related."""
    roles, interfaces = [], []
    for end in ends:
        name, _, endpoint = end.partition(":")
        if endpoint not in _endpoints(charms[name]):
            yield f"{what}: the charm of {name} has no endpoint {endpoint!r}"
            return
        role, interface = _endpoints(charms[name])[endpoint]
        roles.append(role)
        interfaces.append(interface)
    if sorted(roles) != ["provides", "requires"]:
        yield f"{what}: one end must provide and the other require, not {' and '.join(roles)}"
    if interfaces[0] != interfaces[1]:
        yield f"{what}: interfaces {interfaces[0]} and {interfaces[1]} differ"


def _endpoints(charm: Charm) -> dict[str, tuple[str, str]]:
    """Return role and interface of each endpoint of a charm."""
    return {
        name: (role, declared["interface"])
        for role in ("provides", "requires", "peers")
        for name, declared in charm.get(role, {}).items()
    }
