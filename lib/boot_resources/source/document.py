"""Strict JSON: a signed document either has exactly the shape that we read, or is refused whole.

A signature says who wrote a document, not that it is sane. So nothing is guessed here: two values
under one key, a number where a text belongs, or text that no file name and no database can hold
refuse the document by a ``DocumentRefused`` that says which document, where in it, and why.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from boot_resources import errors, units
from boot_resources.source import quoting

MAX_DEPTH = 32
"""How deep objects and lists may nest; a real stream nests 7 deep."""
MAX_TEXT = 16 * units.KIB
"""Characters of a text or a key; gpg reads no longer line, and a document need not be signed."""

_CURE = "what was accepted before stays in force; tell whoever publishes the source"


class DocumentRefused(errors.BootResourcesError):
    """A document of the source cannot be accepted.

    Attributes:
        document: the path of the document, relative to the source's URL.
        where: the place in it, outermost name first; empty for the document as a whole.
        why: what is wrong there.
    """

    def __init__(self, document: str, why: str, where: str = "", cure: str = _CURE) -> None:
        place = f"{document}, {where}" if where else document
        super().__init__(f"{place}: {why}", cure)
        self.document = document
        self.where = where
        self.why = why


class Node:
    """A JSON object at a place in a document; the accessors refuse what has the wrong type."""

    def __init__(self, document: str, where: str, value: Mapping[str, Any]) -> None:
        self.document = document
        self.where = where
        self._value = value

    def refuse(self, why: str, key: str = "") -> NoReturn:
        """Refuse the whole document because of what stands here, or under ``key``."""
        raise DocumentRefused(self.document, why, self._place(key) if key else self.where)

    def text(self, key: str) -> str:
        """Return the text under ``key``; missing or of another type refuses the document."""
        value = self.optional_text(key)
        if value is None:
            self.refuse("is missing", key)
        return value

    def optional_text(self, key: str) -> str | None:
        """Return the text under ``key``, or None where there is none."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, str):
            self.refuse(f"is {_kind(value)}, not a text", key)
        return value

    def tags(self) -> dict[str, str | int]:
        """Return the texts and whole numbers that stand directly in this object."""
        return {
            key: value
            for key, value in self._value.items()
            if isinstance(value, str | int) and not isinstance(value, bool)
        }

    def value(self, key: str) -> object:
        """Return whatever stands under ``key``, or None."""
        return self._value.get(key)

    def children(self, key: str) -> Iterator[tuple[str, "Node"]]:
        """Yield the objects under ``key`` with their names; anything else there is refused."""
        holder = self._value.get(key)
        if not isinstance(holder, dict):
            self.refuse("is missing" if holder is None else f"is {_kind(holder)}", key)
        for name, value in holder.items():
            place = f"{self._place(key)} / {quoting.shown(name)}"
            if not isinstance(value, dict):
                raise DocumentRefused(self.document, f"is {_kind(value)}, not an object", place)
            yield name, Node(self.document, place, value)

    def _place(self, key: str) -> str:
        return f"{self.where} / {key}" if self.where else key


def parse(document: str, payload: bytes) -> Node:
    """Return the JSON object that ``payload`` holds.

    Args:
        document: its name, for what is said about it.
        payload: the verified bytes.

    Raises:
        DocumentRefused: not UTF-8, not JSON, a key given twice in one object, nested deeper than
            ``MAX_DEPTH``, a number that is none, a text longer than ``MAX_TEXT`` or with a NUL or
            a lone surrogate in it, or anything but an object at the top.
    """
    try:
        text = payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DocumentRefused(document, f"is not UTF-8 at byte {error.start}") from None
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise DocumentRefused(document, f"is nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        why = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise DocumentRefused(document, why) from None
    except ValueError as error:
        raise DocumentRefused(document, f"is not JSON as we read it: {error}") from None
    _check_depth_and_text(document, value)
    if not isinstance(value, dict):
        raise DocumentRefused(document, f"is {_kind(value)}, not an object")
    return Node(document, "", value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {quoting.shown(key)!r} is given twice in one object")
            seen.add(key)
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _check_depth_and_text(document: str, value: object) -> None:
    # A stack of our own, since a document may nest up to the interpreter's own limit.
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            _check_text(document, item)
        elif isinstance(item, dict | list):
            if depth > MAX_DEPTH:
                raise DocumentRefused(document, f"is nested deeper than {MAX_DEPTH}")
            if isinstance(item, dict):
                for key in item:
                    _check_text(document, key)
                item = list(item.values())
            waiting.extend((child, depth + 1) for child in item)


def _check_text(document: str, text: str) -> None:
    if len(text) > MAX_TEXT:
        why = f"the text {text[:80]!r}... has {len(text)} characters; the limit is {MAX_TEXT}"
        raise DocumentRefused(document, why)
    if "\0" in text:
        raise DocumentRefused(document, f"the text {text[:80]!r} holds a NUL")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise DocumentRefused(document, f"the text {text[:80]!r} is not Unicode") from None


def _kind(value: object) -> str:
    names: dict[type, str] = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number with a fraction",
    }
    return names.get(type(value), "null")
