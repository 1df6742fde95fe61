"""What an operator set, checked by the engine's own rules and refused in its own words."""

from collections.abc import Mapping
from typing import Any, TypeVar

import ops
import pydantic

from . import problems

AnyConfig = TypeVar("AnyConfig", bound=pydantic.BaseModel)
_SAID = {
    "extra_forbidden": "unknown key",
    "missing": "missing",
    "tuple_type": "write a list in brackets, for example [amd64]",
}
"""What some kinds of error of pydantic mean to whoever wrote the value."""


def load(charm: ops.CharmBase, model: type[AnyConfig]) -> AnyConfig:
    """Return the options of a charm.

    Raises:
        problems.Problem: one of them cannot be used; it is named.
    """
    try:
        return charm.load_config(model)
    except pydantic.ValidationError as error:
        raise _problem(charm.app.name, error) from None


def check(application: str, model: type[pydantic.BaseModel], told: Mapping[str, Any]) -> None:
    """Return if the engine can run with what it is to be told.

    Args:
        application: whose options it follows from.
        model: the engine's own.
        told: the settings, by the names that they have in the file.

    Raises:
        problems.Problem: it cannot; the first thing that is wrong is named, never its value.
    """
    try:
        model.model_validate(told)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise problems.Problem(
            f"the engine cannot run with these settings: {place}: {_say(first)}",
            f"see juju config {application}",
        ) from None


def _problem(application: str, error: pydantic.ValidationError) -> problems.Problem:
    """Return the first thing that is wrong: whoever has mended it is told of the next."""
    first = error.errors(include_url=False, include_context=False)[0]
    option, *place = (str(part) for part in first["loc"])
    option = option.replace("_", "-")
    named = ".".join([option, *place])
    return problems.Problem(
        f"the option {named}: {_say(first)}", f"juju config {application} {option}=..."
    )


def _say(problem: Mapping[str, Any]) -> str:
    said = _SAID.get(problem["type"], str(problem["msg"]))
    return said.removeprefix("Value error, ").replace("Input should be", "it must be")
