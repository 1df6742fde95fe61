"""Is what lies in the store still what was proved?

``audit`` looks at every object's size, time and inode: at each start, in about the time that it
takes to read the directory. ``verify`` reads and hashes every byte, on all cores. Both take what
is not right out of service (it moves to ``damaged/``, so that somebody can look at it) and say so;
the sync then fetches it again. Both can be ended between two reads; what was found by then was
dealt with.
"""

import dataclasses
import enum
import errno
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable
from concurrent import futures

from boot_resources import errors, units
from boot_resources.store import facts, objects

_CHUNK = 4 * units.MIB
NOT_THERE = "its file is not there"
"""What there is to say of an object that is gone."""
OUR_OWN = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Failures that say something of this process or host, and nothing of the object."""

Advance = Callable[[int], None]
"""Called with the number of bytes that were checked since the last call, from any thread."""
Cancelled = Callable[[], bool]
"""Asked, from any thread, whether the check is to end."""


class Ended(errors.BootResourcesError):
    """The check was ended before it had seen everything."""

    def __init__(self) -> None:
        super().__init__("the check was ended before it was done", "run it again")


class Verdict(enum.StrEnum):
    """What was found of one object."""

    SOUND = "sound"
    CHANGED = "changed"
    """Size, time or inode are not those of the proof; hashing said that the bytes are wrong."""
    CORRUPT = "corrupt"
    """The bytes do not have the object's sha256."""
    UNREADABLE = "unreadable"
    """The disk gave an error."""
    DISPUTED = "disputed"
    """Another region proved it and found something else."""
    GONE = "gone"
    """Its file is not there."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """The verdict on one object; ``proof`` is there where it is sound."""

    sha256: str
    verdict: Verdict
    detail: str = ""
    proof: facts.Proof | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """What a check of the whole store found.

    Attributes:
        sound: the proof of each sound object by its sha256.
        findings: every object that is not sound; it was taken out of service.
        strangers: names among the objects that are not ours; they were left alone.
    """

    sound: dict[str, facts.Proof]
    findings: tuple[Finding, ...]
    strangers: tuple[pathlib.Path, ...]


TakeOut = Callable[[Finding], Finding]
"""Takes an object out of service and returns the finding, with what there is to add to it."""


def _never() -> bool:
    return False


def audit(tree: objects.ObjectTree, cancelled: Cancelled = _never) -> Report:
    """Check every whole object by size, time and inode, and hash those that differ.

    An object without usable facts, or with another time or inode (restored from a backup, say), is
    not lost: its bytes prove it again.

    Raises:
        Ended: ``cancelled`` said so.
        OSError: this process or host could not look, for want of descriptors or memory.
    """
    names = [occupied.sha256 for occupied in tree.whole()]
    found = (_look(tree, name, cancelled) for name in names)
    return _report(tree, found, functools.partial(set_aside, tree))


def _look(tree: objects.ObjectTree, sha256: str, cancelled: Cancelled) -> Finding:
    _go_on(cancelled)
    try:
        try:
            known = tree.facts_of(sha256)
            if known.stamp == facts.Stamp.of(tree.path(sha256).lstat()):
                return Finding(sha256, Verdict.SOUND, proof=known.proof)
        except (objects.ObjectMissing, facts.BadFacts):
            pass
        again = tree.prove_again(sha256, functools.partial(_go_on, cancelled))
        return Finding(sha256, Verdict.SOUND, proof=again.proof)
    except objects.ObjectChanged as error:
        return Finding(sha256, Verdict.CHANGED, str(error))
    except FileNotFoundError:
        return Finding(sha256, Verdict.GONE)
    except OSError as error:
        return unreadable(sha256, error)


def _go_on(cancelled: Cancelled) -> None:
    if cancelled():
        raise Ended


def unreadable(sha256: str, error: OSError) -> Finding:
    """Return the finding on an object that the disk does not give.

    Raises:
        OSError: the failure says nothing of the object, but of this process or host.
    """
    if error.errno in OUR_OWN:
        raise error
    return Finding(sha256, Verdict.UNREADABLE, str(error))


def verify(
    tree: objects.ObjectTree,
    advance: Advance,
    workers: int | None = None,
    *,
    cancelled: Cancelled = _never,
    take_out: TakeOut | None = None,
) -> Report:
    """Read and hash every whole object; the largest first, so that no core waits at the end.

    Args:
        tree: the objects.
        advance: is told how far it is.
        workers: threads that hash; as many as there are cores unless given.
        cancelled: whether to end.
        take_out: what is done with what is not sound; unless given it is set aside.

    Raises:
        Ended: ``cancelled`` said so.
        OSError: this process or host could not look, for want of descriptors or memory.
    """
    names = [occupied.sha256 for occupied in sorted(tree.whole(), key=lambda o: -o.space)]
    take_out = take_out or functools.partial(set_aside, tree)
    with futures.ThreadPoolExecutor(workers or os.cpu_count() or 1, "verify") as pool:
        found = pool.map(lambda name: check(tree, name, advance, cancelled), names)
        return _report(tree, found, take_out)


def check(
    tree: objects.ObjectTree, sha256: str, advance: Advance, cancelled: Cancelled = _never
) -> Finding:
    """Read and hash one whole object, and change nothing.

    Raises:
        Ended: ``cancelled`` said so.
        OSError: this process or host could not look, for want of descriptors or memory.
    """
    try:
        with tree.open(sha256) as opened:
            whole = hashlib.sha256()
            offset = 0
            _go_on(cancelled)
            while data := os.pread(opened.fd, _CHUNK, offset):
                _go_on(cancelled)
                whole.update(data)
                offset += len(data)
                advance(len(data))
        if whole.hexdigest() == sha256:
            return Finding(sha256, Verdict.SOUND, proof=tree.facts_of(sha256).proof)
        detail = f"its {offset} bytes have the sha256 {whole.hexdigest()[:12]}..."
        return Finding(sha256, Verdict.CORRUPT, detail)
    except objects.ObjectMissing:
        return Finding(sha256, Verdict.GONE, NOT_THERE)
    except objects.ObjectChanged:
        finding = _look(tree, sha256, cancelled)
        if finding.proof is not None:
            # All its bytes were hashed, to prove it again.
            advance(finding.proof.size)
        return finding
    except OSError as error:
        return unreadable(sha256, error)


def _report(tree: objects.ObjectTree, found: Iterable[Finding], take_out: TakeOut) -> Report:
    sound: dict[str, facts.Proof] = {}
    findings = []
    for finding in found:
        if finding.proof is not None:
            sound[finding.sha256] = finding.proof
        # What is gone was removed while the check ran.
        elif finding.verdict is not Verdict.GONE:
            findings.append(take_out(finding))
    return Report(sound, tuple(findings), tuple(tree.strangers()))


def set_aside(tree: objects.ObjectTree, finding: Finding) -> Finding:
    """Move an object that is not sound to ``damaged/``; add to the finding where that failed."""
    try:
        tree.set_aside(finding.sha256)
    except OSError as error:
        # On a disk that takes no change it stays where it is; being unsound, it is not held.
        detail = f"{finding.detail}; it could not be set aside: {error.strerror}"
        return dataclasses.replace(finding, detail=detail)
    return finding
