"""A region's image-storage: the objects that the catalog wants, and nothing that it cannot prove.

What the catalog no longer wants is not deleted at once, nor is what turned out damaged: both are
kept for a grace time (see ``store.kept``). Files that this cluster did not put into its own
directories (``lost+found``, an operator's own) stay.

Always true: an object that turns out not to be what was proved is held no longer, and whoever was
named at construction hears of it. All methods but ``held`` wait for the disk: an event loop calls
them in a thread.
"""

import dataclasses
import logging
import pathlib
import threading
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from boot_resources.store import audit, blocks, facts, identity, kept, objects, partial, space
from boot_resources.store import disk as disks
from boot_resources.store import scrub as scrubs

logger = logging.getLogger(__name__)
Lost = Callable[[audit.Finding], None]
"""Called with each object that was held and is no longer what was proved, from any thread."""


def _tell_nobody(_: audit.Finding) -> None:
    """Keep a loss to oneself: nobody depends on this store."""


class Storage:
    """Objects that one region holds. Safe to use from several threads.

    Attributes:
        root: the directory (``/var/lib/maas/image-storage`` unless configured).
        reserve: bytes that stay free on its file system.
    """

    def __init__(
        self,
        root: pathlib.Path,
        reserve: int,
        grace: float,
        disk: disks.Disk | None = None,
        lost: Lost = _tell_nobody,
    ) -> None:
        self.root = root
        self.reserve = reserve
        self._lost = lost
        self._hold: identity.Hold | None = None
        self._disk = disk or disks.Disk()
        self._tree = objects.ObjectTree(root, self._disk)
        self._keeping = kept.Keeping(self._tree, grace)
        # Protects the dictionary.
        self._lock = threading.Lock()
        # Held from the look at who is held until what is lost is out of the way.
        self._losing = threading.Lock()
        self._held: dict[str, facts.Proof] = {}

    def start(self, cluster: str, cancelled: audit.Cancelled = lambda: False) -> audit.Report:
        """Make sure that the store is this cluster's, take it until ``stop``, and audit it.

        Raises:
            identity.ForeignDirectory: it is not, or another controller has it, and nothing was
                touched; or it cannot be used.
            audit.Ended: ``cancelled`` said so.
        """
        mark = identity.store_of(cluster)
        self._hold = identity.establish(self.root, mark, self._disk)
        try:
            self._tree.prepare()
            self._keeping.prepare()
            report = audit.audit(self._tree, cancelled)
        except OSError as error:
            self.stop()
            raise identity.unusable(self.root, mark, error) from error
        except audit.Ended:
            self.stop()
            raise
        for finding in report.findings:
            _log(finding)
        with self._lock:
            self._held = dict(report.sound)
        return report

    def stop(self) -> None:
        """Let another controller have the store."""
        if self._hold is not None:
            self._hold.release()
            self._hold = None

    def verify(
        self, advance: audit.Advance, cancelled: audit.Cancelled = lambda: False
    ) -> audit.Report:
        """Hash everything that is held; what is damaged, or gone, is held no longer.

        Raises:
            audit.Ended: ``cancelled`` said so.
            OSError: this process or host could not look, for want of descriptors or memory.
        """
        held = self.held()

        def take_out(finding: audit.Finding) -> audit.Finding:
            return self._lose(held.get(finding.sha256), finding) or finding

        report = audit.verify(self._tree, advance, cancelled=cancelled, take_out=take_out)
        seen = report.sound.keys() | {finding.sha256 for finding in report.findings}
        unseen = [self.recheck(sha256) for sha256 in held.keys() - seen]
        gone = tuple(finding for finding in unseen if finding is not None)
        return dataclasses.replace(report, findings=report.findings + gone)

    def scrub(self, period: float) -> scrubs.Scrub:
        """Return the scrub of what is held; one whole pass takes about ``period`` seconds."""

        def suspect(sha256: str, _: str) -> bool:
            return self.recheck(sha256, lambda: scrub.stopping) is not None

        scrub = scrubs.Scrub(
            self._tree,
            lambda: {sha256: proof.size for sha256, proof in self.held().items()},
            suspect,
            period,
        )
        return scrub

    def recheck(
        self, sha256: str, cancelled: audit.Cancelled = lambda: False
    ) -> audit.Finding | None:
        """Hash one object that seems not to be sound; where it is not, it is held no longer.

        Returns:
            what is wrong with it; None where nothing is, or it is not held, or no longer.

        Raises:
            audit.Ended: ``cancelled`` said so.
            OSError: this process or host could not look, for want of descriptors or memory.
        """
        proof = self._proof_in_force(sha256)
        if proof is None:
            return None
        finding = audit.check(self._tree, sha256, lambda _: None, cancelled)
        return None if finding.proof is not None else self._lose(proof, finding)

    def give_up(self, sha256: str, reason: str) -> None:
        """Hold an object no longer of which another region proved something else."""
        finding = audit.Finding(sha256, audit.Verdict.DISPUTED, reason)
        self._lose(self._proof_in_force(sha256), finding)

    def held(self) -> dict[str, facts.Proof]:
        """Return the proof of each object that is here, by its sha256."""
        with self._lock:
            return dict(self._held)

    def strangers(self) -> list[pathlib.Path]:
        """Return what lies among the objects and is none.

        Raises:
            OSError: the directory cannot be read.
        """
        return list(self._tree.strangers())

    def open(self, sha256: str) -> objects.OpenObject:
        """Open a proved object for reading.

        Raises:
            objects.ObjectMissing: it is not held here.
            objects.ObjectChanged: somebody touched the file; it is set aside.
        """
        proof = self._proof_of(sha256)
        try:
            return self._tree.open(sha256)
        except objects.ObjectMissing:
            self._lose(proof, audit.Finding(sha256, audit.Verdict.GONE, audit.NOT_THERE))
            raise
        except objects.ObjectChanged as error:
            self._lose(proof, audit.Finding(sha256, audit.Verdict.CHANGED, str(error)))
            raise

    def _proof_of(self, sha256: str) -> facts.Proof:
        proof = self._proof_in_force(sha256)
        if proof is None:
            raise objects.ObjectMissing(f"object {sha256[:12]} is not held here")
        return proof

    def _proof_in_force(self, sha256: str) -> facts.Proof | None:
        with self._lock:
            return self._held.get(sha256)

    def _lose(self, proof: facts.Proof | None, finding: audit.Finding) -> audit.Finding | None:
        """Set an object aside and hold it no longer.

        Args:
            proof: the very proof that was in force when the object was looked at.
            finding: what is wrong with it.

        Returns:
            the finding, with what failed of that; None where another proof is in force by now, or
            none: the object came anew, or was dropped, and the finding is not about it.
        """
        sha256 = finding.sha256
        with self._losing:
            if self._proof_in_force(sha256) is not proof:
                return None
            # In this order: what is held no longer may be fetched again at once, and what comes
            # then must not be moved.
            finding = audit.set_aside(self._tree, finding)
            with self._lock:
                self._held.pop(sha256, None)
        if proof is not None:
            _log(finding)
            self._lost(finding)
        return finding

    def block_map(self, sha256: str) -> blocks.BlockMap:
        """Return the block map of a proved object.

        Raises:
            objects.ObjectMissing: it is not held here, or no longer: its facts are not usable.
        """
        proof = self._proof_of(sha256)
        try:
            return self._tree.facts_of(sha256).block_map
        except (objects.ObjectMissing, facts.BadFacts) as error:
            self._lose(proof, audit.Finding(sha256, audit.Verdict.CHANGED, str(error)))
            raise objects.ObjectMissing(f"object {sha256[:12]} is set aside: {error}") from error

    def room_for(self, wanted: dict[str, int]) -> space.Room:
        """Return the room that the missing ones of ``wanted`` (sha256 to bytes) need and have.

        Where it lacks, what is kept for a grace time makes way if that is enough (``store.kept``).
        """
        reserved = {occupied.sha256: occupied.space for occupied in self._tree.partials()}
        held = self.held()
        missing = {sha256: size for sha256, size in wanted.items() if sha256 not in held}
        needed = sum(
            max(0, space.on_disk(size) - reserved.get(sha256, 0))
            for sha256, size in missing.items()
        )
        new = len(missing.keys() - reserved.keys())
        return self._keeping.make_room(lambda: space.room(self.root, needed, self.reserve, new))

    def restore(self, sha256: str) -> facts.Proof | None:
        """Hold an object again that was dropped and is still kept; None where it is not.

        Its bytes prove it anew.
        """
        kept_at = self._keeping.find(sha256)
        if kept_at is None:
            return None
        self._disk.rename(kept_at, self._tree.path(sha256))
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

    def tidy(
        self, wanted: AbstractSet[str], was_needed: Callable[[str], bool] = lambda _: True
    ) -> list[str]:
        """Put away what is not ``wanted``; delete what was kept for its grace time.

        Args:
            wanted: the objects that stay.
            was_needed: whether the catalog needed an object once, and so dropped it on purpose.

        Returns:
            the objects that are no longer held.
        """
        dropped = [sha256 for sha256 in self.held() if sha256 not in wanted]
        with self._lock:
            for sha256 in dropped:
                self._held.pop(sha256, None)
        # Also what an earlier call dropped and the disk did not let it move.
        there = {occupied.sha256 for occupied in self._tree.whole()}
        for sha256 in sorted((there - wanted) | set(dropped)):
            self._keeping.put(sha256, was_needed=was_needed(sha256))
        for occupied in list(self._tree.partials()):
            if occupied.sha256 not in wanted:
                self._tree.remove_partial(occupied.sha256)
        self._keeping.expire()
        return dropped


def _log(finding: audit.Finding) -> None:
    logger.warning("object %s was %s: %s", finding.sha256, finding.verdict, finding.detail)
