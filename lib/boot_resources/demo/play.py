"""The demonstration: a source, a region, a rack, and machines that boot all at once."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from boot_resources import errors, units
from boot_resources.demo import machines, origin, report, signed_source, site, truth

_SHOW_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to demonstrate.

    Attributes:
        directory: where everything lies.
        machines: how many boot.
        size: bytes of the generated source.
        seed: of its payloads.
        source: URL of a real source; None generates one.
        keyring: file of its keys; None for an unsigned one.
        selections: ``(os, release, arch)`` each.
    """

    directory: pathlib.Path
    machines: int = 20
    size: int = 200 * units.MIB
    seed: int = 1
    source: str | None = None
    keyring: pathlib.Path | None = None
    selections: Sequence[tuple[str, str, str]] = (("*", "*", "*"),)


class Audience(Protocol):
    """Whoever watches."""

    def scene(self, text: str) -> None:
        """Say what happens next."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far it is, in bytes."""


@dataclasses.dataclass(frozen=True)
class Played:
    """A demonstration that is over, its processes still running."""

    site: site.Site
    report: report.Report
    wrong: tuple[str, ...]


@contextlib.contextmanager
def play(plan: Plan, audience: Audience) -> Iterator[Played]:
    """Play the demonstration; what it started runs until the end of the block.

    Raises:
        errors.BootResourcesError: a part of it could not be started, or never got ready.
    """
    _take_directory(plan.directory)
    with contextlib.ExitStack() as stack:
        source, expected, keyring = _open_source(plan, audience, stack)
        wishes = site.Wishes(source.url, keyring, plan.selections)
        cloud = stack.enter_context(site.Site(plan.directory, wishes))
        began = time.monotonic()
        audience.scene("the region fetches from the source")
        cloud.start("region")
        total = sum(expected.objects.values())
        cloud.wait_until_available(
            expected.images,
            lambda status: audience.progress("into the region", status["storage"]["bytes"], total),
        )
        synced = time.monotonic()
        cloud.start("rack")
        cloud.wait_until_listed(expected.images)
        menus = expected.menus(plan.machines)
        audience.scene(f"{plan.machines} machines boot at once through the rack")
        boot_began = time.monotonic()
        boots = _boot(cloud, menus, audience)
        ended = time.monotonic()
        made = _report(cloud, source, expected, menus, boots, (synced - began, ended - boot_began))
        made = dataclasses.replace(made, seconds=round(ended - began, 3))
        yield Played(cloud, made, tuple(text for boot in boots for text in boot.wrong))


def _take_directory(directory: pathlib.Path) -> None:
    """Make sure that the directory is there and empty: what lies there would not be counted."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        is_used = any(directory.iterdir())
    except OSError as error:
        raise errors.SettingsError(
            f"cannot use the directory {directory}: {error.strerror}", "choose another place"
        ) from None
    if is_used:
        raise errors.SettingsError(
            f"the directory {directory} is not empty",
            "name an empty one: the demonstration counts every byte from the first",
        )


def _open_source(
    plan: Plan, audience: Audience, stack: contextlib.ExitStack
) -> tuple[origin.Origin | origin.RelayOrigin, truth.Truth, pathlib.Path | None]:
    if plan.source is not None:
        relay = stack.enter_context(origin.RelayOrigin(plan.source))
        audience.scene(f"reading {plan.source}, through a relay that counts its bytes")
        keys = plan.keyring.read_bytes() if plan.keyring is not None else None
        return relay, truth.of_real(relay.url, keys, plan.selections), plan.keyring
    audience.scene(f"making a signed source of {units.format_size(plan.size)}")
    source = signed_source.small_cloud(plan.directory / "source", plan.size, plan.seed)
    stack.callback(source.close)
    served = stack.enter_context(origin.Origin(source.directory))
    return served, truth.of_generated(source), source.keyring


def _boot(
    cloud: site.Site, menus: Sequence[Sequence[machines.Wanted]], audience: Audience
) -> list[machines.Boot]:
    total = sum(wanted.size for menu in menus for wanted in menu)
    tally = _Tally(audience, total)
    return machines.boot_all(cloud.rack_url, menus, tally.add)


class _Tally:
    """Adds up what machines receive, and shows it now and then."""

    def __init__(self, audience: Audience, total: int) -> None:
        self._audience = audience
        self._total = total
        self._done = 0
        self._shown = 0.0

    def add(self, count: int) -> None:
        # Several threads add; a lost count only makes the bar a little short of the truth.
        self._done += count
        if time.monotonic() - self._shown > _SHOW_SECONDS:
            self._shown = time.monotonic()
            self._audience.progress("to the machines", self._done, self._total)


def _report(
    cloud: site.Site,
    source: origin.Origin | origin.RelayOrigin,
    expected: truth.Truth,
    menus: Sequence[Sequence[machines.Wanted]],
    boots: Sequence[machines.Boot],
    halves: tuple[float, float],
) -> report.Report:
    region = cloud.region.get("/status")
    cache = cloud.rack.get("/status")["cache"]
    asked = {wanted.sha256: wanted.size for menu in menus for wanted in menu}
    served = sum(boot.received for boot in boots)
    filled = region["served"]["rack"]
    counted = {
        "upstream_bytes": source.payload_bytes,
        "rack_fill_bytes": filled,
        "served_bytes": served,
        "held_bytes": sum(expected.objects.values()),
    }
    told = {
        "upstream_bytes": region["ledger"].get(site.REGION, {}).get("upstream_bytes", 0),
        "rack_fill_bytes": cache["fill_bytes"],
        "served_bytes": cache["served_bytes"],
        "held_bytes": region["storage"]["bytes"],
    }
    return report.Report(
        regions=1,
        racks=1,
        machines=len(boots),
        images=expected.images,
        objects=len(expected.objects),
        bytes=sum(expected.objects.values()),
        upstream_bytes=source.payload_bytes,
        rack_fill_bytes=filled,
        served_bytes=served,
        mismatches=sum(len(boot.wrong) for boot in boots),
        seconds=0.0,
        asked_bytes=sum(asked.values()),
        hit_ratio=1 - filled / served if served else 0.0,
        sync_seconds=round(halves[0], 3),
        boot_seconds=round(halves[1], 3),
        regions_detail=(
            {
                "name": site.REGION,
                "objects": region["storage"]["objects"],
                "bytes": region["storage"]["bytes"],
                "upstream_bytes": told["upstream_bytes"],
                "served_to_racks": filled,
            },
        ),
        disagreements=(
            *report.compare(counted, told),
            *report.each_once("upstream_bytes", source.payload_bytes, expected.objects),
            *report.each_once("rack_fill_bytes", filled, asked),
        ),
    )
