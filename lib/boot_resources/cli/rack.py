"""``boot-resources rack``: run a rack controller, check its settings, or have them read again."""

import functools
import json
import pathlib
from typing import Any

import click

from boot_resources import units
from boot_resources.cli import controllers, output
from boot_resources.service import local
from boot_resources.settings import files


@click.group("rack")
def group() -> None:
    """Run a rack controller: it fetches from regions on demand and serves machines."""


@group.command()
@controllers.settings_option
def run(settings: pathlib.Path | None) -> None:
    """Run the rack in the foreground until SIGTERM; systemd is told when it serves.

    SIGHUP does what `boot-resources rack reload` does.
    """
    import asyncio
    import signal

    from boot_resources.rack import controller
    from boot_resources.service import lifecycle, logs

    path = settings or files.default_path("rack")
    loaded = files.load_rack(path)
    logs.configure(loaded.log_level)

    async def main(stop: asyncio.Event) -> None:
        rack = controller.RackController(loaded, functools.partial(files.load_rack, path))
        hung_up = rack.settings.reload_soon
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)
        await rack.run(stop)

    # Machines are served by sendfile, which asyncio's own loop has and uvloop has not.
    lifecycle.run(main)


@group.command()
@controllers.settings_option
@output.as_json
def check(settings: pathlib.Path | None, as_json: bool) -> None:
    """Check the settings file and the certificates that it names; start nothing."""
    from boot_resources.plane import members, tls

    path = settings or files.default_path("rack")
    loaded = files.load_rack(path)
    plane = loaded.plane
    identity = tls.Identity(plane.certificate, plane.key, plane.authority)
    tls.require_name(identity, loaded.name)
    tls.client_context(identity)
    members.load(plane.members)
    if as_json:
        output.document({"settings": str(path), "controller": "rack", "name": loaded.name})
    else:
        click.echo(f"{path}: the settings of rack {loaded.name} are right")


@group.command()
@controllers.talks_to("rack")
@output.as_json
def reload(controller: local.Controller, as_json: bool) -> None:
    """Have the running rack read its settings file again, and show what that changes.

    The size of the cache and the log level change at once, all else at a restart. A file that is
    wrong changes nothing.
    """
    done = controller.post("/reload")
    if as_json:
        output.document(done)
    elif not done["changed"]:
        click.echo("the settings file says what is in force")
    else:
        rows = [
            [
                each["key"],
                _value(each["key"], each["before"]),
                _value(each["key"], each["asked"]),
                "now" if each["live"] else "at a restart",
            ]
            for each in done["changed"]
        ]
        output.table(["setting", "in force before", "in the file", "takes effect"], rows)


def _value(key: str, value: Any) -> str:
    if key == "cache.size":
        return units.format_size(value)
    return value if isinstance(value, str) else json.dumps(value)
