"""``boot-resources store``: take over a store, or objects out of somebody else's files."""

import pathlib
import sys
from typing import Any

import click

from boot_resources import errors, units
from boot_resources.cli import controllers, output
from boot_resources.settings import files


@click.group("store")
def group() -> None:
    """Take over an image-storage that is not this cluster's, or what is wanted of its files."""


@group.command("adopt")
@click.argument("directory", required=False, type=click.Path(path_type=pathlib.Path))
@controllers.settings_option
@click.option("--yes", is_flag=True, help="Do not ask, where no DIRECTORY is given.")
@output.as_json
@click.pass_context
def adopt(
    ctx: click.Context,
    directory: pathlib.Path | None,
    settings: pathlib.Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Take over what lies in DIRECTORY, or the region's own storage as a whole.

    With DIRECTORY, such as an image-storage of MAAS: the running region copies each file whose
    sha256 is that of a missing object. Nothing in DIRECTORY is changed.

    Without: the region is stopped, and its storage.path belongs to another cluster, as after its
    catalog was lost, or lost its mark. Every object in it is hashed, then it is this cluster's.

    The status is 4 if something was not what its name says.
    """
    if directory is None:
        damaged = _take_over(settings, yes=yes, as_json=as_json)
    else:
        damaged = _take_from(directory.absolute(), settings, as_json=as_json)
    ctx.exit(errors.EXIT_DAMAGED if damaged else errors.EXIT_OK)


def _take_from(directory: pathlib.Path, settings: pathlib.Path | None, *, as_json: bool) -> bool:
    """Have the region take what it wants of a directory; return whether files were wrong."""
    controller = controllers.of_kind("region", settings)
    last: dict[str, Any] = {}
    with output.bar("adopt:", quiet=as_json) as bar:
        for last in controller.follow("/store/adopt", directory=str(directory)):
            if bar is not None and "phase" in last:
                bar.show(last["here"], last["total"], last["phase"])
    counts = last["counts"]
    if as_json:
        output.document(last)
    else:
        _say_taken(last, counts)
    return bool(counts["wrong"] or counts["unreadable"])


def _say_taken(last: dict[str, Any], counts: dict[str, int]) -> None:
    for file in last["files"]:
        if file["outcome"] in ("wrong", "unreadable"):
            click.secho(f"{file['path']}  {file['outcome']}: {file['detail']}", fg="red")
    for file in last["files"]:
        if file["outcome"] == "unknown":
            click.echo(f"{file['path']}  not wanted")
    click.echo(
        f"{output.count(counts['taken'], 'file')} taken, {units.format_size(last['bytes'])}; "
        f"{counts['held']} were here already, {counts['unknown']} are not wanted, "
        f"{counts['wrong'] + counts['unreadable']} are not right; all of them are where they were"
    )


def _take_over(settings: pathlib.Path | None, *, yes: bool, as_json: bool) -> bool:
    """Make the region's own storage this cluster's; return whether objects were damaged."""
    from boot_resources.region import ownership
    from boot_resources.store import takeover

    loaded = files.load_region(settings or files.default_path("region"))
    question = ownership.ask(loaded)
    if not as_json:
        output.facts(_describe(question))
    if question.is_ours:
        if as_json:
            output.document({"changed": False, "cluster": question.cluster})
        else:
            click.echo("this store is the cluster's own; nothing was done")
        return False
    if not yes:
        _confirm(as_json=as_json)
    checked = 0

    def advance(size: int) -> None:
        nonlocal checked
        checked += size
        if bar is not None:
            bar.show(checked, question.survey.space)

    with output.bar("hashing", quiet=as_json) as bar:
        report = takeover.take_over(question.root, question.cluster, advance)
    found = [
        {"sha256": each.sha256, "verdict": each.verdict.value, "detail": each.detail}
        for each in report.findings
    ]
    if as_json:
        output.document(
            {
                "changed": True,
                "cluster": question.cluster,
                "before": question.survey.found.owner,
                "sound": len(report.sound),
                "findings": found,
            }
        )
        return bool(found)
    for each in found:
        click.secho(f"{each['sha256']}  {each['verdict']}: {each['detail']}", fg="red")
    click.echo(
        f"{output.count(len(report.sound), 'sound object')}, {len(found)} set aside in damaged/; "
        f"the store belongs to cluster {question.cluster} now. Start the region: what its catalog "
        "does not want moves to unknown/, and is kept there for storage.removed-grace. Selections "
        "that were made by command were in the catalog before: add those that you miss within "
        "that time, and what they want comes back without a download"
    )
    return bool(found)


def _describe(question: Any) -> list[tuple[str, str]]:
    survey = question.survey
    owner = survey.found.owner
    return [
        ("store", str(question.root)),
        ("belongs to", f"cluster {owner}" if owner else f"nobody: {survey.found.problem}"),
        ("holds", f"{survey.objects} objects, {units.format_size(survey.space)} on the disk"),
        ("catalog", f"{question.catalog}, cluster {question.cluster}, {question.images} images"),
    ]


def _confirm(*, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: say --yes")
    click.confirm("Hash all of it and make it this cluster's store?", abort=True)
