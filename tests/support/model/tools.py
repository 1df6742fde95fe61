"""What a hook tool is: how its arguments are read, run, and answered or refused.

Every tool is a function of the running hook's context and of what the charm gave; the modules
beside this one have them. A query returns a value, which is printed as JSON: charms written with
ops ask for nothing else.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import context

_TRUE = {"1", "t", "T", "TRUE", "true", "True"}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}


@dataclasses.dataclass
class Given:
    """What a charm gave to a tool: its options, its other arguments, and files that these name."""

    options: dict[str, str]
    words: list[str]
    files: Mapping[str, str]

    def switch(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.options.get(name) == "true"

    def word(self, missing: str) -> str:
        """Take the next argument; refused with this message where there is none."""
        if not self.words:
            raise context.Refused(missing)
        return self.words.pop(0)

    def end(self) -> None:
        """Refuse further arguments."""
        if self.words:
            raise context.Refused(f"unrecognized args: {self.words}")


@dataclasses.dataclass(frozen=True)
class Tool:
    """A tool: its function, the options that take a value, those that do not, and its kind."""

    run: Callable[[context.Context, Given], Any]
    values: frozenset[str]
    switches: frozenset[str]
    query: bool


TOOLS: dict[str, Tool] = {}

_Function = Callable[[context.Context, Given], Any]


def tool(
    name: str, values: str = "", switches: str = "", *, query: bool = False
) -> Callable[[_Function], _Function]:
    """Make a function the tool of this name.

    Args:
        name: of the tool.
        values: the options that take a value, in one string.
        switches: the options that do not.
        query: whether it prints what it returns as JSON.
    """

    def register(function: _Function) -> _Function:
        with_format = f"{values} format" if query else values
        TOOLS[name] = Tool(
            function, frozenset(with_format.split()), frozenset(switches.split()), query
        )
        return function

    return register


def call(running: context.Context, command: Sequence[str], files: Mapping[str, str]) -> str:
    """Run a tool; return what it prints.

    Raises:
        context.Refused: the tool fails.
    """
    found = TOOLS.get(command[0])
    if found is None:
        raise context.Refused(f"unknown command {command[0]!r}")
    given = _parse(found, command[1:], files)
    if found.query and given.options.get("format") != "json":
        raise context.Refused("this simulator answers with --format=json only")
    answer = found.run(running, given)
    given.end()
    return json.dumps(answer) + "\n" if found.query else answer or ""


def _parse(found: Tool, arguments: Sequence[str], files: Mapping[str, str]) -> Given:
    """Sort options from arguments; they may stand in any order, up to ``--``."""
    given, left = Given({}, [], files), list(arguments)
    while left:
        word = left.pop(0)
        if word == "--":
            given.words += left
            break
        if not word.startswith("-") or word == "-":
            given.words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        if name in found.switches:
            given.options[name] = _boolean(name, value if equals else "true")
        elif name not in found.values:
            raise context.Refused(f"option provided but not defined: {word.partition('=')[0]}")
        elif not equals and not left:
            raise context.Refused(f"option needs an argument: {word}")
        else:
            given.options[name] = value if equals else left.pop(0)
    return given


def _boolean(name: str, value: str) -> str:
    if value in _TRUE:
        return "true"
    if value in _FALSE:
        return "false"
    raise context.Refused(f'invalid value "{value}" for option --{name}')


def settings(given: Given) -> dict[str, str]:
    """Keys and values from ``--file`` and from arguments; an argument wins."""
    content: dict[str, Any] = {}
    if "file" in given.options:
        content = json.loads(given.files[given.options["file"]])
    wrong = sorted(key for key, value in content.items() if not isinstance(value, str))
    if wrong:
        raise context.Refused(f"the value of {wrong[0]!r} is no string")
    return content | dict(pairs(given))


def pairs(given: Given) -> list[tuple[str, str]]:
    """Return what arguments of the form ``key=value`` say."""
    found = []
    while given.words:
        key, equals, value = given.words.pop(0).partition("=")
        if not equals or not key:
            raise context.Refused(f'expected "key=value", got {key!r}')
        found.append((key, value))
    return found
