"""``boot-resources migrate``: take MAAS's images over; would it fit, and work; give space back."""

import getpass
import os
import pathlib
from typing import Any

import click

from boot_resources import errors, units
from boot_resources.cli import controllers, output
from boot_resources.service import local
from boot_resources.settings import files

_SHOWN = 20
"""How many files of one kind are named; all of them are counted, and in ``--json``."""


@click.command("migrate")
@click.option("--check", is_flag=True, help="Say whether it would fit and work; change nothing.")
@click.option("--online", is_flag=True, help="Go on while MAAS is connected to its database.")
@click.option(
    "--accept-lost", multiple=True, metavar="NAME", help="Give this image up; repeat for more."
)
@click.option("--finish", is_flag=True, help="Remove MAAS's images from its database, for good.")
@click.option("--yes-i-have-a-backup", "backup", is_flag=True, help="Needed with --finish.")
@click.option("--orphans", is_flag=True, help="With --finish: remove what nothing names, too.")
@controllers.settings_option
@output.as_json
@click.pass_context
def command(
    ctx: click.Context,
    check: bool,
    online: bool,
    accept_lost: tuple[str, ...],
    finish: bool,
    backup: bool,
    orphans: bool,
    settings: pathlib.Path | None,
    as_json: bool,
) -> None:
    """Take over the images in the MAAS database that the settings name, and wait for the end.

    Nothing in that database is changed. Run it again whenever you like: it goes on where it
    stopped. Interrupting the command does not interrupt the region. The status is 1 if something
    is still open, or with --check if it would not fit or not work.

    With --finish, and only then, the images leave MAAS's database, after each of them was hashed
    here from the disk. That cannot be undone.
    """
    _require_one_order(
        check=check,
        migrate=bool(accept_lost),
        online=online,
        finish=finish,
        rest=backup or orphans,
    )
    controller = controllers.of_kind("region", settings)
    if finish:
        if not backup:
            raise click.UsageError("--finish cannot be undone: say --yes-i-have-a-backup, too")
        _finish(controller, orphans=orphans, as_json=as_json)
        return
    if check:
        ready = _check(controller, settings, online=online, as_json=as_json)
        ctx.exit(errors.EXIT_OK if ready else errors.EXIT_FAILED)
    last: dict[str, Any] = {}
    orders = {"online": online, "accept_lost": list(accept_lost), "by": _who()}
    with output.bar("migrating", quiet=as_json) as bar:
        for last in controller.follow("/migrate", **orders):
            if bar is not None and "objects" in last:
                detail = f"{last['objects']}/{last['of_objects']} objects"
                bar.show(last["here"], last["total"], detail)
    if as_json:
        output.document(last)
    else:
        _say(last)
    ctx.exit(errors.EXIT_OK if last["succeeded"] else errors.EXIT_FAILED)


def _require_one_order(
    *, check: bool, migrate: bool, online: bool, finish: bool, rest: bool
) -> None:
    """Refuse options that do not go together."""
    if check and (migrate or finish):
        raise click.UsageError("--check changes nothing: leave --accept-lost and --finish out")
    if finish and (migrate or online):
        raise click.UsageError("--finish goes with neither --accept-lost nor --online")
    if rest and not finish:
        raise click.UsageError("--orphans and --yes-i-have-a-backup go with --finish")


def _finish(controller: local.Controller, *, orphans: bool, as_json: bool) -> None:
    """Have MAAS's images leave its database, and say what went and how much came back."""
    last: dict[str, Any] = {}
    said = ""
    with output.bar("hashing", quiet=as_json) as bar:
        for last in controller.follow("/migrate/finish", backup=True, orphans=orphans):
            if bar is None or "phase" not in last:
                continue
            if last["phase"] == "hashing":
                bar.show(last["here"], last["total"])
            elif last["phase"] != "looking" and (line := _phase(last)) != said:
                click.echo(line, err=True)
                said = line
    if as_json:
        output.document(last)
        return
    removed, space = last["removed"], last["space"]
    click.echo(
        f"sound here: {output.count(last['objects'], 'object')}, "
        f"{units.format_size(last['hashed'])} hashed; "
        f"{output.count(removed['objects'], 'large object')} and "
        f"{output.count(removed['largefiles'], 'large file')} left MAAS's database "
        f"({last['rows']}); {units.format_size(space['given_back'])} came back"
    )
    if space["vacuum"]:
        text = (
            f"the space did not come back: {space['problem']}; later, the database's owner or a "
            f"superuser says: {space['vacuum']};"
        )
        click.secho(text, fg="yellow", err=True)


def _phase(reached: dict[str, Any]) -> str:
    if not reached["total"]:
        return str(reached["phase"])
    return f"{reached['phase']}: {reached['here']} of {reached['total']} large objects"


def _who() -> str:
    """Return who gives the order, for the record: the user behind sudo, where there is one."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def _say(last: dict[str, Any]) -> None:
    _say_set_aside(last["set_aside"])
    read = units.format_size(last["read"])
    if last["succeeded"]:
        waiting = {e["image"] for e in last["set_aside"] if e["resolution"] == "re-download"}
        parts = [
            f"{output.count(len(last['added']), 'image')} taken over",
            f"{len(last['available'])} became available",
            *([f"{len(waiting)} to be completed by the sync"] if waiting else []),
            *([f"{len(last['parted'])} removed here before stay away"] if last["parted"] else []),
            f"{read} read",
        ]
        click.echo(f"{', '.join(parts)}; MAAS's database is as it was")
    else:
        click.echo(
            f"not done yet, {read} read: mend what is open in MAAS, or bring it with "
            "'boot-resources store adopt DIRECTORY', and run this again; or give its image up "
            "with --accept-lost NAME"
        )


def _say_set_aside(set_aside: list[dict[str, str]]) -> None:
    colours = {"open": "red", "lost": "yellow"}
    for each in set_aside:
        what = f"{each['image']} {each['filename']}".rstrip()
        line = f"{what}  {each['resolution']}: {each['reason']}"
        click.secho(line, fg=colours.get(each["resolution"]))


def _check(
    controller: local.Controller, settings: pathlib.Path | None, *, online: bool, as_json: bool
) -> bool:
    """Show what is known before an export; return whether it would fit and work."""
    try:
        found = controller.post("/migrate/check", online=online)
    except local.Unreachable:
        found = _check_here(settings, online=online)
    if as_json:
        output.document(found)
    else:
        _say_check(found)
    return bool(found["ready"])


def _check_here(settings: pathlib.Path | None, *, online: bool) -> dict[str, Any]:
    """Look at MAAS's database and at the store without a region, which is stopped."""
    from boot_resources.region import migrating, migration_orders
    from boot_resources.store import objects

    loaded = files.load_region(settings or files.default_path("region"))
    try:
        whole = list(objects.ObjectTree(loaded.storage.path).whole())
    except OSError:
        # It is not there yet; anything else that is wrong with it the check says.
        whole = []
    held = {each.sha256 for each in whole}
    return migration_orders.describe_check(migrating.check(loaded, held, online=online))


def _say_check(found: dict[str, Any]) -> None:
    counts = found["counts"]
    output.table(
        ("what", "number"),
        [
            ("resources that MAAS synced", str(counts["synced"])),
            ("resources that somebody uploaded", str(counts["uploaded"])),
            ("files", str(counts["files"])),
            ("distinct objects", str(counts["distinct"])),
            ("objects that several files share", str(counts["shared"])),
            ("files that cannot be taken over", str(len(found["broken"]))),
            ("leftovers of old bootloaders", str(counts["leftovers"])),
            ("large files that no file names", str(counts["unused"])),
            ("large objects that nothing names", str(counts["orphans"])),
        ],
        right=("number",),
    )
    took = units.format_duration(found["seconds"]) if found["seconds"] is not None else "no time"
    output.facts(
        [
            ("MAAS", found["maas"]),
            (
                "to read",
                f"{units.format_size(found['to_read'])}, about {took} over one connection",
            ),
            (
                "space",
                (
                    f"{units.format_size(found['needed'])} needed, "
                    f"{units.format_size(found['free'])} free, "
                    f"{units.format_size(found['reserve'])} of it left free"
                ),
            ),
            ("connected", ", ".join(map(_client, found["clients"])) or "nobody else"),
            ("reader", found["reader"] or "none"),
            ("by hand", found["query"]),
        ]
    )
    for each in found["broken"][:_SHOWN]:
        what = f"{each['image']} {each['filename']}".rstrip()
        click.secho(f"{what}  {each['reason']}", fg="yellow")
    if len(found["broken"]) > _SHOWN:
        click.echo(f"and {len(found['broken']) - _SHOWN} more; --json lists them all")
    if found["grant"] and found["reader"]:
        click.echo(f"by pages instead, if a superuser says: {found['grant']}")
    for each in found["blockers"]:
        click.secho(f"in the way: {each['text']}", fg="red")
        click.echo(f"  cure: {each['cure']}")
    if found["ready"]:
        click.echo("it would fit and work; nothing was changed")


def _client(client: dict[str, Any]) -> str:
    who = " ".join(filter(None, [client["user"], client["application"], client["address"]]))
    return f"{who} ({client['sessions']}{', MAAS' if client['is_maas'] else ''})"
