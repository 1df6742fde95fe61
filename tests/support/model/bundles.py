"""Reads a bundle: which charms to deploy where, with which options, and what to relate."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from . import charms

_OF_BUNDLE = {
    "name", "description", "docs", "issues", "source", "tags", "website",
    "default-base", "machines", "applications", "relations",
}  # fmt: skip
_OF_APPLICATION = {
    "charm",
    "num_units",
    "to",
    "options",
    "storage",
    "base",
    "constraints",
    "expose",
    "annotations",
}


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a bundle asks for an application: its charm, how many units and where, its options."""

    charm: pathlib.Path
    units: int
    to: tuple[str, ...]
    options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Bundle:
    """What a bundle asks for: applications by name, and pairs of endpoints to relate."""

    applications: Mapping[str, Asked]
    relations: tuple[tuple[str, str], ...]


def read(path: pathlib.Path) -> Bundle:
    """Read a bundle; a charm's path is relative to it.

    Raises:
        charms.ModelError: it asks for what this simulator does not know.
    """
    document = yaml.safe_load(path.read_text())
    _refuse_others(path, document, _OF_BUNDLE)
    applications = {}
    for name, entry in document["applications"].items():
        _refuse_others(path, entry, _OF_APPLICATION)
        to = entry.get("to") or ()
        places = tuple(str(place) for place in ([to] if isinstance(to, str | int) else to))
        for place in places:
            if place not in {str(machine) for machine in document.get("machines") or {}}:
                raise charms.ModelError(f'{path}: machine "{place}" of {name} is not declared')
        storage = charms.read(path.parent / entry["charm"]).storage
        for stored in entry.get("storage") or {}:
            if stored not in storage:
                raise charms.ModelError(f'{path}: charm of {name} has no storage "{stored}"')
        applications[name] = Asked(
            path.parent / entry["charm"],
            entry.get("num_units", 1),
            places,
            entry.get("options") or {},
        )
    relations = tuple((one, other) for one, other in document.get("relations") or ())
    return Bundle(applications, relations)


def _refuse_others(path: pathlib.Path, mapping: Mapping[str, Any], known: set[str]) -> None:
    for key in mapping:
        if key not in known:
            raise charms.ModelError(f'{path}: "{key}" is not known to this simulator')
