"""``boot-resources rack``: run a rack controller, or check its settings."""

import pathlib

import click

from boot_resources.cli import controllers, output
from boot_resources.settings import files


@click.group("rack")
def group() -> None:
    """Run a rack controller: it fetches from regions on demand and serves machines."""


@group.command()
@controllers.settings_option
def run(settings: pathlib.Path | None) -> None:
    """Run the rack in the foreground until SIGTERM; systemd is told when it serves."""
    import asyncio

    from boot_resources.rack import controller
    from boot_resources.service import lifecycle

    loaded = files.load_rack(settings or files.default_path("rack"))
    lifecycle.configure_logging(loaded.log_level)

    async def main(stop: asyncio.Event) -> None:
        await controller.RackController(loaded).run(stop)

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
