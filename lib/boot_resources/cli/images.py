"""``boot-resources images``: what this cluster has, and how far each image is."""

from typing import Any

import click

from boot_resources import units
from boot_resources.cli import controllers, output
from boot_resources.service import local


@click.group("images")
def group() -> None:
    """Look at the images of the cluster, or take one out."""


@group.command("list")
@controllers.talks_to("region")
@output.as_json
def list_images(controller: local.Controller, as_json: bool) -> None:
    """List every image: available ones, those on their way, and those that are superseded."""
    found = controller.get("/images")
    if as_json:
        output.document(found)
        return
    rows = [
        [
            image["name"],
            image["title"],
            image["state"],
            units.format_size(image["size"]),
            _held(image),
            "no longer offered" if image["dropped"] else "",
        ]
        for image in found["images"]
    ]
    output.table(["image", "title", "state", "size", "held", "note"], rows, right=["size", "held"])
    if found.get("withheld"):
        text = "none of them is offered before the migration out of MAAS has succeeded"
        click.secho(text, fg="yellow", err=True)


def _held(image: dict[str, Any]) -> str:
    if not image["held"]:
        return ""
    least = min(image["held"].values())
    return f"{100 * least / image['size']:.0f} %" if image["size"] else "100 %"


@group.command("show")
@click.argument("name")
@controllers.talks_to("region")
@output.as_json
def show(controller: local.Controller, name: str, as_json: bool) -> None:
    """Show one image, os/arch/subarch/release/label/version, with its files."""
    image = controller.get("/images/show", name=name)
    if as_json:
        output.document(image)
        return
    output.facts(
        [
            ("image", image["name"]),
            ("title", image["title"]),
            ("state", image["state"]),
            ("available since", image["since"] or "-"),
            ("size", units.format_size(image["size"])),
        ]
    )
    rows = [
        [
            item["filename"],
            item["ftype"],
            units.format_size(item["size"]),
            item["sha256"],
            ", ".join(item["held_by"]) or "nobody yet",
        ]
        for item in image["items"]
    ]
    output.table(["file", "type", "size", "sha256", "held by"], rows, right=["size"])


@group.command("remove")
@click.argument("name")
@click.option("--force", is_flag=True, help="Even if it is selected: the next sync fetches it.")
@controllers.talks_to("region")
@output.as_json
def remove(controller: local.Controller, name: str, force: bool, as_json: bool) -> None:
    """Take an image out that no selection picks any more: superseded, or no longer offered."""
    removed = controller.post("/images/remove", name=name, force=force)
    if as_json:
        output.document(removed)
    else:
        click.echo(f"removed {removed['removed']}; objects that nothing else needs go with it")
