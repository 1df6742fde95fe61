"""What is different between the settings in force and those that were read anew."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from boot_resources.settings import values


@dataclasses.dataclass(frozen=True)
class Change:
    """One key whose value is another in the file than it was in force.

    Attributes:
        key: as it is written in the file, with its table: ``cache.size``.
        before: the value that was in force, as JSON has it.
        asked: the value in the file.
        live: whether it is in force now; otherwise after a restart.
    """

    key: str
    before: Any
    asked: Any
    live: bool


def between(before: values.Table, asked: values.Table, in_force: values.Table) -> list[Change]:
    """Return the keys in which a file differs from what was in force, in the file's order.

    Args:
        before: what was in force.
        asked: what the file says.
        in_force: what is in force after it was read.
    """
    was, now = _leaves(before), _leaves(in_force)
    return [
        Change(key, was[key], value, live=now[key] == value)
        for key, value in _leaves(asked).items()
        if value != was[key]
    ]


def _leaves(table: values.Table) -> dict[str, Any]:
    return dict(_walk(table.model_dump(mode="json", by_alias=True), ""))


def _walk(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _walk(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
