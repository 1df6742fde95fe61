"""A region's image-storage: it holds what it can prove, and lets go slowly."""

import contextlib
import os
import pathlib
import time
from collections.abc import Callable

import pytest

from boot_resources import units
from boot_resources.store import audit, facts, identity, objects, space, storage
from support import disks, stores

CONTENT = stores.noise()
NAME = stores.name_of(CONTENT)
PROOF = facts.Proof(len(CONTENT), stores.map_of(CONTENT).digest)


@pytest.fixture
def store(tmp_path: pathlib.Path) -> storage.Storage:
    return stores.storage_at(tmp_path / "image-storage")


def removed(store: storage.Storage) -> list[str]:
    return sorted(path.name for path in (store.root / "removed").iterdir())


def age(path: pathlib.Path, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def test_what_is_published_is_held_now_and_after_a_restart(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    again = stores.storage_at(store.root)
    for each in (store, again):
        assert each.held() == {NAME: PROOF}
        assert stores.read(each, NAME) == CONTENT
        assert each.block_map(NAME) == stores.map_of(CONTENT)


def test_what_is_not_held_is_not_opened_though_it_lies_there(store: storage.Storage) -> None:
    stores.put(stores.storage_at(store.root), CONTENT)
    assert store.held() == {}
    with pytest.raises(objects.ObjectMissing, match="is not held here"):
        store.open(NAME)
    with pytest.raises(objects.ObjectMissing, match="is not held here"):
        store.block_map(NAME)


def test_an_object_that_somebody_touched_is_held_no_longer(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    stores.damage(store.root / "objects" / NAME)
    with pytest.raises(objects.ObjectChanged):
        store.open(NAME)
    assert store.held() == {}
    assert (store.root / "damaged" / NAME).exists()
    stores.put(store, CONTENT)
    assert stores.read(store, NAME) == CONTENT


@pytest.mark.parametrize("damaged", [True, False])
def test_an_object_without_usable_facts_gives_no_block_map(
    store: storage.Storage, damaged: bool
) -> None:
    stores.put(store, CONTENT)
    if damaged:
        stores.damage(store.root / "facts" / NAME)
    else:
        (store.root / "facts" / NAME).unlink()
    with pytest.raises(objects.ObjectMissing, match="is set aside"):
        store.block_map(NAME)
    assert store.held() == {}


def test_a_disk_that_takes_no_change_does_not_make_it_serve_what_was_touched(
    store: storage.Storage,
) -> None:
    stores.put(store, CONTENT)
    stores.damage(store.root / "objects" / NAME)
    frozen = storage.Storage(store.root, 0, 3600.0, disks.ReadOnly())
    report = stores.start(frozen)
    assert len(report.findings) == 1
    assert frozen.held() == {}


def test_a_verify_stops_holding_what_is_damaged(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    other = stores.put(store, b"other")
    stores.damage(store.root / "objects" / NAME)
    checked: list[int] = []
    report = store.verify(checked.append)
    assert [finding.sha256 for finding in report.findings] == [NAME]
    assert store.held().keys() == {other}


def test_a_start_on_the_store_of_another_cluster_touches_nothing(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    before = sorted(store.root.rglob("*"))
    with pytest.raises(identity.ForeignDirectory):
        storage.Storage(store.root, 0, 0.0).start("another cluster")
    assert sorted(store.root.rglob("*")) == before


def test_a_start_that_the_disk_refuses_is_a_refusal_with_a_cure(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "image-storage"
    identity.establish(root, identity.store_of(stores.CLUSTER), disks.Recorder()).release()
    with pytest.raises(identity.ForeignDirectory, match="Read-only file system") as caught:
        storage.Storage(root, 0, 0.0, disks.ReadOnly()).start(stores.CLUSTER)
    assert "storage.path" in caught.value.cure


def test_what_no_image_needs_moves_aside_and_goes_after_its_grace(store: storage.Storage) -> None:
    kept = stores.put(store, b"kept")
    stores.put(store, CONTENT)
    age(store.root / "objects" / NAME, 10_000)
    assert store.tidy({kept}) == [NAME]
    assert store.held().keys() == {kept}
    assert removed(store) == [NAME]
    assert store.tidy({kept}) == []
    assert removed(store) == [NAME]
    age(store.root / "removed" / NAME, 3599)
    store.tidy({kept})
    assert removed(store) == [NAME]
    age(store.root / "removed" / NAME, 3601)
    store.tidy({kept})
    assert removed(store) == []


def test_wherever_a_tidy_is_killed_the_grace_holds(tmp_path: pathlib.Path) -> None:
    nth = 0
    while True:
        root = tmp_path / str(nth)
        stores.put(stores.storage_at(root), CONTENT)
        age(root / "objects" / NAME, 10_000)
        audit.audit(objects.ObjectTree(root))
        dying = disks.Dying(1_000_000)
        store = storage.Storage(root, 0, 3600.0, dying)
        stores.start(store)
        dying.die_at(nth)
        with contextlib.suppress(disks.PowerCut):
            store.tidy(set())
        again = stores.storage_at(root)
        again.tidy(set())
        assert removed(again) == [NAME]
        assert again.restore(NAME) == PROOF
        if not dying.dead:
            break
        nth += 1
    assert nth >= 4


def test_an_object_that_vanished_is_tidied_without_a_trace(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    (store.root / "objects" / NAME).unlink()
    assert store.tidy(set()) == [NAME]
    assert removed(store) == []


def test_a_partial_object_that_no_image_needs_goes(store: storage.Storage) -> None:
    store.begin(NAME, len(CONTENT)).close()
    store.tidy({NAME})
    assert list((store.root / "partial").iterdir()) != []
    store.tidy(set())
    assert list((store.root / "partial").iterdir()) == []


def test_what_was_removed_can_be_had_back(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    store.tidy(set())
    assert store.restore(NAME) == PROOF
    assert store.held() == {NAME: PROOF}
    assert stores.read(store, NAME) == CONTENT
    assert removed(store) == []
    assert store.restore(NAME) is None


def test_what_was_removed_and_is_damaged_does_not_come_back(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    store.tidy(set())
    stores.damage(store.root / "removed" / NAME)
    assert store.restore(NAME) is None
    assert store.held() == {}
    assert (store.root / "damaged" / NAME).exists()


def test_files_of_others_stay_where_they_are(store: storage.Storage) -> None:
    foreign = [
        store.root / "notes.txt",
        store.root / "objects" / "notes.txt",
        store.root / "removed" / "notes.txt",
        store.root / "partial" / "notes.txt",
    ]
    for path in foreign:
        path.write_text("mine")
        age(path, 10**6)
    stores.put(store, CONTENT)
    store.tidy(set())
    store.room_for({NAME: 2**60})
    stores.storage_at(store.root)
    assert [path.read_text() for path in foreign] == ["mine"] * 4


def test_all_that_is_missing_is_held_against_what_is_free(store: storage.Storage) -> None:
    held = stores.put(store, CONTENT)
    wanted = {held: len(CONTENT), "1" * 64: 10 * units.MIB, "2" * 64: 5}
    needed = space.on_disk(10 * units.MIB) + space.on_disk(5)
    room = store.room_for(wanted)
    assert room.needed == needed
    assert room.path == store.root
    room.require()


def test_what_a_partial_object_has_reserved_is_not_needed_again(store: storage.Storage) -> None:
    content = stores.noise(10 * units.MIB)
    sha256 = stores.name_of(content)
    before = store.room_for({sha256: len(content)})
    incoming = store.begin(sha256, len(content))
    room = store.room_for({sha256: len(content)})
    assert room.needed <= before.needed - len(content)
    incoming.close()


def test_the_reserve_stays_free(store: storage.Storage) -> None:
    status = os.statvfs(store.root)
    greedy = storage.Storage(store.root, status.f_bavail * status.f_frsize, 0.0)
    stores.start(greedy)
    with pytest.raises(space.NotEnoughSpace):
        greedy.room_for({NAME: units.GIB}).require()
    greedy.room_for({}).require()


@pytest.mark.parametrize("seconds", [0, 60, -86400])
def test_what_was_removed_goes_sooner_where_space_is_needed_whatever_the_clock_says(
    store: storage.Storage, seconds: float
) -> None:
    stores.put(store, CONTENT)
    store.tidy(set())
    age(store.root / "removed" / NAME, seconds)
    assert store.room_for({NAME: 1}).lacking == 0
    assert removed(store) == [NAME]
    found = os.statvfs(store.root)
    store.reserve = found.f_bavail * found.f_frsize
    store.room_for({NAME: 1})
    assert removed(store) == []


# Two controllers and one store


def test_a_second_start_is_refused_and_takes_nothing_of_what_is_being_published(
    tmp_path: pathlib.Path,
) -> None:
    root = tmp_path / "image-storage"

    def start_again(call: str, path: pathlib.Path) -> None:
        if (call, path.parent.name) == ("rename", "objects"):
            # Its facts are there by now, and the object is not.
            with pytest.raises(identity.InUse, match="another controller is running") as caught:
                storage.Storage(root, 0, 0.0).start(stores.CLUSTER)
            assert "storage.path" in caught.value.cure
            tried.append(path)

    tried: list[pathlib.Path] = []
    store = storage.Storage(root, 0, 3600.0, disks.WatchedDisk(start_again))
    stores.start(store)
    stores.put(store, CONTENT)
    assert len(tried) == 1
    assert stores.read(store, NAME) == CONTENT


def test_a_store_that_was_left_can_be_had(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    store.stop()
    store.stop()
    assert stores.storage_at(store.root).held() == {NAME: PROOF}


def test_a_start_that_is_ended_leaves_the_store(store: storage.Storage) -> None:
    stores.put(store, CONTENT)
    stores.leave(store.root)
    with pytest.raises(audit.Ended):
        storage.Storage(store.root, 0, 0.0).start(stores.CLUSTER, lambda: True)
    assert stores.storage_at(store.root).held() == {NAME: PROOF}


# What is lost is told


@pytest.fixture
def told() -> list[audit.Finding]:
    """Give what the store said that it lost."""
    return []


@pytest.fixture
def telling(tmp_path: pathlib.Path, told: list[audit.Finding]) -> storage.Storage:
    store = storage.Storage(tmp_path / "image-storage", 0, 3600.0, lost=told.append)
    stores.start(store)
    stores.put(store, CONTENT)
    return store


def remove(path: pathlib.Path) -> None:
    path.unlink()


def look_by_opening(store: storage.Storage) -> None:
    with pytest.raises((objects.ObjectMissing, objects.ObjectChanged)):
        store.open(NAME)


def look_at_the_map(store: storage.Storage) -> None:
    with pytest.raises(objects.ObjectMissing):
        store.block_map(NAME)


def look_at_everything(store: storage.Storage) -> None:
    (finding,) = store.verify(lambda _: None).findings
    assert finding.sha256 == NAME


def look_again(store: storage.Storage) -> None:
    finding = store.recheck(NAME)
    assert finding is not None


@pytest.mark.parametrize(
    ("place", "change", "look"),
    [
        ("objects", remove, look_by_opening),
        ("objects", remove, look_at_everything),
        ("objects", remove, look_again),
        ("objects", stores.damage, look_by_opening),
        ("objects", stores.damage, look_at_everything),
        ("objects", stores.damage, look_again),
        ("facts", remove, look_by_opening),
        ("facts", remove, look_at_the_map),
        ("facts", stores.damage, look_at_the_map),
    ],
)
def test_every_loss_is_told_once(
    telling: storage.Storage,
    told: list[audit.Finding],
    place: str,
    change: stores.Change,
    look: Callable[[storage.Storage], None],
) -> None:
    change(telling.root / place / NAME)
    look(telling)
    assert [finding.sha256 for finding in told] == [NAME]
    assert told[0].detail
    with pytest.raises(objects.ObjectMissing, match="not held here"):
        telling.open(NAME)
    telling.recheck(NAME)
    assert len(told) == 1


def test_what_is_sound_after_all_stays(
    telling: storage.Storage, told: list[audit.Finding]
) -> None:
    assert telling.recheck(NAME) is None
    assert telling.held() == {NAME: PROOF}
    assert told == []


def test_what_was_dropped_while_it_was_looked_at_is_no_loss(
    telling: storage.Storage, told: list[audit.Finding]
) -> None:
    def drop_it() -> bool:
        telling.tidy(set())
        return False

    assert telling.recheck(NAME, drop_it) is None
    assert told == []
    assert removed(telling) == [NAME]


def test_an_object_that_came_anew_is_not_lost_for_what_was_wrong_with_the_one_before(
    telling: storage.Storage, told: list[audit.Finding], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = objects.ObjectTree.open

    def open_late(tree: objects.ObjectTree, sha256: str) -> objects.OpenObject:
        """Find it changed; before that can be said, another loses it and the sync brings it."""
        monkeypatch.setattr(objects.ObjectTree, "open", real)
        stores.damage(telling.root / "objects" / NAME)
        with pytest.raises(objects.ObjectChanged):
            telling.open(sha256)
        stores.put(telling, CONTENT)
        raise objects.ObjectChanged("found a while ago")

    monkeypatch.setattr(objects.ObjectTree, "open", open_late)
    with pytest.raises(objects.ObjectChanged, match="a while ago"):
        telling.open(NAME)
    assert len(told) == 1
    assert stores.read(telling, NAME) == CONTENT


def test_an_object_that_is_disputed_is_given_up(
    telling: storage.Storage, told: list[audit.Finding]
) -> None:
    telling.give_up(NAME, "another region found something else")
    assert telling.held() == {}
    assert [finding.verdict for finding in told] == [audit.Verdict.DISPUTED]
    assert (telling.root / "damaged" / NAME).exists()


def test_a_verify_that_is_ended_says_so_and_lets_go_of_nothing_that_is_sound(
    telling: storage.Storage, told: list[audit.Finding]
) -> None:
    with pytest.raises(audit.Ended):
        telling.verify(lambda _: None, lambda: True)
    assert telling.held() == {NAME: PROOF}
    assert told == []


def damaged(store: storage.Storage) -> list[str]:
    return sorted(path.name for path in (store.root / "damaged").iterdir())


def test_what_is_damaged_is_kept_for_its_grace_from_when_it_was_found(
    store: storage.Storage,
) -> None:
    stores.put(store, CONTENT)
    path = store.root / "objects" / NAME
    stores.damage(path)
    age(path, 10_000)
    store.verify(lambda _: None)
    store.tidy(set())
    assert damaged(store) == [NAME]
    age(store.root / "damaged" / NAME, 3599)
    store.tidy(set())
    assert damaged(store) == [NAME]
    age(store.root / "damaged" / NAME, 3601)
    store.tidy(set())
    assert damaged(store) == []


def test_where_space_is_needed_the_damaged_go_first_and_no_more_than_is_needed(
    store: storage.Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [
        store.root / "damaged" / ("a" * 64),
        store.root / "damaged" / ("b" * 64),
        store.root / "removed" / ("c" * 64),
        store.root / "removed" / ("d" * 64),
    ]
    for number, path in enumerate(kept):
        path.write_bytes(b"x")
        age(path, 1000 - 10 * number)

    def room(path: pathlib.Path, needed: int, reserve: int, _: int) -> space.Room:
        """Say that each of them takes one byte of the disk, and that it has four."""
        return space.Room(path, needed, 4 - sum(each.exists() for each in kept), reserve)

    monkeypatch.setattr(space, "room", room)
    monkeypatch.setattr(space, "on_disk", lambda size: size)
    for needed in range(1, 5):
        assert not store.room_for({NAME: needed}).lacking
        assert [path for path in kept if path.exists()] == kept[needed:]
    assert store.room_for({NAME: 5}).lacking == 1
