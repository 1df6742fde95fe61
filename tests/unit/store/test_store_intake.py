"""What is taken out of a directory of others, and what is left."""

import os
import pathlib
import tempfile

import pytest

from boot_resources.store import audit, intake, space, storage
from support import nobody, stores

CONTENTS = [stores.noise(), b"small", b"other", b""]
WANTED = {stores.name_of(content): len(content) for content in CONTENTS}
Outcome = intake.Outcome


@pytest.fixture
def store(tmp_path: pathlib.Path) -> storage.Storage:
    return stores.storage_at(tmp_path / "store")


@pytest.fixture
def theirs(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give a directory of others with all that is wanted, under names that say nothing."""
    directory = tmp_path / "theirs"
    directory.mkdir()
    for number, content in enumerate(CONTENTS):
        (directory / f"file {number}").write_bytes(content)
    return directory


def taken(
    store: storage.Storage,
    directory: pathlib.Path,
    wanted: dict[str, int] = WANTED,
    cancelled: audit.Cancelled = lambda: False,
) -> dict[str, Outcome]:
    found = intake.Intake(store, directory, wanted, cancelled).run()
    return {file.path.name: file.outcome for file in found}


def test_files_are_taken_for_what_their_bytes_are(
    store: storage.Storage, theirs: pathlib.Path
) -> None:
    assert set(taken(store, theirs).values()) == {Outcome.TAKEN}
    assert store.held().keys() == WANTED.keys()
    for content in CONTENTS:
        assert stores.read(store, stores.name_of(content)) == content
    assert set(taken(store, theirs).values()) == {Outcome.HELD}


def test_what_is_taken_is_a_copy(store: storage.Storage, theirs: pathlib.Path) -> None:
    taken(store, theirs)
    with (theirs / "file 0").open("r+b") as stream:
        stream.write(b"their own business")
    assert stores.read(store, stores.name_of(CONTENTS[0])) == CONTENTS[0]


def test_a_file_with_the_name_of_a_wanted_object_and_other_bytes_is_wrong(
    store: storage.Storage, tmp_path: pathlib.Path
) -> None:
    name = stores.name_of(CONTENTS[0])
    (tmp_path / "maas").mkdir()
    (tmp_path / "maas" / name[:7]).write_bytes(CONTENTS[0][:-1])
    (tmp_path / "maas" / name).write_bytes(CONTENTS[0][:-1] + b"!")
    (tmp_path / "maas" / name[:6]).write_bytes(b"a name that is too short")
    assert taken(store, tmp_path / "maas") == {
        name[:7]: Outcome.WRONG,
        name: Outcome.WRONG,
        name[:6]: Outcome.UNKNOWN,
    }
    assert store.held() == {}
    assert list((store.root / "partial").iterdir()) == []


def test_only_one_of_several_files_with_the_same_bytes_is_copied(
    store: storage.Storage, theirs: pathlib.Path
) -> None:
    (theirs / "again").write_bytes(CONTENTS[0])
    found = taken(store, theirs)
    assert sorted([found["again"], found["file 0"]]) == [Outcome.HELD, Outcome.TAKEN]


def test_no_link_is_followed_and_no_pipe_is_opened(
    store: storage.Storage, tmp_path: pathlib.Path, theirs: pathlib.Path
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "to a file").symlink_to(theirs / "file 0")
    (tmp_path / "links" / "to a directory").symlink_to(theirs)
    os.mkfifo(tmp_path / "links" / "pipe")
    assert taken(store, tmp_path / "links") == {}


def test_without_space_for_all_of_it_nothing_is_copied(
    tmp_path: pathlib.Path, theirs: pathlib.Path
) -> None:
    stores.storage_at(tmp_path / "store")
    stores.leave(tmp_path / "store")
    narrow = storage.Storage(tmp_path / "store", 2**60, 3600.0)
    stores.start(narrow)
    with pytest.raises(space.NotEnoughSpace):
        taken(narrow, theirs)
    assert narrow.held() == {}


def test_what_was_copied_in_part_goes_on(store: storage.Storage, theirs: pathlib.Path) -> None:
    name = stores.name_of(CONTENTS[0])
    incoming = store.begin(name, len(CONTENTS[0]))
    incoming.write(1, stores.block_of(CONTENTS[0], 1))
    incoming.close()
    taking = intake.Intake(store, theirs, {name: len(CONTENTS[0])}, lambda: False)
    taking.run()
    assert store.held().keys() == {name}
    assert taking.total - taking.done == len(stores.block_of(CONTENTS[0], 1))


def test_wherever_it_is_ended_it_can_be_run_again(
    tmp_path: pathlib.Path, theirs: pathlib.Path
) -> None:
    asked = 0
    while True:
        store = stores.storage_at(tmp_path / f"store {asked}")
        left = asked

        def cancelled() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        try:
            taken(store, theirs, cancelled=cancelled)
            break
        except audit.Ended:
            pass
        taken(store, theirs)
        assert store.held().keys() == WANTED.keys()
        asked += 1
    assert asked > len(CONTENTS)


def test_a_directory_below_that_cannot_be_read_is_one_unreadable_row() -> None:
    with tempfile.TemporaryDirectory() as name:
        here = pathlib.Path(name)
        here.chmod(0o755)
        store = stores.storage_at(here / "store")
        closed = here / "theirs" / "lost+found"
        closed.mkdir(parents=True)
        (here / "theirs" / "file").write_bytes(CONTENTS[0])
        if os.geteuid() == 0:
            for path in (store.root, *store.root.rglob("*")):
                os.chown(path, nobody.UID, nobody.UID)
        closed.chmod(0)
        found = nobody.do(lambda: taken(store, here / "theirs"))
        assert found == {"file": Outcome.TAKEN, "lost+found": Outcome.UNREADABLE}
        (here / "theirs").chmod(0)
        with pytest.raises(intake.NoDirectory, match="theirs cannot be read: Permission denied"):
            nobody.do(lambda: taken(store, here / "theirs"))
        (here / "theirs").chmod(0o700)
        closed.chmod(0o700)


def test_names_that_may_be_read_of_files_that_may_not_be_are_unreadable() -> None:
    with tempfile.TemporaryDirectory() as name:
        here = pathlib.Path(name)
        here.chmod(0o755)
        store = stores.storage_at(here / "store")
        theirs = here / "theirs"
        theirs.mkdir()
        (theirs / "file").write_bytes(CONTENTS[0])
        # Without the right to search, names can be listed, and nothing be said of the files.
        theirs.chmod(0o444)
        assert nobody.do(lambda: taken(store, theirs)) == {"file": Outcome.UNREADABLE}
        theirs.chmod(0o700)


def test_a_file_that_changes_after_it_was_hashed_is_not_taken(
    store: storage.Storage, theirs: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = storage.Storage.room_for

    def room_for(self: storage.Storage, wanted: dict[str, int]) -> space.Room:
        stores.damage(theirs / "file 0")
        return real(self, wanted)

    monkeypatch.setattr(storage.Storage, "room_for", room_for)
    assert taken(store, theirs)["file 0"] is Outcome.WRONG
    assert stores.name_of(CONTENTS[0]) not in store.held()
    assert list((store.root / "partial").iterdir()) == []
