"""What a pass of the sync says to an operator. Pure: values in, notices out."""

import datetime
import errno
import pathlib
from collections.abc import Iterable, Mapping

from boot_resources import errors, notices
from boot_resources.catalog import holdings
from boot_resources.source import document, reading
from boot_resources.sync import refresh

_DISK_CURES = {
    errno.ENOSPC: "free space there, or inodes, whichever `df` and `df -i` show as used up",
    errno.EDQUOT: "raise the quota of the region's user, or remove what else it keeps there",
    errno.EROFS: "see why the file system is read-only (`dmesg`), and mount it for writing",
}
_SHOWN = 3
"""How many of many documents a notice names."""


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
    """Return what is wrong with the disk of the store at ``root``.

    "No space left" has more causes than bytes: the file system may hold no more files, or the
    region's user may have used up a quota.
    """
    cure = _DISK_CURES.get(error.errno or 0, "look at the disk")
    return notices.Notice(
        key="disk",
        severity=notices.Severity.CRITICAL,
        text=f"the disk of {root} refused a write: {error.strerror}",
        cure=f"{cure}; the sync goes on by itself",
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
    yield from _of_documents(refreshed.reading, refreshed.lowered)
    yield from _of_images(refreshed)
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


def _of_documents(found: reading.Reading, lowered: Mapping[str, str]) -> Iterable[notices.Notice]:
    """Return which documents were not accepted, are too old, or may go back."""
    for one in found.documents:
        if one.error is not None:
            # A refusal names its document, a failure to fetch one only its URL.
            named = isinstance(one.error, document.DocumentRefused)
            text = str(one.error) if named else f"{one.path}: {one.error}"
            yield notices.Notice(one.path, notices.Severity.WARNING, text, one.error.cure)
    if found.stale:
        yield _of_stale(found.stale)
    for path, reason in lowered.items():
        yield notices.Notice(
            f"lowered {path}",
            notices.Severity.INFO,
            f"the next {path} may be older than the accepted one, since: {reason}",
            "nothing is to be done: the guard is raised again by the next one that is accepted",
        )


def _of_images(refreshed: refresh.Refreshed) -> Iterable[notices.Notice]:
    """Return which selected images cannot be had as the source gives them."""
    for missing in refreshed.lacking:
        yield notices.Notice(
            f"lacking {missing.where}",
            notices.Severity.WARNING,
            f"{missing.where}: {missing.text}",
            "tell whoever publishes the source; the version that is there stays",
        )
    for refused in refreshed.plan.refused if refreshed.plan is not None else ():
        yield notices.Notice(
            str(refused.name),
            notices.Severity.WARNING,
            f"{refused.name} is refused: {refused.reason}",
            "tell whoever runs the source; the version that is there stays",
        )


def _of_stale(ages: Mapping[str, datetime.timedelta]) -> notices.Notice:
    """Return the question whether somebody holds back newer documents than these."""
    shown = [f"{path} of {age.days} days ago" for path, age in list(ages.items())[:_SHOWN]]
    more = f" and {len(ages) - _SHOWN} more" if len(ages) > _SHOWN else ""
    return notices.Notice(
        key="stale",
        severity=notices.Severity.WARNING,
        text=f"nothing newer came for long, is the source frozen? {', '.join(shown)}{more}",
        cure="see at the source whether it offers newer documents: then whoever is between holds "
        "them back; if it does not, raise download.stale-after",
    )
