"""``boot-resources region``: run a region controller, or check its settings."""

import logging
import pathlib

import click

from boot_resources.cli import controllers, output
from boot_resources.settings import files

logger = logging.getLogger(__name__)


@click.group("region")
def group() -> None:
    """Run a region controller: it keeps images from the boot source and serves racks."""


@group.command()
@controllers.settings_option
def run(settings: pathlib.Path | None) -> None:
    """Run the region in the foreground until SIGTERM; systemd is told when it serves.

    SIGHUP changes nothing: a region reads its settings at the start.
    """
    import asyncio
    import signal

    import uvloop

    from boot_resources.region import controller
    from boot_resources.service import lifecycle, logs

    loaded = files.load_region(settings or files.default_path("region"))
    logs.configure(loaded.log_level)

    async def main(stop: asyncio.Event) -> None:
        # It would end the process without a word, and systemd takes that for a clean end.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, _refuse_to_reload)
        await controller.RegionController(loaded).run(stop)

    # uvloop's TLS is about ten times as fast as asyncio's; a region serves nothing without TLS.
    lifecycle.run(main, uvloop.new_event_loop)


def _refuse_to_reload() -> None:
    logger.warning("SIGHUP changes nothing: a region reads its settings at the start; restart it")


@group.command()
@controllers.settings_option
@output.as_json
def check(settings: pathlib.Path | None, as_json: bool) -> None:
    """Check the settings file, the certificates and keys that it names; start nothing."""
    from boot_resources.plane import members, tls
    from boot_resources.source import keyring

    path = settings or files.default_path("region")
    loaded = files.load_region(path)
    plane = loaded.plane
    identity = tls.Identity(plane.certificate, plane.key, plane.authority)
    tls.require_name(identity, loaded.name)
    tls.server_context(identity)
    members.load(plane.members)
    keys = loaded.source.keyring_bytes() if loaded.source is not None else None
    if keys is not None:
        keyring.Keyring(keys)
    if as_json:
        output.document({"settings": str(path), "controller": "region", "name": loaded.name})
    else:
        click.echo(f"{path}: the settings of region {loaded.name} are right")
