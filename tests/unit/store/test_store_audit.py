"""Is what lies in the store still what was proved? What is not is taken out of service, named."""

import errno
import itertools
import os
import pathlib
import threading

import pytest

from boot_resources.store import audit, facts, objects
from support import disks, stores

CONTENTS = [stores.noise(), b"", b"small", stores.noise(5_000_000, seed=1)]


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> objects.ObjectTree:
    tree = stores.tree_at(tmp_path / "store")
    for content in CONTENTS:
        stores.put(tree, content)
    return tree


NAMES = [stores.name_of(content) for content in CONTENTS]
PROOFS = {
    stores.name_of(content): facts.Proof(len(content), stores.map_of(content).digest)
    for content in CONTENTS
}
VICTIM = NAMES[0]
OTHERS = {name: proof for name, proof in PROOFS.items() if name != VICTIM}


def touch(tree: objects.ObjectTree) -> None:
    os.utime(tree.path(VICTIM))


def restore_from_backup(tree: objects.ObjectTree) -> None:
    path = tree.path(VICTIM)
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.rename(path)


def lose_facts(tree: objects.ObjectTree) -> None:
    (tree.root / "facts" / VICTIM).unlink()


def damage_facts(tree: objects.ObjectTree) -> None:
    stores.damage(tree.root / "facts" / VICTIM, 1)


def corrupt(tree: objects.ObjectTree) -> None:
    stores.damage(tree.path(VICTIM), 1_500_000)


def truncate(tree: objects.ObjectTree) -> None:
    os.truncate(tree.path(VICTIM), 1_000_000)


def grow(tree: objects.ObjectTree) -> None:
    with tree.path(VICTIM).open("ab") as stream:
        stream.write(b"more")


def swap(tree: objects.ObjectTree) -> None:
    other = tree.path(NAMES[3])
    tree.path(VICTIM).write_bytes(other.read_bytes())


def rot(tree: objects.ObjectTree) -> None:
    """Change bytes as a failing disk does: no time changes, so only hashing can tell."""
    path = tree.path(VICTIM)
    found = path.stat()
    stores.damage(path, 2_000_000)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def verify(tree: objects.ObjectTree) -> audit.Report:
    return audit.verify(tree, lambda _: None)


CHECKS = pytest.mark.parametrize("check", [audit.audit, verify])


@CHECKS
def test_a_store_that_nobody_touched_is_sound(
    tree: objects.ObjectTree, check: stores.Check
) -> None:
    assert check(tree) == audit.Report(PROOFS, (), ())


@CHECKS
@pytest.mark.parametrize("change", [touch, restore_from_backup, lose_facts, damage_facts])
def test_an_object_whose_bytes_are_right_is_proved_again(
    tree: objects.ObjectTree, check: stores.Check, change: stores.TreeChange
) -> None:
    change(tree)
    assert check(tree) == audit.Report(PROOFS, (), ())
    assert stores.read(tree, VICTIM) == CONTENTS[0]


@CHECKS
@pytest.mark.parametrize("change", [corrupt, truncate, grow, swap])
def test_an_object_whose_bytes_are_wrong_is_set_aside(
    tree: objects.ObjectTree, check: stores.Check, change: stores.TreeChange
) -> None:
    change(tree)
    wrong = tree.path(VICTIM).read_bytes()
    report = check(tree)
    assert report.sound == OTHERS
    (finding,) = report.findings
    assert (finding.sha256, finding.verdict) == (VICTIM, audit.Verdict.CHANGED)
    assert "other bytes than its name says" in finding.detail
    with pytest.raises(objects.ObjectMissing):
        tree.open(VICTIM)
    assert (tree.root / "damaged" / VICTIM).read_bytes() == wrong
    assert stores.put(tree, CONTENTS[0]) == VICTIM


def test_rot_that_left_no_trace_is_found_by_hashing_only(tree: objects.ObjectTree) -> None:
    rot(tree)
    assert audit.audit(tree).sound == PROOFS
    report = verify(tree)
    assert report.sound == OTHERS
    (finding,) = report.findings
    assert (finding.sha256, finding.verdict) == (VICTIM, audit.Verdict.CORRUPT)
    assert not tree.path(VICTIM).exists()


class _Unreadable(objects.ObjectTree):
    """A tree of which one object lies on a bad sector."""

    def facts_of(self, sha256: str) -> facts.Facts:
        if sha256 == VICTIM:
            raise OSError(errno.EIO, "Input/output error")
        return super().facts_of(sha256)


@CHECKS
def test_an_object_that_cannot_be_read_is_named_and_the_rest_goes_on(
    tree: objects.ObjectTree, check: stores.Check
) -> None:
    report = check(_Unreadable(tree.root))
    assert report.sound == OTHERS
    (finding,) = report.findings
    assert (finding.sha256, finding.verdict) == (VICTIM, audit.Verdict.UNREADABLE)
    assert "Input/output error" in finding.detail


@CHECKS
def test_on_a_disk_that_takes_no_change_the_check_ends_and_says_so(
    tree: objects.ObjectTree, check: stores.Check
) -> None:
    corrupt(tree)
    report = check(objects.ObjectTree(tree.root, disks.ReadOnly()))
    assert report.sound == OTHERS
    (finding,) = report.findings
    assert "could not be set aside: Read-only file system" in finding.detail
    assert tree.path(VICTIM).exists()


@CHECKS
def test_strangers_are_named_and_left_alone(tree: objects.ObjectTree, check: stores.Check) -> None:
    stranger = tree.root / "objects" / "lost+found"
    stranger.mkdir()
    (stranger / "#1234").write_text("somebody's")
    report = check(tree)
    assert report.sound == PROOFS
    assert report.strangers == (stranger,)
    assert (stranger / "#1234").read_text() == "somebody's"


@pytest.mark.parametrize("change", [None, touch, lose_facts])
def test_the_progress_of_a_verify_adds_up_to_the_bytes(
    tree: objects.ObjectTree, change: stores.TreeChange | None
) -> None:
    if change is not None:
        change(tree)
    lock = threading.Lock()
    checked: list[int] = []

    def advance(count: int) -> None:
        with lock:
            checked.append(count)

    audit.verify(tree, advance, workers=3)
    assert sum(checked) == sum(len(content) for content in CONTENTS)
    assert len(checked) >= 3


def test_an_object_that_goes_while_it_is_verified_is_no_finding(tree: objects.ObjectTree) -> None:
    def advance(count: int) -> None:
        for name in NAMES:
            tree.remove(name)

    # The largest first: the others are gone by their turn.
    report = audit.verify(tree, advance, workers=1)
    assert report.findings == ()
    assert len(report.sound) <= 1


def test_a_verify_does_not_mind_that_others_publish_and_remove(tree: objects.ObjectTree) -> None:
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            tree.remove(stores.put(tree, f"object {number}".encode()))
            number += 1

    churning = threading.Thread(target=churn)
    churning.start()
    try:
        for _ in range(30):
            report = verify(tree)
            assert report.sound.items() >= PROOFS.items()
            assert report.findings == ()
    finally:
        stop.set()
        churning.join()


@CHECKS
def test_a_process_without_descriptors_says_so_and_blames_no_object(
    tree: objects.ObjectTree, check: stores.Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object) -> objects.OpenObject:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(objects.ObjectTree, "open", none_left)
    monkeypatch.setattr(objects.ObjectTree, "facts_of", none_left)
    with pytest.raises(OSError, match="Too many open files"):
        check(tree)
    assert all(tree.path(name).exists() for name in NAMES)


def test_what_was_found_before_a_check_was_ended_was_dealt_with(tree: objects.ObjectTree) -> None:
    largest = NAMES[3]
    stores.damage(tree.path(largest))
    # It is looked at once, and read in five parts; then comes the next.
    asked = itertools.count()
    with pytest.raises(audit.Ended):
        audit.verify(tree, lambda _: None, workers=1, cancelled=lambda: next(asked) >= 6)
    assert (tree.root / "damaged" / largest).exists()
