"""What is no file of ours is not followed, not opened and not removed, whatever its name."""

import os
import pathlib
from collections.abc import Callable

import pytest

from boot_resources.store import audit, facts, objects, storage
from support import stores

CONTENT = stores.noise()
NAME = stores.name_of(CONTENT)


def link(path: pathlib.Path) -> None:
    path.symlink_to(path.parents[2] / "elsewhere")


def dangle(path: pathlib.Path) -> None:
    path.symlink_to("nowhere")


def make_directory(path: pathlib.Path) -> None:
    path.mkdir()
    (path / "notes").write_text("mine")


KINDS: list[Callable[[pathlib.Path], None]] = [link, dangle, os.mkfifo, make_directory]
PLACES = [
    f"objects/{NAME}",
    f"facts/{NAME}",
    f"partial/{NAME}.data",
    f"partial/{NAME}.journal",
    f"removed/{NAME}",
    f"unknown/{NAME}",
    f"damaged/{NAME}",
]
EVERY_STRANGER = pytest.mark.parametrize(
    ("place", "make"), [(place, make) for place in PLACES for make in KINDS]
)


@pytest.fixture
def elsewhere(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "elsewhere"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def store(tmp_path: pathlib.Path, elsewhere: pathlib.Path) -> storage.Storage:
    assert elsewhere.exists()
    return stores.storage_at(tmp_path / "store", grace=0.0)


@EVERY_STRANGER
def test_a_store_starts_brings_tidies_and_starts_again_whatever_lies_in_its_way(
    store: storage.Storage,
    elsewhere: pathlib.Path,
    place: str,
    make: Callable[[pathlib.Path], None],
) -> None:
    make(store.root / place)
    before = elsewhere.stat()
    stores.start(storage.Storage(store.root, 0, 0.0))
    again = stores.storage_at(store.root, grace=0.0)
    assert again.restore(NAME) is None
    stores.put(again, CONTENT)
    assert stores.read(again, NAME) == CONTENT
    again.tidy(set())
    again.room_for({NAME: 2**60})
    assert stores.storage_at(store.root).held() == {}
    assert elsewhere.read_bytes() == CONTENT
    assert (elsewhere.stat().st_mtime_ns, elsewhere.stat().st_nlink) == (before.st_mtime_ns, 1)
    kept = [path for path in store.root.rglob("*") if path.is_symlink() or path.is_fifo()]
    notes = list(store.root.rglob("notes"))
    assert len(kept) + len(notes) == 1


@pytest.mark.parametrize("make", KINDS)
def test_an_object_that_became_something_else_is_not_opened_and_not_sound(
    store: storage.Storage, make: Callable[[pathlib.Path], None]
) -> None:
    stores.put(store, CONTENT)
    tree = objects.ObjectTree(store.root)
    tree.path(NAME).unlink()
    make(tree.path(NAME))
    with pytest.raises(objects.ObjectChanged):
        tree.open(NAME)
    with pytest.raises(objects.ObjectChanged):
        tree.prove_again(NAME)
    assert audit.check(tree, NAME, lambda _: None).verdict is audit.Verdict.CHANGED


@pytest.mark.parametrize("make", KINDS)
def test_facts_that_became_something_else_are_no_facts(
    store: storage.Storage, make: Callable[[pathlib.Path], None]
) -> None:
    stores.put(store, CONTENT)
    (store.root / "facts" / NAME).unlink()
    make(store.root / "facts" / NAME)
    with pytest.raises(facts.BadFacts):
        objects.ObjectTree(store.root).facts_of(NAME)


@pytest.mark.parametrize("name", ["objects", "facts", "partial", "damaged", "removed", "unknown"])
def test_a_directory_of_ours_that_is_a_link_is_refused(
    store: storage.Storage, tmp_path: pathlib.Path, name: str
) -> None:
    (store.root / name).rename(tmp_path / "moved")
    (store.root / name).symlink_to(tmp_path / "moved")
    with pytest.raises(Exception, match="is a symbolic link"):
        stores.start(storage.Storage(store.root, 0, 0.0))
