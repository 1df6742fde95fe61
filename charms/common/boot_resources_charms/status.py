"""How a unit is, in Juju's words: from what systemd, the engine and its notices say now.

The rules, for both charms:

- a critical notice blocks the unit, with the notice's own cure;
- a warning blocks it where nothing is available to machines yet, or where the migration needs
  somebody; otherwise the unit is active, and says what is not as it should be: what is available
  goes on being served;
- what is only worth knowing is left to ``boot-resources status``.
"""

import enum
from collections.abc import Iterator
from typing import TypeVar

import ops
import pydantic

from boot_resources import units

from . import failures, problems, workload

_MIGRATION = "migration"
"""The engine's scope of notices about the migration: each of them waits for somebody."""


class _Said(pydantic.BaseModel):
    """Something that the engine said. Another version may say more, or not all of it."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Severity(enum.StrEnum):
    """How much a notice matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Notice(_Said):
    """One thing that the engine says is not as it should be."""

    scope: str = ""
    severity: Severity
    text: str
    cure: str = ""


class Sync(_Said):
    """How far a region's sync is, in bytes."""

    phase: str = "idle"
    done: int = 0
    total: int = 0


class Progress(_Said):
    """How far a migration is, in bytes."""

    here: int = 0
    total: int = 0


class Migration(_Said):
    """Whether a region migrates."""

    under_way: bool = False
    progress: Progress | None = None


class Region(_Said):
    """What ``boot-resources status`` says of a region."""

    images: int
    notices: tuple[Notice, ...] = ()
    sync: Sync = Sync()
    migration: Migration = Migration()


class Cache(_Said):
    """How a rack's cache is; sizes in bytes."""

    limit: int
    used: int
    hit_ratio: float | None = None


class Connection(_Said):
    """How a rack gets on with a region."""

    address: str
    problem: str | None = None


class Rack(_Said):
    """What ``boot-resources status`` says of a rack."""

    images: int
    notices: tuple[Notice, ...] = ()
    names_age: float | None = None
    regions: tuple[Connection, ...] = ()
    cache: Cache


AnyAnswer = TypeVar("AnyAnswer", Region, Rack)


def asked(machine: workload.Workload, answer: type[AnyAnswer]) -> AnyAnswer:
    """Return what the service says of itself.

    Args:
        machine: the unit's.
        answer: what it should say: ``Region`` or ``Rack``.

    Raises:
        failures.CommandFailed: it does not answer, or says something else.
    """
    try:
        return answer.model_validate(machine.ask("status"))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise failures.CommandFailed(
            "the service answers in words that this charm does not know: "
            f"{place + ': ' if place else ''}{first['msg']}",
            "upgrade this charm with juju refresh",
        ) from None


def of_service(state: workload.State) -> Iterator[ops.StatusBase]:
    """Yield what is wrong with the service; nothing where it runs as it should."""
    failed = state.failed_upgrade
    if failed is not None:
        runs_on = f"; {state.running} runs on" if state.running else ""
        yield ops.BlockedStatus(
            f"the upgrade to {failed.version} failed: {failed.why}{runs_on}; juju refresh to "
            "another revision"
        )
    why = problems.sentence(state.why, state.cure)
    match state.activity:
        case workload.Activity.ACTIVE if not why:
            return
        case workload.Activity.ABSENT if not why:
            yield ops.WaitingStatus("the service is not installed yet")
        case workload.Activity.STARTING if not why:
            yield ops.WaitingStatus("the service is starting")
        case _:
            yield ops.BlockedStatus(why or "the service does not run; see journalctl on its host")


def of_region(region: Region) -> Iterator[ops.StatusBase]:
    """Yield how a region is that answers, by its own status."""
    yield from _of_notices(region.notices, region.images)
    available = _images(region.images)
    if region.migration.under_way:
        progress = region.migration.progress or Progress()
        yield ops.MaintenanceStatus(f"migrating images{_so_far(progress.here, progress.total)}")
    elif region.sync.phase == "fetching":
        so_far = f"fetching images{_so_far(region.sync.done, region.sync.total)}"
        if region.images:
            yield ops.ActiveStatus(f"{available}; {so_far}")
        else:
            yield ops.MaintenanceStatus(so_far)
    elif region.sync.phase != "idle" and not region.images:
        yield ops.MaintenanceStatus("reading the boot source")
    yield ops.ActiveStatus(available)


def of_rack(rack: Rack) -> Iterator[ops.StatusBase]:
    """Yield how a rack is that answers, by its own status."""
    if rack.names_age is None and not rack.images:
        # Its warnings are about the regions that do not answer, which is said here with reasons.
        critical = [each for each in rack.notices if each.severity is Severity.CRITICAL]
        yield from _of_notices(tuple(critical), rack.images)
        troubles = [f"{each.address}: {each.problem}" for each in rack.regions if each.problem]
        yield ops.WaitingStatus(
            problems.sentence("waiting for a region to answer", "; ".join(troubles))
        )
        return
    yield from _of_notices(rack.notices, rack.images)
    used, limit = units.format_size(rack.cache.used), units.format_size(rack.cache.limit)
    yield ops.ActiveStatus(f"{_images(rack.images)}; cache {used} of {limit}")


def _of_notices(standing: tuple[Notice, ...], images: int) -> Iterator[ops.StatusBase]:
    """Yield a status for each notice that matters, the worst first."""
    blocking = [each for each in standing if _blocks(each, images)]
    for notice in sorted(blocking, key=lambda each: each.severity is not Severity.CRITICAL):
        yield ops.BlockedStatus(problems.sentence(notice.text, notice.cure))
    for notice in standing:
        if notice.severity is Severity.WARNING and notice not in blocking:
            text = problems.sentence(notice.text, notice.cure)
            yield ops.ActiveStatus(f"{_images(images)}; warning: {text}")


def _blocks(notice: Notice, images: int) -> bool:
    if notice.severity is Severity.WARNING:
        return notice.scope == _MIGRATION or not images
    return notice.severity is Severity.CRITICAL


def _images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'} available"


def _so_far(here: int, total: int) -> str:
    if not total:
        return ""
    return f": {units.format_size(here)} of {units.format_size(total)}"
