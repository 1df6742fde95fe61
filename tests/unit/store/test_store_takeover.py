"""A store changes its owner only after all of it was proved anew."""

import json
import pathlib

import pytest

from boot_resources.store import identity, storage, takeover
from support import disks, stores

NEW = "11111111-0000-4000-8000-000000000002"
CONTENTS = [stores.noise(), b"small"]
NAMES = set(map(stores.name_of, CONTENTS))


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give a store of a cluster, with nobody in it."""
    return a_store(tmp_path / "store")


def a_store(root: pathlib.Path) -> pathlib.Path:
    store = stores.storage_at(root)
    for content in CONTENTS:
        stores.put(store, content)
    stores.leave(root)
    return root


def owner(root: pathlib.Path) -> str:
    return str(json.loads((root / "store.json").read_text())["owner"])


def test_it_is_the_new_owner_s_with_all_that_was_in_it(root: pathlib.Path) -> None:
    assert takeover.survey(root).found.owner == stores.CLUSTER
    assert takeover.survey(root).objects == len(NAMES)
    checked: list[int] = []
    report = takeover.take_over(root, NEW, checked.append)
    assert sum(checked) == sum(map(len, CONTENTS))
    assert report.sound.keys() == NAMES
    store = storage.Storage(root, 0, 3600.0)
    assert store.start(NEW).sound.keys() == NAMES
    store.stop()
    before = json.loads((root / "store.json.before").read_text())
    assert before["owner"] == stores.CLUSTER


def test_facts_of_the_former_owner_do_not_count(root: pathlib.Path) -> None:
    first, second = NAMES
    for kind in ("objects", "facts"):
        one, other = root / kind / first, root / kind / second
        one.rename(root / "spare")
        other.rename(one)
        (root / "spare").rename(other)
    report = takeover.take_over(root, NEW, lambda _: None)
    assert {finding.sha256 for finding in report.findings} == {first, second}
    assert {path.name for path in (root / "damaged").iterdir()} == {first, second}


def test_wherever_it_is_killed_the_store_has_one_owner_and_it_can_be_run_again(
    tmp_path: pathlib.Path,
) -> None:
    nth, owners = 0, set()
    while True:
        root = a_store(tmp_path / str(nth))
        stores.damage(root / "objects" / min(NAMES))
        dying = disks.Dying(nth)
        try:
            takeover.take_over(root, NEW, lambda _: None, dying)
        except disks.PowerCut:
            owners.add(owner(root))
        if not dying.dead:
            break
        if owner(root) == stores.CLUSTER:
            takeover.take_over(root, NEW, lambda _: None)
        store = storage.Storage(root, 0, 3600.0)
        assert store.start(NEW).sound.keys() == NAMES - {min(NAMES)}
        store.stop()
        nth += 1
    assert owners == {stores.CLUSTER, NEW}


def test_a_store_that_a_region_has_is_refused(root: pathlib.Path) -> None:
    store = storage.Storage(root, 0, 3600.0)
    store.start(stores.CLUSTER)
    with pytest.raises(identity.InUse):
        takeover.take_over(root, NEW, lambda _: None)
    assert owner(root) == stores.CLUSTER
    store.stop()


def test_what_is_not_laid_out_as_a_store_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "0123456").write_bytes(b"of MAAS")
    with pytest.raises(takeover.NoStore, match="no directory objects/") as caught:
        takeover.survey(tmp_path)
    assert f"boot-resources store adopt {tmp_path}" in caught.value.cure


def test_a_store_of_a_later_version_is_refused(root: pathlib.Path) -> None:
    (root / "store.json").write_text('{"format": 2, "owner": "x"}')
    with pytest.raises(identity.ForeignDirectory, match="format 2"):
        takeover.survey(root)


def test_a_disk_that_takes_no_change_leaves_it_to_its_owner(root: pathlib.Path) -> None:
    with pytest.raises(identity.ForeignDirectory, match="Read-only file system"):
        takeover.take_over(root, NEW, lambda _: None, disks.ReadOnly())
    assert owner(root) == stores.CLUSTER
