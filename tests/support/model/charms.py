"""What a packed charm declares, and whether a value that an operator gives fits it."""

import dataclasses
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import yaml


class ModelError(Exception):
    """The operator asked for what the model refuses, with the reason."""


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """One end of a relation, as ``metadata.yaml`` declares it.

    Attributes:
        role: ``provides``, ``requires`` or ``peers``.
        limit: how many relations it takes; None means any number.
    """

    name: str
    role: str
    interface: str
    limit: int | None = None


@dataclasses.dataclass(frozen=True)
class Charm:
    """A ``.charm`` file.

    Attributes:
        path: the file.
        name: of the charm.
        endpoints: by name, in the order peers, provides, requires.
        bindings: names beside endpoints that ``network-get`` knows.
        storage: the declaration of each storage, by name.
        options: the declaration of each option of config, by name.
        actions: the declaration of each action, by name.
    """

    path: pathlib.Path
    name: str
    endpoints: Mapping[str, Endpoint]
    bindings: frozenset[str]
    storage: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Mapping[str, Any]]
    actions: Mapping[str, Mapping[str, Any]]


def read(path: pathlib.Path) -> Charm:
    """Read what a packed charm declares.

    Raises:
        ModelError: the file is no machine charm that this simulator can run.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            metadata = _document(archive, "metadata.yaml")
            config = _document(archive, "config.yaml")
            actions = _document(archive, "actions.yaml")
    except (OSError, zipfile.BadZipFile) as exc:
        raise ModelError(f"{path} is no packed charm: {exc}") from exc
    for needed in ("metadata.yaml", "manifest.yaml", "dispatch"):
        if needed not in names:
            raise ModelError(f"{path} has no {needed}")
    if metadata.get("containers") or metadata.get("subordinate"):
        raise ModelError(f"{path} is no principal machine charm")
    endpoints = {}
    for role in ("peers", "provides", "requires"):
        for name, declared in (metadata.get(role) or {}).items():
            endpoints[name] = Endpoint(name, role, declared["interface"], declared.get("limit"))
    return Charm(
        path,
        metadata["name"],
        endpoints,
        frozenset(metadata.get("extra-bindings") or {}) | {"juju-info"},
        metadata.get("storage") or {},
        config.get("options") or {},
        actions,
    )


def config(charm: Charm, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole config of an application: all declared, with the operator's values.

    Raises:
        ModelError: an option that is not declared, or a value of the wrong type.
    """
    for name, value in values.items():
        if name not in charm.options:
            raise ModelError(f'unknown option "{name}" of charm {charm.name}')
        kind = charm.options[name].get("type", "string")
        if not _fits(value, "string" if kind == "secret" else kind):
            raise ModelError(f'option "{name}" expected {kind}, got {value!r}')
        if kind == "secret" and not value.startswith("secret:"):
            raise ModelError(f'option "{name}" expected a secret, got {value!r}')
    whole = {name: declared.get("default") for name, declared in charm.options.items()}
    return whole | dict(values)


def parameters(charm: Charm, action: str, given: Mapping[str, Any], open_: bool) -> dict[str, Any]:
    """Return the parameters that an action sees: what was given and what has a default.

    Args:
        charm: declares the action.
        action: its name.
        given: by the operator.
        open_: whether an action takes undeclared parameters where it does not say: Juju 3 does,
            Juju 4 does not.

    Raises:
        ModelError: the action or a parameter is not declared, is missing or of the wrong type.
    """
    if action not in charm.actions:
        raise ModelError(f'action "{action}" not defined by charm {charm.name}')
    schema = charm.actions[action]
    properties = schema.get("params") or {}
    unknown = sorted(set(given) - set(properties))
    if unknown and not schema.get("additionalProperties", open_):
        raise ModelError(f'action "{action}": additional property "{unknown[0]}" is not allowed')
    whole = {name: p["default"] for name, p in properties.items() if "default" in p} | dict(given)
    for name in schema.get("required") or ():
        if name not in whole:
            raise ModelError(f'action "{action}": parameter "{name}" is required')
    for name, value in given.items():
        _check(f'action "{action}": parameter "{name}"', properties.get(name, {}), value)
    return whole


def _check(what: str, schema: Mapping[str, Any], value: Any) -> None:
    if "type" in schema and not _fits(value, schema["type"]):
        raise ModelError(f"{what} must be of type {schema['type']}, given {value!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise ModelError(f"{what} must be one of {schema['enum']}, given {value!r}")
    if isinstance(value, list):
        for item in value:
            _check(what, schema.get("items", {}), item)


def _fits(value: object, kind: str) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "int": int,
        "integer": int,
        "float": float,
        "number": (int, float),
        "boolean": bool,
        "array": list,
        "object": dict,
    }
    if kind not in kinds:
        raise ModelError(f'unknown type "{kind}"')
    if isinstance(value, bool) and kind != "boolean":
        return False
    return isinstance(value, kinds[kind])


def _document(archive: zipfile.ZipFile, name: str) -> dict[str, Any]:
    if name not in archive.namelist():
        return {}
    return yaml.safe_load(archive.read(name)) or {}
