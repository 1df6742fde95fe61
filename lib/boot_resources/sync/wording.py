"""What a pass of the sync says to an operator. Pure: values in, notices out."""

import pathlib
from collections.abc import Iterable

from boot_resources import errors, notices
from boot_resources.catalog import holdings
from boot_resources.sync import refresh


def of_error(
    key: str,
    error: errors.BootResourcesError,
    severity: notices.Severity = notices.Severity.WARNING,
) -> notices.Notice:
    """Return a refusal as a notice, in its own words."""
    return notices.Notice(key, severity, str(error), error.cure)


def of_object(wanted: holdings.WantedObject, error: errors.BootResourcesError) -> notices.Notice:
    """Return why an object could not be brought, and who needs it."""
    needed_by = str(wanted.images[0]) if wanted.images else wanted.sha256[:12]
    severity = (
        notices.Severity.CRITICAL
        if isinstance(error, holdings.MapDisagreement)
        else notices.Severity.WARNING
    )
    return notices.Notice(wanted.sha256[:12], severity, f"{needed_by}: {error}", error.cure)


def of_disk(root: pathlib.Path, error: OSError) -> notices.Notice:
    """Return what is wrong with the disk of the store at ``root``."""
    return notices.Notice(
        key="disk",
        severity=notices.Severity.CRITICAL,
        text=f"the disk of {root} refused a write: {error.strerror}",
        cure="free space there, or look at the disk; the sync goes on by itself",
    )


def one_of_each(problems: Iterable[notices.Notice]) -> list[notices.Notice]:
    """Return one notice for each key, the last."""
    return list({problem.key: problem for problem in problems}.values())


def of_source(refreshed: refresh.Refreshed) -> Iterable[notices.Notice]:
    """Return what a reading of the source found wrong with it."""
    if refreshed.reading is None:
        yield notices.Notice(
            key="none",
            severity=notices.Severity.WARNING,
            text="there is no boot source, so no image is fetched",
            cure="set one: boot-resources sources set URL --keyring FILE",
        )
        return
    for document in refreshed.reading.documents:
        if document.error is not None:
            text = f"{document.path}: {document.error}"
            yield notices.Notice(
                document.path, notices.Severity.WARNING, text, document.error.cure
            )
    if refreshed.problems:
        first = refreshed.problems[0]
        yield notices.Notice(
            key="left-out",
            severity=notices.Severity.INFO,
            text=f"{len(refreshed.problems)} things of the source are not used, the first: "
            f"{first.where}: {first.text}",
            cure="`boot-resources sources check` lists them all",
        )
    for selection in refreshed.idle:
        name = f"{selection.os!r} {selection.release!r}"
        yield notices.Notice(
            f"idle {name}",
            notices.Severity.INFO,
            f"the selection {name} matches nothing that the source offers",
            "`boot-resources sources check` lists what it offers; correct the selection",
        )
    if refreshed.plan is not None:
        for refused in refreshed.plan.refused:
            yield notices.Notice(
                str(refused.name),
                notices.Severity.WARNING,
                f"{refused.name} is refused: {refused.reason}",
                "tell whoever runs the source; the version that is there stays",
            )
