"""``boot-resources sources``: where images come from."""

import pathlib
import sys
from typing import Any

import click

from boot_resources import errors, units
from boot_resources.cli import controllers, output
from boot_resources.service import local
from boot_resources.source import address


@click.group("sources")
def group() -> None:
    """Look at the boot source, set it, or check all that it offers."""


@group.command("show")
@controllers.talks_to("region")
@output.as_json
def show(controller: local.Controller, as_json: bool) -> None:
    """Show the boot source, and the documents of it that are in force."""
    found = controller.get("/sources")
    if as_json:
        output.document(found)
        return
    source = found["source"]
    if source is None:
        click.echo("there is no boot source; set one: boot-resources sources set URL")
        return
    output.facts(
        [
            ("url", source["url"]),
            ("signed", "yes" if source["signed"] else "no: unsigned documents are accepted"),
            ("set by", "the settings file" if source["declared"] else "this command"),
        ]
    )
    rows = [[each["path"], each["updated"], each["sha256"][:12]] for each in found["documents"]]
    output.table(["document in force", "dated", "sha256"], rows)


@group.command("set")
@click.argument("url")
@click.option(
    "--keyring",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="File of the GPG keys that must have signed it, binary or armoured.",
)
@click.option("--allow-unsigned", is_flag=True, help="Accept a source without signatures.")
@controllers.talks_to("region")
@output.as_json
def set_source(
    controller: local.Controller,
    url: str,
    keyring: pathlib.Path | None,
    allow_unsigned: bool,
    as_json: bool,
) -> None:
    """Make URL the boot source, unless the settings file declares one; a sync follows.

    URL may be -: then it is read from standard input. One that holds a password must be given so.
    """
    if url == "-":
        url = sys.stdin.readline().strip()
    elif address.holds_password(url):
        raise errors.SettingsError(
            "a URL with a password cannot be an argument: whoever is on this host sees it there",
            "give it on standard input: boot-resources sources set - ...; and as it was seen, "
            "change the password",
        )
    if keyring is not None and allow_unsigned:
        raise click.UsageError("--keyring and --allow-unsigned exclude each other")
    if keyring is None and not allow_unsigned:
        raise errors.SettingsError(
            "a source needs the keyring that signs it",
            "give --keyring FILE, or --allow-unsigned where nobody can interfere",
        )
    keys = keyring.read_bytes().hex() if keyring is not None else None
    done = controller.post("/sources/set", url=url, keyring=keys, allow_unsigned=allow_unsigned)
    if as_json:
        output.document(done)
    else:
        click.echo("the boot source is set" if done["changed"] else "it was set so already")


@group.command("check")
@controllers.talks_to("region")
@output.as_json
@click.pass_context
def check(ctx: click.Context, controller: local.Controller, as_json: bool) -> None:
    """Read the boot source as if for the first time, and list all that is found in it.

    Nothing is changed. The status is 4 if a document is refused or unreachable.
    """
    found = controller.post("/sources/check")
    if as_json:
        output.document(found)
    else:
        _say(found)
    bad = any(each["error"] for each in found["documents"])
    ctx.exit(errors.EXIT_DAMAGED if bad else errors.EXIT_OK)


@group.command("accept-older")
@click.option("--document", required=True, help="The document's path, as `sources show` lists it.")
@click.option("--reason", required=True, help="Why; it is logged and kept until it is used.")
@controllers.talks_to("region")
@output.as_json
def accept_older(controller: local.Controller, document: str, reason: str, as_json: bool) -> None:
    """Let DOCUMENT be older than the one in force, once; a sync follows.

    An older document is refused, because whoever holds back a newer one could bring back a fault
    that it mends. Lower this guard only when you know why the source went back.
    """
    done = controller.post("/sources/accept-older", document=document, reason=reason)
    if as_json:
        output.document(done)
    else:
        click.echo(f"the next {document} may be older than the one in force")


def _say(found: dict[str, Any]) -> None:
    click.echo(f"{found['url']} ({'signed' if found['signed'] else 'UNSIGNED'})")
    documents = [
        [
            each["path"],
            each["outcome"] if each["error"] else "accepted",
            "" if each["age"] is None else units.format_duration(each["age"]),
            each["error"],
        ]
        for each in found["documents"]
    ]
    output.table(["document", "verdict", "age", "why"], documents)
    products = [
        [
            product["name"],
            product["title"],
            product["versions"][-1] if product["versions"] else "",
            "yes" if product["wanted"] else "",
        ]
        for product in found["products"]
    ]
    output.table(["product", "title", "newest", "wanted"], products)
    if found["problems"]:
        problems = [[each["where"], each["text"]] for each in found["problems"]]
        output.table(["not used", "why"], problems)
    click.echo(
        f"wanted: {found['wanted_images']} images, {found['wanted_objects']} objects, "
        f"{units.format_size(found['wanted_bytes'])}"
    )
