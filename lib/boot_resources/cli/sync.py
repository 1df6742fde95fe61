"""``boot-resources sync``: read the boot source now, and bring what is missing."""

from typing import Any

import click

from boot_resources import errors, units
from boot_resources.cli import controllers, output
from boot_resources.service import local


@click.command("sync")
@controllers.talks_to("region")
@click.option("--no-wait", is_flag=True, help="Ask for it and return at once.")
@output.as_json
@click.pass_context
def command(
    ctx: click.Context, controller: local.Controller, no_wait: bool, as_json: bool
) -> None:
    """Read the boot source now, fetch what is missing, and wait for the end.

    Interrupting the command does not interrupt the sync. The status is 1 if the source could not
    be read, or something could not be brought.
    """
    last = {}
    with output.bar("syncing", quiet=as_json or no_wait) as bar:
        for last in controller.follow("/sync"):
            if no_wait:
                break
            if bar is not None and last["phase"] == "fetching":
                bar.show(last["here"], last["total"], _detail(last))
    if as_json:
        output.document(last)
    elif no_wait:
        click.echo("asked for a sync; `boot-resources status` shows how far it is")
    else:
        _say(last)
    failed = not no_wait and (last["last_error"] or any(map(_is_in_the_way, last["notices"])))
    ctx.exit(errors.EXIT_FAILED if failed else errors.EXIT_OK)


def _is_in_the_way(notice: dict[str, str]) -> bool:
    return notice["scope"] in ("source", "sync") and notice["severity"] != "info"


def _detail(sync: dict[str, int]) -> str:
    return f"{sync['objects_done']}/{sync['objects_total']} objects"


def _say(last: dict[str, Any]) -> None:
    brought = last["brought"]
    restored = f", {brought['restored']} restored" if brought["restored"] else ""
    click.echo(
        f"{brought['objects']} objects brought, "
        f"{units.format_size(brought['upstream_bytes'])} from upstream{restored}, "
        f"{brought['dropped']} no longer needed"
    )
    output.notices(last["notices"])
