"""The entry of the command: which groups there are, and how a refusal is said.

Exit statuses: 0 done; 1 refused or failed; 2 the command line or a settings file is wrong; 3 the
controller does not answer; 4 a check found something that is not right; 130 interrupted.
"""

import importlib
import json
import sys
from typing import NoReturn

import click

import boot_resources
from boot_resources import errors

_GROUPS = {
    "ca": ("ca", "group"),
    "cache": ("cache", "group"),
    "demo": ("demo", "command"),
    "images": ("images", "group"),
    "migrate": ("migrate", "command"),
    "rack": ("rack", "group"),
    "region": ("region", "group"),
    "selections": ("selections", "group"),
    "sources": ("sources", "group"),
    "status": ("status", "command"),
    "store": ("store", "group"),
    "sync": ("sync", "command"),
    "verify": ("verify", "command"),
}
_INTERRUPTED = 130
_REGION_PACKAGES = frozenset({"alembic", "gnupg", "psycopg", "sqlalchemy", "uvloop"})
"""What an installation for a rack does not have."""


class _LazyGroup(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _GROUPS:
            return None
        module, attribute = _GROUPS[cmd_name]
        loaded = importlib.import_module(f"boot_resources.cli.{module}")
        command: click.Command = getattr(loaded, attribute)
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done; 1 refused or failed; 2 wrong command line or settings; 3 the "
    "controller does not answer; 4 a check found something that is not right.",
)
@click.version_option(boot_resources.__version__, prog_name="boot-resources")
def command() -> None:
    """Keep the boot images of a bare-metal cloud, and serve them to its machines.

    Region controllers keep images from a signed source; rack controllers fetch from them on demand
    and serve machines. `boot-resources demo` shows all of it on this machine.
    """


def main() -> NoReturn:
    """Run the command; every refusal is said in a line or two, with its cure."""
    try:
        # With standalone_mode off, click returns the status that a command exits with.
        status = command(prog_name="boot-resources", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else errors.EXIT_OK)
    except errors.BootResourcesError as error:
        _refuse(error)
        sys.exit(error.exit_status)
    except click.ClickException as error:
        _show_usage(error)
        sys.exit(errors.EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except ModuleNotFoundError as error:
        if error.name not in _REGION_PACKAGES:
            raise
        _refuse(_needs_the_region(error.name))
        sys.exit(errors.EXIT_FAILED)


def _needs_the_region(package: str | None) -> errors.BootResourcesError:
    return errors.BootResourcesError(
        f"this installation is for a rack: the package {package} is not here",
        "install for a region: pip install 'boot-resources[region]'",
    )


def _show_usage(error: click.ClickException) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": error.format_message(), "cure": "see --help"}))
    else:
        error.show()


def _refuse(error: errors.BootResourcesError) -> None:
    if "--json" in sys.argv:
        click.echo(json.dumps({"error": str(error), "cure": error.cure}))
        return
    for line in str(error).splitlines():
        click.secho(f"error: {line}", fg="red", err=True)
    if error.cure:
        click.echo(f"  cure: {error.cure}", err=True)
