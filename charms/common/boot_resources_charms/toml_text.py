"""Settings as TOML: the standard library reads it and does not write it.

Written are the kinds of value that the engine's settings have: texts, numbers, true and false,
lists of texts, tables, and lists of tables.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def written(settings: Mapping[str, Any]) -> str:
    """Return ``settings`` as a TOML file; keys whose value is None are left out.

    What belongs to no table comes first, as TOML demands; otherwise the order stays.
    """
    stated = {key: value for key, value in settings.items() if value is not None}
    tables = {key: value for key, value in stated.items() if _is_tables(value)}
    lines = list(_pairs({key: stated[key] for key in stated if key not in tables}))
    for name, value in tables.items():
        repeated = not isinstance(value, Mapping)
        heading = f"[[{name}]]" if repeated else f"[{name}]"
        for table in value if repeated else [value]:
            lines += ["", heading, *_pairs(table)]
    return "\n".join(lines).lstrip("\n") + "\n"


def _is_tables(value: object) -> bool:
    """Return whether a value is a table, or a list of tables; an empty list is a plain value."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return any(isinstance(each, Mapping) for each in value)
    return isinstance(value, Mapping)


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None:
            yield f"{key} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    # A basic string of TOML is one of JSON, but for DEL, which JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007F")
