"""The tree of objects: what gets a name was proved, in an order that a power cut cannot break."""

import contextlib
import errno
import os
import pathlib
import shutil

import pytest

from boot_resources import digests
from boot_resources.store import facts, objects, partial
from support import disks, stores

CONTENT = stores.noise()
NAME = stores.name_of(CONTENT)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> objects.ObjectTree:
    return stores.tree_at(tmp_path / "store")


def files(tree: objects.ObjectTree) -> set[str]:
    found = (path for path in tree.root.rglob("*") if not path.is_dir())
    return {str(path.relative_to(tree.root)) for path in found}


def test_a_published_object_is_its_bytes_and_its_facts(tree: objects.ObjectTree) -> None:
    assert stores.put(tree, CONTENT) == NAME
    assert stores.read(tree, NAME) == CONTENT
    assert files(tree) == {f"objects/{NAME}", f"facts/{NAME}"}
    known = tree.facts_of(NAME)
    assert known.block_map == stores.map_of(CONTENT)
    assert known.size == len(CONTENT)
    (occupied,) = tree.whole()
    assert occupied == objects.Occupied(NAME, tree.space_of(NAME))
    assert occupied.space >= len(CONTENT)


def test_an_object_without_bytes_is_one_like_any_other(tree: objects.ObjectTree) -> None:
    assert stores.put(tree, b"") == digests.EMPTY_SHA256
    assert stores.read(tree, digests.EMPTY_SHA256) == b""
    assert [each.sha256 for each in tree.whole()] == [digests.EMPTY_SHA256]


def test_bytes_are_durable_before_facts_and_facts_before_the_name(tmp_path: pathlib.Path) -> None:
    stores.tree_at(tmp_path)
    recorder = disks.Recorder()
    tree = objects.ObjectTree(tmp_path, recorder)
    incoming = tree.begin(NAME, len(CONTENT))
    stores.fill(incoming, CONTENT)
    recorder.calls.clear()
    tree.publish(incoming)
    data = tmp_path / "partial" / f"{NAME}.data"
    aside = tmp_path / "facts" / f".{NAME}.new"
    assert recorder.calls == [
        ("sync", data),
        ("create", aside),
        ("truncate", aside),
        ("write", aside),
        ("sync", aside),
        ("close", aside),
        ("rename", tmp_path / "facts" / NAME),
        ("sync directory", tmp_path / "facts"),
        ("rename", tmp_path / "objects" / NAME),
        ("sync directory", tmp_path / "objects"),
        ("sync directory", tmp_path / "partial"),
        ("remove", tmp_path / "partial" / f"{NAME}.journal"),
    ]
    incoming.close()


def test_the_directories_are_durable_before_anything_lies_in_them(tmp_path: pathlib.Path) -> None:
    recorder = disks.Recorder()
    objects.ObjectTree(tmp_path, recorder).prepare()
    made = [path for call, path in recorder.calls if call == "make directory"]
    assert {path.name for path in made} == {"objects", "facts", "partial", "damaged"}
    assert recorder.calls.count(("sync directory", tmp_path)) == len(made)


def test_bytes_that_are_not_the_object_get_no_name(tree: objects.ObjectTree) -> None:
    incoming = tree.begin(NAME, len(CONTENT))
    stores.fill(incoming, stores.noise(seed=1))
    with pytest.raises(partial.WrongObject):
        tree.publish(incoming)
    incoming.discard()
    assert files(tree) == set()


def test_what_was_never_here_is_missing(tree: objects.ObjectTree) -> None:
    with pytest.raises(objects.ObjectMissing):
        tree.open(NAME)
    with pytest.raises(objects.ObjectMissing):
        tree.facts_of(NAME)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "x" * 64, NAME.upper(), f"{NAME}\n"])
def test_what_is_not_the_name_of_an_object_becomes_no_path(
    tree: objects.ObjectTree, name: str
) -> None:
    for call in (tree.path, tree.open, tree.prove_again):
        with pytest.raises(ValueError):
            call(name)
    with pytest.raises(ValueError):
        tree.begin(name, 1)
    assert files(tree) == set()


def truncate(path: pathlib.Path) -> None:
    os.truncate(path, 100)


def grow(path: pathlib.Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"more")


def swap(path: pathlib.Path) -> None:
    found = path.stat()
    shutil.copyfile(path, path.with_name("copy"))
    path.with_name("copy").rename(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def link(path: pathlib.Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def replace_by_directory(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()


def lose_facts(path: pathlib.Path) -> None:
    (path.parent.parent / "facts" / path.name).unlink()


def damage_facts(path: pathlib.Path) -> None:
    stores.damage(path.parent.parent / "facts" / path.name, 3)


@pytest.mark.parametrize(
    "change",
    [
        os.utime,
        truncate,
        grow,
        swap,
        link,
        replace_by_directory,
        stores.damage,
        lose_facts,
        damage_facts,
    ],
)
def test_an_object_that_somebody_touched_is_not_opened(
    tree: objects.ObjectTree, change: stores.Change
) -> None:
    stores.put(tree, CONTENT)
    change(tree.path(NAME))
    with pytest.raises(objects.ObjectChanged):
        tree.open(NAME)


def test_a_known_stamp_spares_reading_the_facts(tree: objects.ObjectTree) -> None:
    stores.put(tree, CONTENT)
    stamp = tree.facts_of(NAME).stamp
    lose_facts(tree.path(NAME))
    tree.open(NAME, stamp).close()
    os.utime(tree.path(NAME))
    with pytest.raises(objects.ObjectChanged):
        tree.open(NAME, stamp)


def test_the_facts_of_another_object_are_refused(tree: objects.ObjectTree) -> None:
    other = stores.put(tree, b"other")
    stores.put(tree, CONTENT)
    facts_files = tree.root / "facts"
    shutil.copyfile(facts_files / other, facts_files / NAME)
    with pytest.raises(facts.BadFacts, match="those of another"):
        tree.facts_of(NAME)


def test_bytes_prove_an_object_again(tree: objects.ObjectTree) -> None:
    stores.put(tree, CONTENT)
    before = tree.facts_of(NAME)
    os.utime(tree.path(NAME))
    lose_facts(tree.path(NAME))
    assert tree.prove_again(NAME).block_map == before.block_map
    assert stores.read(tree, NAME) == CONTENT


def test_bytes_are_made_durable_before_they_prove_an_object_again(tmp_path: pathlib.Path) -> None:
    stores.put(stores.tree_at(tmp_path), CONTENT)
    recorder = disks.Recorder()
    objects.ObjectTree(tmp_path, recorder).prove_again(NAME)
    assert recorder.calls[0] == ("sync", tmp_path / "objects" / NAME)


def test_other_bytes_do_not_prove_an_object_again(tree: objects.ObjectTree) -> None:
    stores.put(tree, CONTENT)
    stores.damage(tree.path(NAME))
    with pytest.raises(objects.ObjectChanged):
        tree.prove_again(NAME)


def test_a_partial_of_another_size_is_begun_anew(tree: objects.ObjectTree) -> None:
    incoming = tree.begin(NAME, len(CONTENT))
    stores.fill(incoming, CONTENT)
    incoming.close()
    larger = tree.begin(NAME, len(CONTENT) + 7)
    assert larger.held_bytes == 0
    larger.close()
    again = tree.begin(NAME, len(CONTENT))
    assert again.held_bytes == 0
    stores.fill(again, CONTENT)
    tree.publish(again)
    again.close()
    assert tree.path(NAME).stat().st_size == len(CONTENT)


@pytest.mark.parametrize("size", [0, 1])
def test_a_partial_whose_journal_was_lost_leaves_no_byte_behind(
    tree: objects.ObjectTree, size: int
) -> None:
    tree.begin(NAME, len(CONTENT)).close()
    (tree.root / "partial" / f"{NAME}.journal").unlink()
    content = b"x" * size
    sha256 = stores.name_of(content)
    (tree.root / "partial" / f"{NAME}.data").rename(tree.root / "partial" / f"{sha256}.data")
    stores.put(tree, content)
    assert tree.path(sha256).stat().st_size == size
    assert stores.read(tree, sha256) == content


def test_the_space_of_a_partial_object_is_known(tree: objects.ObjectTree) -> None:
    incoming = tree.begin(NAME, len(CONTENT))
    incoming.write(0, stores.block_of(CONTENT, 0))
    (occupied,) = tree.partials()
    assert occupied == objects.Occupied(NAME, tree.space_of(NAME))
    assert occupied.space > len(CONTENT)
    incoming.close()
    tree.remove_partial(NAME)
    assert list(tree.partials()) == []
    assert tree.space_of(NAME) == 0


def test_objects_may_go_while_they_are_listed(tree: objects.ObjectTree) -> None:
    names = [stores.put(tree, f"object {number}".encode()) for number in range(5)]
    listing = tree.whole()
    first = next(listing).sha256
    for name in names:
        tree.remove(name)
    assert {each.sha256 for each in listing} == set(names) - {first}


def test_what_lies_among_the_objects_and_is_none_is_a_stranger(tree: objects.ObjectTree) -> None:
    stores.put(tree, CONTENT)
    (tree.root / "objects" / "lost+found").mkdir()
    (tree.root / "objects" / "notes.txt").write_text("mine")
    (tree.root / "objects" / ("0" * 64)).symlink_to("/etc/passwd")
    (tree.root / "partial" / "notes.data").write_text("mine")
    assert {path.name for path in tree.strangers()} == {"lost+found", "notes.txt", "0" * 64}
    assert [each.sha256 for each in tree.whole()] == [NAME]
    assert list(tree.partials()) == []


def test_an_object_that_is_set_aside_keeps_its_bytes(tree: objects.ObjectTree) -> None:
    stores.put(tree, CONTENT)
    tree.set_aside(NAME)
    tree.set_aside(NAME)
    assert files(tree) == {f"damaged/{NAME}"}
    assert (tree.root / "damaged" / NAME).read_bytes() == CONTENT


def test_what_is_removed_is_gone_and_may_be_removed_again(tree: objects.ObjectTree) -> None:
    stores.put(tree, CONTENT)
    tree.remove(NAME)
    tree.remove(NAME)
    assert files(tree) == set()


def test_a_start_sweeps_up_what_a_crash_left_and_nothing_else(tree: objects.ObjectTree) -> None:
    stores.put(tree, CONTENT)
    tree.begin("1" * 64, 5).close()
    kept = files(tree) | {"facts/README", "partial/notes.journal", f"damaged/{'2' * 64}"}
    for name in kept - files(tree):
        (tree.root / name).touch()
    for name in (f"facts/{'3' * 64}", f"facts/.{NAME}.new", f"partial/{'4' * 64}.journal"):
        (tree.root / name).touch()
    tree.prepare()
    assert files(tree) == kept


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_whichever_call_of_a_publish_fails_nothing_half_done_stays(
    tmp_path: pathlib.Path, number: int
) -> None:
    nth = 0
    while True:
        clean = stores.tree_at(tmp_path / f"{number}-{nth}")
        incoming = clean.begin(NAME, len(CONTENT))
        stores.fill(incoming, CONTENT)
        incoming.close()
        refusing = disks.Refusing(nth, number)
        tree = objects.ObjectTree(clean.root, refusing)
        opened = None
        published = False
        try:
            opened = tree.begin(NAME, len(CONTENT))
            # A block that could not be taken up comes again.
            stores.fill(opened, CONTENT)
            tree.publish(opened)
            published = True
            opened.close()
        except OSError:
            if opened is not None:
                opened.discard()
        if not refusing.failed:
            break
        left = {name for name in files(clean) if not name.startswith("partial/")}
        assert published or left == set(), f"after call {nth}"
        stores.put(clean, CONTENT)
        assert stores.read(clean, NAME) == CONTENT
        nth += 1
    assert nth > 10
    assert stores.read(tree, NAME) == CONTENT


def test_wherever_a_publish_is_killed_the_old_state_is_there_or_the_new(
    tmp_path: pathlib.Path,
) -> None:
    outcomes = set()
    nth = 0
    while True:
        root = tmp_path / str(nth)
        stores.tree_at(root)
        dying = disks.Dying(nth)
        with contextlib.suppress(disks.PowerCut):
            stores.put(objects.ObjectTree(root, dying), CONTENT)
        after = stores.tree_at(root)
        whole = [each.sha256 for each in after.whole()]
        outcomes.add(len(whole))
        if whole:
            assert stores.read(after, NAME) == CONTENT
        else:
            with pytest.raises(objects.ObjectMissing):
                after.open(NAME)
            stores.put(after, CONTENT)
            assert stores.read(after, NAME) == CONTENT
        assert files(after) == {f"objects/{NAME}", f"facts/{NAME}"}
        if not dying.dead:
            break
        nth += 1
    assert outcomes == {0, 1}
    assert nth > 15
