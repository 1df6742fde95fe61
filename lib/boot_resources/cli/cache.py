"""``boot-resources cache``: what a rack's cache holds."""

import click

from boot_resources import units
from boot_resources.cli import controllers, output, status
from boot_resources.service import local


@click.group("cache")
def group() -> None:
    """Look into a rack's cache, or drop objects from it."""


@group.command("status")
@controllers.talks_to("rack")
@output.as_json
def show(controller: local.Controller, as_json: bool) -> None:
    """Show how full the cache is and what is in it, the most recently used first."""
    found = controller.get("/cache")
    if as_json:
        output.document(found)
        return
    output.facts(
        [("cache", status.describe_cache(found)), ("served", status.describe_served(found))]
    )
    rows = [
        [
            each["sha256"][:12],
            units.format_size(each["space"]),
            "whole" if each["whole"] else "partial",
            each["name"],
        ]
        for each in found["contents"]
    ]
    output.table(["object", "on disk", "state", "a name of it"], rows, right=["on disk"])


@group.command("drop")
@click.argument("objects", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Drop all that is not in use.")
@controllers.talks_to("rack")
@output.as_json
def drop(
    controller: local.Controller, objects: tuple[str, ...], everything: bool, as_json: bool
) -> None:
    """Drop OBJECTS (at least 7 digits of their sha256); what is in use stays."""
    if everything == bool(objects):
        raise click.UsageError("name objects, or give --all")
    done = controller.post("/cache/drop", objects=objects, all=everything)
    if as_json:
        output.document(done)
    else:
        click.echo(f"objects dropped: {len(done['dropped'])}, in use: {len(done['in_use'])}")
