"""Reading settings files: the right model, or one clear line for everything that is wrong."""

import pathlib
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

import pydantic

from boot_resources import errors
from boot_resources.settings import rack, region

Settings = region.RegionSettings | rack.RackSettings

DIRECTORY = pathlib.Path("/etc/boot-resources")
MODELS: Mapping[str, type[region.RegionSettings] | type[rack.RackSettings]] = {
    "region": region.RegionSettings,
    "rack": rack.RackSettings,
}


def default_path(controller: str) -> pathlib.Path:
    """Return where the settings of that kind of controller lie unless told otherwise."""
    return DIRECTORY / f"{controller}.toml"


def load_region(path: pathlib.Path) -> region.RegionSettings:
    """Return the settings of a region controller.

    Raises:
        errors.SettingsError: with one line for everything that is wrong.
    """
    settings = load(path)
    if not isinstance(settings, region.RegionSettings):
        raise errors.SettingsError(f"{path}: these are the settings of a rack, not of a region")
    return settings


def load_rack(path: pathlib.Path) -> rack.RackSettings:
    """Return the settings of a rack controller.

    Raises:
        errors.SettingsError: with one line for everything that is wrong.
    """
    settings = load(path)
    if not isinstance(settings, rack.RackSettings):
        raise errors.SettingsError(f"{path}: these are the settings of a region, not of a rack")
    return settings


def load(path: pathlib.Path) -> Settings:
    """Return the settings in a file; its key ``controller`` says of which kind.

    Raises:
        errors.SettingsError: with one line for everything that is wrong.
    """
    values = _read(path)
    model = _model(path, values)
    try:
        # With a table that is there, what is wrong in its defaults is named by its place in it.
        return model.model_validate({"plane": {}} | values)
    except pydantic.ValidationError as error:
        lines = (f"{path}: {line}" for line in _lines(error, values))
        raise errors.SettingsError("\n".join(lines)) from None


def _read(path: pathlib.Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise errors.SettingsError(
            f"cannot read the settings file {path}: {error.strerror}",
            "name one with --settings FILE; docs/configuration.md shows a whole one",
        ) from None
    except ValueError as error:
        raise errors.SettingsError(f"{path}: this is not TOML: {error}") from None


def _model(
    path: pathlib.Path, values: Mapping[str, Any]
) -> type[region.RegionSettings] | type[rack.RackSettings]:
    model = MODELS.get(str(values.get("controller")))
    if model is None:
        raise errors.SettingsError(
            f'{path}: controller: say which this file is for: controller = "region" or "rack"'
        )
    return model


def _lines(error: pydantic.ValidationError, values: Mapping[str, Any]) -> Iterable[str]:
    for problem in error.errors(include_url=False, include_context=False):
        place = ".".join(str(part) for part in problem["loc"])
        yield f"{place}: {_say(problem)}" if place else _say(problem)


def _say(problem: Mapping[str, Any]) -> str:
    if problem["type"] == "extra_forbidden":
        return "unknown key; docs/configuration.md lists them all"
    if problem["type"] == "missing":
        return "missing, and it has no default"
    if problem["type"] == "string_pattern_mismatch":
        return f"{problem['input']!r} is not a name: up to 64 of a-z, 0-9, '.' and '-'"
    if problem["type"] in ("greater_than_equal", "less_than_equal"):
        return f"{problem['input']!r}: {str(problem['msg']).replace('Input should', 'it must')}"
    return str(problem["msg"]).removeprefix("Value error, ")


def peek(path: pathlib.Path) -> tuple[str, pathlib.Path]:
    """Return which controller a settings file is for, and its control socket.

    Nothing else is looked at: whoever asks a running controller need not be able to read its key.

    Raises:
        errors.SettingsError: the file cannot be read, or does not say.
    """
    values = _read(path)
    model = _model(path, values)
    default = rack.Control() if model is rack.RackSettings else region.Control()
    control = values.get("control", {})
    named = control.get("socket") if isinstance(control, dict) else None
    return str(values["controller"]), pathlib.Path(str(named)) if named else default.socket
