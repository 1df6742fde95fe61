"""Which controller of this host a command means."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import click

from boot_resources import errors
from boot_resources.service import local
from boot_resources.settings import files

_F = TypeVar("_F", bound=Callable[..., Any])


def on_this_host(settings: pathlib.Path | None) -> list[local.Controller]:
    """Return the controllers of this host: the one of that settings file, or all with one.

    Raises:
        errors.SettingsError: the file cannot be read, or there is none.
    """
    if settings is not None:
        return [local.Controller(*files.peek(settings))]
    found = [path for path in map(files.default_path, files.MODELS) if path.exists()]
    if not found:
        raise errors.SettingsError(
            f"there is no settings file in {files.DIRECTORY}",
            "name one with --settings FILE (or the variable BOOT_RESOURCES_SETTINGS)",
        )
    return [local.Controller(*files.peek(path)) for path in found]


def of_kind(kind: str, settings: pathlib.Path | None) -> local.Controller:
    """Return the controller of that kind.

    Raises:
        errors.SettingsError: its settings file cannot be read, or is of the other kind.
    """
    path = settings or files.default_path(kind)
    controller = local.Controller(*files.peek(path))
    if controller.kind != kind:
        raise errors.SettingsError(
            f"{path} is for a {controller.kind}; this command talks to a {kind}",
            f"name the settings file of a {kind} with --settings FILE",
        )
    return controller


settings_option = click.option(
    "--settings",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    envvar="BOOT_RESOURCES_SETTINGS",
    help="The controller's settings file.  [default: the one in /etc/boot-resources]",
)


def talks_to(kind: str) -> Callable[[_F], _F]:
    """Give a command the option ``--settings`` and, as first argument, the controller it means."""

    def decorate(function: _F) -> _F:
        @settings_option
        @functools.wraps(function)
        def wrapper(settings: pathlib.Path | None, *args: Any, **kwargs: Any) -> Any:
            return function(of_kind(kind, settings), *args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate
