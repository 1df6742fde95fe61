"""``boot-resources status``: how the controllers of this host are."""

import pathlib
import time
from typing import Any

import click

from boot_resources import errors, units
from boot_resources.cli import controllers, output
from boot_resources.service import local

_UNKNOWN = "unknown while the catalog cannot be asked"


@click.command("status")
@controllers.settings_option
@output.as_json
@click.pass_context
def command(ctx: click.Context, settings: pathlib.Path | None, as_json: bool) -> None:
    """Show how the region and the rack on this host are, and what is wrong with them."""
    found = []
    silent: list[local.Unreachable] = []
    for each in controllers.on_this_host(settings):
        try:
            found.append(each.get("/status"))
        except local.Unreachable as error:
            silent.append(error)
    if as_json:
        refusals = [{"error": str(error), "cure": error.cure} for error in silent]
        output.document([*found, *refusals])
        ctx.exit(errors.EXIT_UNREACHABLE if silent else errors.EXIT_OK)
    _show(found)
    for unreachable in silent:
        raise unreachable


def _show(found: list[dict[str, Any]]) -> None:
    for status in found:
        output.facts(_region(status) if status["controller"] == "region" else _rack(status))
        standing = status["notices"] + status.get("other_notices", [])
        output.notices(standing)
        if not standing:
            click.echo("nothing is wrong")
        if status is not found[-1]:
            click.echo()


def _region(status: dict[str, Any]) -> list[tuple[str, str]]:
    storage = status["storage"]
    source = status["source"]
    upstream = status["ledger"].get(status["name"], {}).get("upstream_bytes", 0)
    is_known = status["catalog_answers"]
    return [
        ("region", f"{status['name']}, version {status['version']}"),
        ("up", units.format_duration(status["uptime"])),
        ("cluster", f"{status['cluster']}, epoch {status['epoch']}"),
        ("source", _source(source) if is_known else _UNKNOWN),
        ("available", output.count(status["images"], "image")),
        (
            "storage",
            (
                f"{output.count(storage['objects'], 'object')}, "
                f"{units.format_size(storage['bytes'])} in {storage['path']}; "
                f"{units.format_size(storage['free'])} free, "
                f"{units.format_size(storage['reserve'])} of it left free"
            ),
        ),
        (
            "from upstream",
            f"{units.format_size(upstream)} since the beginning" if is_known else _UNKNOWN,
        ),
        ("sync", _sync(status["sync"])),
        *_migration(status["migration"], status["handover"]),
        ("catalog", status["catalog"]),
    ]


def _source(source: dict[str, Any] | None) -> str:
    if source is None:
        return "none"
    signed = "signed" if source["signed"] else "UNSIGNED"
    declared = "declared in the settings file" if source["declared"] else "set by command"
    return f"{source['url']} ({signed}, {declared})"


def _sync(sync: dict[str, Any]) -> str:
    if sync["phase"] == "fetching":
        return (
            f"fetching: {units.format_size(sync['done'])} of {units.format_size(sync['total'])}, "
            f"{units.format_size(sync['rate'])}/s"
        )
    if sync["phase"] != "idle":
        return str(sync["phase"])
    if sync["last_ended"] is None:
        return "not yet"
    ago = units.format_duration(time.time() - sync["last_ended"])
    if sync["last_error"]:
        return f"failed {ago} ago: {sync['last_error']}"
    if sync["last_outcome"].get("unread"):
        return f"ended {ago} ago without the boot source, which could not be read"
    failures = len(sync["last_outcome"]["failures"])
    failed = output.count(failures, "failure")
    return f"ended {ago} ago" + (f" with {failed}" if failures else "")


def _migration(run: dict[str, Any], handover: dict[str, Any] | None) -> list[tuple[str, str]]:
    """Return a line about the migration, where there is one."""
    if run["under_way"] and run["progress"]:
        here, total = run["progress"]["here"], run["progress"]["total"]
        return [("migration", f"{units.format_size(here)} of {units.format_size(total)}")]
    if handover is None:
        return []
    if handover["finished"]:
        return [("migration", f"finished {handover['finished']}: MAAS's database is free of it")]
    if handover["succeeded"]:
        still = sum(each["resolution"] == "open" for each in handover["set_aside"])
        left = f"; {output.count(still, 'file')} of a later run open" if still else ""
        return [("migration", f"succeeded {handover['succeeded']}{left}")]
    held_back = "; nothing is offered before it has succeeded" if handover["withholds"] else ""
    return [("migration", f"open{held_back}")]


def _rack(status: dict[str, Any]) -> list[tuple[str, str]]:
    cache = status["cache"]
    age = status["names_age"]
    confirmed = "never confirmed" if age is None else f"confirmed {units.format_duration(age)} ago"
    regions = [
        (
            "region",
            f"{each['address']}: "
            + (each["problem"] or output.count(each["transfers"], "transfer")),
        )
        for each in status["regions"]
    ]
    return [
        ("rack", f"{status['name']}, version {status['version']}"),
        ("up", units.format_duration(status["uptime"])),
        ("available", f"{status['images']} images, epoch {status['epoch']}, {confirmed}"),
        *regions,
        ("cache", describe_cache(cache)),
        ("served", describe_served(cache)),
    ]


def describe_cache(cache: dict[str, Any]) -> str:
    """Return how full a cache is, in one line."""
    over = f" ({units.format_size(cache['over'])} over it)" if cache["over"] else ""
    return (
        f"{output.count(cache['objects'], 'object')}, {units.format_size(cache['used'])} of "
        f"{units.format_size(cache['limit'])}{over} in {cache['path']}; "
        f"{cache['evictions']} evicted"
    )


def describe_served(cache: dict[str, Any]) -> str:
    """Return what a cache did, in one line."""
    ratio = cache["hit_ratio"]
    share = "" if ratio is None else f"; {100 * ratio:.1f} % of the bytes came from the cache"
    return (
        f"{units.format_size(cache['served_bytes'])} to machines, "
        f"{units.format_size(cache['fill_bytes'])} from regions{share}"
    )
