"""The hook tools for actions. Their log is seen at once; results stand at the action's end."""

import re
from typing import Any

from . import context, state
from .tools import Given, pairs, tool

_RESULT_KEY = re.compile(r"[a-z0-9](([a-z0-9-.]+)?[a-z0-9])?")
_RESERVED = {"stdout", "stdout-encoding", "stderr", "stderr-encoding"}


@tool("action-get", query=True)
def action_get(running: context.Context, given: Given) -> Any:
    value: Any = _action(running).parameters
    if given.words:
        for key in given.words.pop(0).split("."):
            value = value.get(key) if isinstance(value, dict) else None
    return value


@tool("action-set")
def action_set(running: context.Context, given: Given) -> None:
    action = _action(running)
    for key, value in pairs(given):
        *outer, last = key.split(".")
        for part in (*outer, last):
            if not _RESULT_KEY.fullmatch(part):
                raise context.Refused(
                    f'key "{part}" must start and end with lowercase alphanumeric, and contain '
                    "only lowercase alphanumeric, hyphens and periods"
                )
            if part in _RESERVED:
                raise context.Refused(f'cannot set reserved action key "{part}"')
        inner = action.results
        for part in outer:
            if not isinstance(inner.get(part), dict):
                inner[part] = {}
            inner = inner[part]
        inner[last] = value


@tool("action-fail")
def action_fail(running: context.Context, given: Given) -> None:
    action = _action(running)
    action.failed = True
    action.message = given.words.pop(0) if given.words else "action failed without reason given"


@tool("action-log")
def action_log(running: context.Context, given: Given) -> None:
    _action(running).log.append(given.word("no message specified"))


def _action(running: context.Context) -> state.Action:
    if running.hook.action is None:
        raise context.Refused("not running an action")
    return running.hook.action
