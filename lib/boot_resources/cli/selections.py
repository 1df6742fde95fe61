"""``boot-resources selections``: which images are wanted."""

import click

from boot_resources import errors
from boot_resources.cli import controllers, output
from boot_resources.service import local


@click.group("selections")
def group() -> None:
    """Say which images are wanted; bootloaders always are."""


@group.command("list")
@controllers.talks_to("region")
@output.as_json
def list_selections(controller: local.Controller, as_json: bool) -> None:
    """List the selections."""
    found = controller.get("/selections")
    if as_json:
        output.document(found)
        return
    rows = [
        [
            each["os"],
            each["release"],
            *(", ".join(each[key]) or "*" for key in ("arches", "subarches", "labels")),
        ]
        for each in found["selections"]
    ]
    output.table(["os", "release", "architectures", "subarchitectures", "labels"], rows)
    if found["declared"]:
        click.echo("declared in the settings file")


@group.command("add")
@click.argument("os")
@click.argument("release")
@click.option(
    "--arch", "arches", multiple=True, help="Architecture; repeat for more.  [default: *]"
)
@click.option("--subarch", "subarches", multiple=True, help="Subarchitecture.  [default: *]")
@click.option("--label", "labels", multiple=True, help="Label.  [default: *]")
@controllers.talks_to("region")
@output.as_json
def add(
    controller: local.Controller,
    os: str,
    release: str,
    arches: tuple[str, ...],
    subarches: tuple[str, ...],
    labels: tuple[str, ...],
    as_json: bool,
) -> None:
    """Select OS RELEASE as well ("*" matches everything); a sync follows."""
    if not os or not release:
        raise click.UsageError('OS and RELEASE cannot be empty; "*" matches everything')
    done = controller.post(
        "/selections/add",
        os=os,
        release=release,
        arches=arches,
        subarches=subarches,
        labels=labels,
    )
    if as_json:
        output.document(done)
    else:
        click.echo("selected" if done["changed"] else "it was selected so already")


@group.command("remove")
@click.argument("os")
@click.argument("release")
@controllers.talks_to("region")
@output.as_json
def remove(controller: local.Controller, os: str, release: str, as_json: bool) -> None:
    """Take every selection of OS RELEASE back; images that nothing else selects go."""
    done = controller.post("/selections/remove", os=os, release=release)
    if not done["removed"]:
        raise errors.BootResourcesError(
            f"nothing selects {os} {release}", "`boot-resources selections list` shows them"
        )
    if as_json:
        output.document(done)
    else:
        click.echo(f"selections removed: {len(done['removed'])}")
