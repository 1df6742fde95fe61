"""Making a store that is not this cluster's into one that is: the explicit step of an operator.

A store stays with its cluster: a region refuses another's, and one whose mark was lost. After a
catalog was lost or founded anew, that is not what the operator wants. Then the store is taken
over: every object is hashed anew, because nothing that another cluster wrote down counts, and only
when all of it is done does the mark change. So a takeover can be ended anywhere and run again.

Nothing is removed: what is damaged moves to ``damaged/``, and what is no object of ours stays.
"""

import dataclasses
import functools
import os
import pathlib
from concurrent import futures

from boot_resources import errors
from boot_resources.store import audit, facts, identity, objects
from boot_resources.store import disk as disks


class NoStore(errors.BootResourcesError):
    """The directory is not laid out as a store."""


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a store is before it is taken over.

    Attributes:
        found: what its mark says.
        objects: how many whole objects lie there, proved or not.
        space: bytes that they take on the disk.
    """

    found: identity.Found
    objects: int
    space: int


def survey(root: pathlib.Path) -> Survey:
    """Look at a store, and change nothing.

    Raises:
        NoStore: there is nothing that boot-resources laid out.
        identity.ForeignDirectory: a later version wrote it, or it cannot be read.
    """
    found = identity.look_at_store(root)
    if not (root / "objects").is_dir() or (root / "objects").is_symlink():
        raise NoStore(
            f"{root} is not laid out as a store: it has no directory objects/",
            "set storage.path to an empty directory and start the region; then "
            f"`boot-resources store adopt {root}` takes over what it wants of it",
        )
    try:
        whole = list(objects.ObjectTree(root).whole())
    except OSError as error:
        raise identity.unusable(root, identity.store_of(""), error) from error
    return Survey(found, len(whole), sum(occupied.space for occupied in whole))


def take_over(
    root: pathlib.Path,
    cluster: str,
    advance: audit.Advance,
    disk: disks.Disk | None = None,
) -> audit.Report:
    """Prove everything in a store anew, and make it the cluster's.

    Args:
        root: the store; ``survey`` it first.
        cluster: the UUID of the new owner.
        advance: is told how far it is, in bytes.
        disk: the file layer.

    Raises:
        identity.InUse: a region has it.
        identity.ForeignDirectory: the disk refused; the store belongs to whom it belonged to.
    """
    disk = disk or disks.Disk()
    mark = identity.store_of(cluster)
    tree = objects.ObjectTree(root, disk)
    try:
        with identity.alone(root, mark):
            tree.prepare()
            report = _prove_all(tree, advance)
            identity.claim(root, mark, disk)
    except OSError as error:
        raise identity.unusable(root, mark, error) from error
    return report


def _prove_all(tree: objects.ObjectTree, advance: audit.Advance) -> audit.Report:
    names = sorted(occupied.sha256 for occupied in tree.whole())
    with futures.ThreadPoolExecutor(os.cpu_count() or 1, "takeover") as pool:
        findings = list(pool.map(functools.partial(_prove, tree, advance), names))
    sound: dict[str, facts.Proof] = {}
    damaged = []
    for finding in findings:
        if finding.proof is not None:
            sound[finding.sha256] = finding.proof
        else:
            damaged.append(audit.set_aside(tree, finding))
    return audit.Report(sound, tuple(damaged), tuple(tree.strangers()))


def _prove(tree: objects.ObjectTree, advance: audit.Advance, sha256: str) -> audit.Finding:
    try:
        proof = tree.prove_again(sha256).proof
    except objects.ObjectChanged as error:
        return audit.Finding(sha256, audit.Verdict.CORRUPT, str(error))
    except OSError as error:
        return audit.unreadable(sha256, error)
    advance(proof.size)
    return audit.Finding(sha256, audit.Verdict.SOUND, proof=proof)
