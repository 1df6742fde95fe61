"""``boot-resources verify``: hash everything that a region holds."""

import click

from boot_resources import errors, units
from boot_resources.cli import controllers, output
from boot_resources.service import local


@click.command("verify")
@controllers.talks_to("region")
@output.as_json
@click.pass_context
def command(ctx: click.Context, controller: local.Controller, as_json: bool) -> None:
    """Read and hash every object of this region, on all cores.

    What is damaged is set aside and fetched again. The status is 4 if there was any.
    """
    last = {}
    with output.bar("verifying", quiet=as_json) as bar:
        for last in controller.follow("/verify"):
            if bar is not None:
                bar.show(last["checked"], last["total"])
    if as_json:
        output.document(last)
    else:
        click.echo(
            f"{last['sound']} of {last['objects']} objects are sound, "
            f"{units.format_size(last['checked'])} read"
        )
        for each in last["findings"]:
            click.secho(f"{each['sha256']}  {each['verdict']}: {each['detail']}", fg="red")
        if last["findings"]:
            click.echo("what is wanted is fetched again; what is left of it is in damaged/")
        for stranger in last["strangers"]:
            click.echo(f"{stranger}  not ours; left alone")
    ctx.exit(errors.EXIT_DAMAGED if last["findings"] else errors.EXIT_OK)
