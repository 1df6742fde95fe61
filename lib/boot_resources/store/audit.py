"""Is what lies in the store still what was proved?

``audit`` looks at every object's size, time and inode: at each start, in about the time that it
takes to read the directory. ``verify`` reads and hashes every byte, on all cores. Both take what
is not right out of service (it moves to ``damaged/``, so that somebody can look at it) and say so;
the sync then fetches it again.
"""

import dataclasses
import enum
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable
from concurrent import futures

from boot_resources import units
from boot_resources.store import facts, objects

_CHUNK = 4 * units.MIB

Advance = Callable[[int], None]
"""Called with the number of bytes that were checked since the last call, from any thread."""


class Verdict(enum.StrEnum):
    """What was found of one object."""

    SOUND = "sound"
    CHANGED = "changed"
    """Size, time or inode are not those of the proof; hashing said that the bytes are wrong."""
    CORRUPT = "corrupt"
    """The bytes do not have the object's sha256."""
    UNREADABLE = "unreadable"
    """The disk gave an error."""
    GONE = "gone"
    """It was removed while the check ran."""


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


def audit(tree: objects.ObjectTree) -> Report:
    """Check every whole object by size, time and inode, and hash those that differ.

    An object without usable facts, or with another time or inode (restored from a backup, say), is
    not lost: its bytes prove it again.
    """
    names = [occupied.sha256 for occupied in tree.whole()]
    return _report(tree, (_look(tree, name) for name in names))


def _look(tree: objects.ObjectTree, sha256: str) -> Finding:
    try:
        try:
            known = tree.facts_of(sha256)
            if known.stamp == facts.Stamp.of(tree.path(sha256).stat()):
                return Finding(sha256, Verdict.SOUND, proof=known.proof)
        except (objects.ObjectMissing, facts.BadFacts):
            pass
        return Finding(sha256, Verdict.SOUND, proof=tree.prove_again(sha256).proof)
    except objects.ObjectChanged as error:
        return Finding(sha256, Verdict.CHANGED, str(error))
    except FileNotFoundError:
        return Finding(sha256, Verdict.GONE)
    except OSError as error:
        return Finding(sha256, Verdict.UNREADABLE, str(error))


def verify(tree: objects.ObjectTree, advance: Advance, workers: int | None = None) -> Report:
    """Read and hash every whole object; the largest first, so that no core waits at the end."""
    names = [occupied.sha256 for occupied in sorted(tree.whole(), key=lambda o: -o.space)]
    with futures.ThreadPoolExecutor(workers or os.cpu_count() or 1, "verify") as pool:
        return _report(tree, pool.map(lambda name: _hash(tree, name, advance), names))


def _hash(tree: objects.ObjectTree, sha256: str, advance: Advance) -> Finding:
    try:
        with tree.open(sha256) as opened:
            whole = hashlib.sha256()
            offset = 0
            while data := os.pread(opened.fd, _CHUNK, offset):
                whole.update(data)
                offset += len(data)
                advance(len(data))
        if whole.hexdigest() == sha256:
            return Finding(sha256, Verdict.SOUND, proof=tree.facts_of(sha256).proof)
        detail = f"its {offset} bytes have the sha256 {whole.hexdigest()[:12]}..."
        return Finding(sha256, Verdict.CORRUPT, detail)
    except objects.ObjectMissing:
        return Finding(sha256, Verdict.GONE)
    except objects.ObjectChanged:
        finding = _look(tree, sha256)
        if finding.proof is not None:
            # All its bytes were hashed, to prove it again.
            advance(finding.proof.size)
        return finding
    except OSError as error:
        return Finding(sha256, Verdict.UNREADABLE, str(error))


def _report(tree: objects.ObjectTree, found: Iterable[Finding]) -> Report:
    sound: dict[str, facts.Proof] = {}
    findings = []
    for finding in found:
        if finding.proof is not None:
            sound[finding.sha256] = finding.proof
        elif finding.verdict is not Verdict.GONE:
            findings.append(_set_aside(tree, finding))
    return Report(sound, tuple(findings), tuple(tree.strangers()))


def _set_aside(tree: objects.ObjectTree, finding: Finding) -> Finding:
    try:
        tree.set_aside(finding.sha256)
    except OSError as error:
        # On a disk that takes no change it stays where it is; being unsound, it is not held.
        detail = f"{finding.detail}; it could not be set aside: {error.strerror}"
        return dataclasses.replace(finding, detail=detail)
    return finding
