"""A region's image-storage: the objects that the catalog wants, and nothing that it cannot prove.

What the catalog no longer wants is not deleted at once: it moves to ``removed/`` and goes after a
grace time, so that a mistake of the catalog can be undone. Files that this cluster did not put
into its own directories (``lost+found``, an operator's own) stay.
"""

import contextlib
import math
import pathlib
import threading
import time
from collections.abc import Set as AbstractSet

from boot_resources import digests
from boot_resources.store import audit, blocks, facts, identity, objects, partial, space
from boot_resources.store import disk as disks


class Storage:
    """Objects that one region holds. Safe to use from several threads.

    Attributes:
        root: the directory (``/var/lib/maas/image-storage`` unless configured).
        reserve: bytes that stay free on its file system.
    """

    def __init__(
        self, root: pathlib.Path, reserve: int, grace: float, disk: disks.Disk | None = None
    ) -> None:
        self.root = root
        self.reserve = reserve
        self._grace = grace
        self._disk = disk or disks.Disk()
        self._tree = objects.ObjectTree(root, self._disk)
        self._removed = root / "removed"
        self._lock = threading.Lock()
        self._held: dict[str, facts.Proof] = {}

    def start(self, cluster: str) -> audit.Report:
        """Make sure that the store is this cluster's, and audit it.

        Raises:
            identity.ForeignDirectory: it is not, and nothing was touched; or it cannot be used.
        """
        mark = identity.store_of(cluster)
        identity.establish(self.root, mark, self._disk)
        try:
            self._tree.prepare()
            self._disk.make_directory(self._removed)
            report = audit.audit(self._tree)
        except OSError as error:
            raise identity.unusable(self.root, mark, error) from error
        with self._lock:
            self._held = dict(report.sound)
        return report

    def verify(self, advance: audit.Advance) -> audit.Report:
        """Hash everything that is held; what is damaged is held no longer."""
        report = audit.verify(self._tree, advance)
        with self._lock:
            for finding in report.findings:
                self._held.pop(finding.sha256, None)
        return report

    def held(self) -> dict[str, facts.Proof]:
        """Return the proof of each object that is here, by its sha256."""
        with self._lock:
            return dict(self._held)

    def open(self, sha256: str) -> objects.OpenObject:
        """Open a proved object for reading.

        Raises:
            objects.ObjectMissing: it is not held here.
            objects.ObjectChanged: somebody touched the file; it is set aside.
        """
        with self._lock:
            if sha256 not in self._held:
                raise objects.ObjectMissing(f"object {sha256[:12]} is not held here")
        try:
            return self._tree.open(sha256)
        except (objects.ObjectMissing, objects.ObjectChanged):
            self._lose(sha256)
            raise

    def _lose(self, sha256: str) -> None:
        with self._lock:
            self._held.pop(sha256, None)
        # On a disk that takes no change it stays where it is, and is not held all the same.
        with contextlib.suppress(OSError):
            self._tree.set_aside(sha256)

    def block_map(self, sha256: str) -> blocks.BlockMap:
        """Return the block map of a proved object.

        Raises:
            objects.ObjectMissing: it is not held here, or no longer: its facts are not usable.
        """
        with self._lock:
            if sha256 not in self._held:
                raise objects.ObjectMissing(f"object {sha256[:12]} is not held here")
        try:
            return self._tree.facts_of(sha256).block_map
        except (objects.ObjectMissing, facts.BadFacts) as error:
            self._lose(sha256)
            raise objects.ObjectMissing(f"object {sha256[:12]} is set aside: {error}") from error

    def room_for(self, wanted: dict[str, int]) -> space.Room:
        """Return the room that the missing ones of ``wanted`` (sha256 to bytes) need and have.

        Where it lacks, objects that the cluster removed go before their grace time is over.
        """
        reserved = {occupied.sha256: occupied.space for occupied in self._tree.partials()}
        held = self.held()
        needed = sum(
            max(0, space.on_disk(size) - reserved.get(sha256, 0))
            for sha256, size in wanted.items()
            if sha256 not in held
        )
        room = space.room(self.root, needed, self.reserve)
        if room.lacking:
            self._empty_removed(math.inf)
            room = space.room(self.root, needed, self.reserve)
        return room

    def restore(self, sha256: str) -> facts.Proof | None:
        """Hold an object again that was removed and is still there; None where it is not.

        Its bytes prove it anew.
        """
        removed = self._removed / sha256
        if not removed.exists():
            return None
        self._disk.rename(removed, self._tree.path(sha256))
        try:
            proof = self._tree.prove_again(sha256).proof
        except objects.ObjectChanged:
            self._tree.set_aside(sha256)
            return None
        with self._lock:
            self._held[sha256] = proof
        return proof

    def begin(self, sha256: str, size: int) -> partial.Partial:
        """Open or start the partial object of that name, its space reserved."""
        return self._tree.begin(sha256, size)

    def publish(self, incoming: partial.Partial) -> facts.Proof:
        """Prove a partial object and hold it; the caller closes it.

        Raises:
            partial.WrongObject: its bytes are not the object's.
            OSError: the disk refused; ``discard`` the bytes.
        """
        proof = self._tree.publish(incoming).proof
        with self._lock:
            self._held[incoming.sha256] = proof
        return proof

    def tidy(self, wanted: AbstractSet[str]) -> list[str]:
        """Move what is not ``wanted`` to ``removed/``; delete what has been there past its grace.

        Returns:
            the objects that are no longer held.
        """
        dropped = [sha256 for sha256 in self.held() if sha256 not in wanted]
        for sha256 in dropped:
            with self._lock:
                self._held.pop(sha256, None)
            # The grace counts from now; the file's own time is of no further use.
            self._tree.move_out(sha256, self._removed / sha256)
        for occupied in list(self._tree.partials()):
            if occupied.sha256 not in wanted:
                self._tree.remove_partial(occupied.sha256)
        self._empty_removed(time.time() - self._grace)
        return dropped

    def _empty_removed(self, before: float) -> None:
        """Delete what was removed before that moment, in seconds since the epoch."""
        for path in list(self._removed.iterdir()):
            if digests.is_sha256(path.name) and path.stat().st_mtime < before:
                self._disk.remove(path)
