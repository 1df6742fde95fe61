"""Power cuts: after any operation, whatever of the unsynced the disk kept, nothing is amiss.

A store and a cache live through random histories on a disk that records; `power` says what a cut
could leave; the product starts on that, and its promises are held against what it finds. Half of
the histories have a disk that fails, too. Mutants of the file layer show that the explorer sees
what it is there to see.
"""

import contextlib
import os
import pathlib
import random
from collections.abc import Callable, Iterator

import pytest

from boot_resources import units
from boot_resources.catalog import database, holdings
from boot_resources.plane import durable, members
from support import (
    databases,
    disks,
    endurance,
    power,
    power_explorer,
    power_recording,
    stores,
    syncing,
)

SHARES = {
    power_explorer.STORE: 0.25,
    power_explorer.CACHE: 0.25,
    power_explorer.STORE.troubled(): 0.2,
    power_explorer.CACHE.troubled(): 0.2,
    power_explorer.FIRST_STORE: 0.05,
    power_explorer.FIRST_CACHE: 0.05,
}
"""Of all states that are tried."""


@pytest.mark.parametrize("world", SHARES, ids=lambda world: world.name)
def test_what_a_power_cut_leaves_is_the_old_state_or_the_new(world: power_explorer.World) -> None:
    seed = endurance.seed(f"power cuts, {world.name}")
    states = round(endurance.states(2400) * SHARES[world])
    count = power_explorer.explore(world, seed, states)
    endurance.tally(
        f"power cuts, {world.name}",
        states=count.states,
        distinct=count.distinct,
        histories=count.histories,
        seed=seed,
    )
    assert count.distinct > 10


# What the explorer must find


class _NoSync(power_recording.Recording):
    """A disk layer that forgets to make files durable whose path ends in that way."""

    forgets = ""

    def sync(self, fd: int) -> None:
        path = pathlib.Path(f"/proc/self/fd/{fd}").readlink().relative_to(self.base)
        if not path.match(self.forgets):
            super().sync(fd)


class _NoSyncOfData(_NoSync):
    forgets = "root/partial/*.data"


class _NoSyncOfOrder(_NoSync):
    forgets = "root/order.log"


class _NoSyncOfTouched(_NoSync):
    forgets = "root/objects/*"


class _NoSyncOfNames(power_recording.Recording):
    """A disk layer that never makes names durable."""

    def sync_directory(self, path: pathlib.Path) -> None:
        pass


class _InPlace(power_recording.Recording):
    """A disk layer that writes over what is there."""

    def publish(self, path: pathlib.Path, data: bytes) -> None:
        fd = self.create(path)
        self.truncate(fd)
        self.write(fd, data, 0)
        self.sync(fd)
        self.release(fd)
        self.sync_directory(path.parent)


class _NameFirst(power_recording.Recording):
    """A disk layer that gives a file its name before it has its bytes."""

    def publish(self, path: pathlib.Path, data: bytes) -> None:
        aside = path.with_name(f".{path.name}.new")
        fd = self.create(aside)
        self.truncate(fd)
        self.rename(aside, path)
        self.write(fd, data, 0)
        self.sync(fd)
        self.release(fd)


class _NewNamesOnly(power_recording.Recording):
    """A disk layer that takes a name for durable because it is there."""

    def confirm(self, path: pathlib.Path) -> None:
        pass


STORE, CACHE = power_explorer.STORE, power_explorer.CACHE


@pytest.mark.parametrize(
    ("world", "mutant"),
    [
        (STORE, _NoSyncOfData),
        (STORE, _NoSyncOfTouched),
        (STORE, _NoSyncOfNames),
        (STORE, _InPlace),
        (STORE, _NameFirst),
        (CACHE, _NoSyncOfData),
        (CACHE, _NoSyncOfOrder),
        (CACHE, _NoSyncOfNames),
        (CACHE, _InPlace),
        (CACHE, _NameFirst),
        (power_explorer.FIRST_CACHE, _NewNamesOnly),
    ],
    ids=lambda each: getattr(each, "name", getattr(each, "__name__", "")),
)
def test_a_file_layer_that_cuts_a_corner_is_found_out(
    world: power_explorer.World, mutant: type[power_recording.Recording]
) -> None:
    with pytest.raises(power_explorer.Broken, match="power cut after"):
        power_explorer.explore(world, seed=3, states=9000, kind=mutant)


# Every state of one publication


@pytest.fixture
def ground() -> Iterator[power_recording.Ground]:
    with power_explorer.ground() as place:
        place.clear()
        yield place


def test_in_every_state_that_a_cut_can_leave_a_small_file_is_the_old_one_or_the_new(
    ground: power_recording.Ground,
) -> None:
    old, new = stores.noise(600, seed=1), stores.noise(700, seed=2)
    disk = power_recording.Recording(ground.lived, ground.pool)
    disk.publish(ground.lived / "file", old)
    first = len(disk.log)
    disk.publish(ground.lived / "file", new)
    states = 0
    seen = set()
    for cut in range(first, len(disk.log) + 1):
        for tree in power_explorer.every(_after(disk.log[:cut])):
            content = dict(tree.files)["file"].content
            seen.add(content)
            assert content in ((old, new) if cut < len(disk.log) else (new,))
            states += 1
    assert seen == {old, new}
    assert states > 40
    endurance.tally("every state of one publication", states=states)


def _after(log: list[power.Operation]) -> Callable[[power.Die], power.Tree]:
    return lambda die: power.after_cut(log, die)


# The small files of the plane

MEMBER = members.Member("region-0", members.Role.REGION, "0" * 64)


class _RecordingOs:
    """The module ``os`` as `plane.durable` uses it, recording what it does below one directory."""

    def __init__(self, ground: power_recording.Ground) -> None:
        self.log: list[power.Operation] = []
        self._ground = ground
        self._paths: dict[int, str] = {}
        self._numbers: dict[str, int] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def open(self, path: pathlib.Path, flags: int, mode: int = 0o777) -> int:
        name = path.relative_to(self._ground.lived).as_posix()
        fd = os.open(path, flags, mode)
        self._paths[fd] = "" if name == "." else name
        if flags & os.O_CREAT:
            self._numbers[name] = number = len(self._numbers)
            (self._ground.pool / str(number)).hardlink_to(path)
            self.log.append(power.Create(name, number, os.fstat(fd).st_mtime_ns))
        return fd

    def write(self, fd: int, data: bytes) -> int:
        number, at = self._numbers[self._paths[fd]], os.fstat(fd).st_size
        written = os.write(fd, data)
        time = os.fstat(fd).st_mtime_ns
        self.log.append(power.Write(number, at, bytes(data[:written]), time, written))
        return written

    def fsync(self, fd: int) -> None:
        name = self._paths[fd]
        if name in self._numbers:
            self.log.append(power.Sync(self._numbers[name], good=True))
        else:
            self.log.append(power.SyncDirectory(name))

    def replace(self, source: pathlib.Path, target: pathlib.Path) -> None:
        source.replace(target)
        number = self._numbers[source.name]
        self.log.append(power.Rename(source.name, target.name, number))


def test_in_every_state_that_a_cut_can_leave_a_member_list_is_the_old_one_or_the_new(
    ground: power_recording.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = _RecordingOs(ground)
    monkeypatch.setattr(durable, "os", recording)
    lists = [members.Members(()), members.Members((MEMBER,))]
    members.write(ground.lived / "members.json", lists[0])
    first = len(recording.log)
    members.write(ground.lived / "members.json", lists[1])
    states = 0
    seen = set()
    for cut in range(first, len(recording.log) + 1):
        for tree in power_explorer.every(_after(recording.log[:cut])):
            ground.lay(tree)
            found = members.load(ground.laid / "members.json")
            assert found in (lists if cut < len(recording.log) else lists[1:])
            seen.add(len(found.members))
            states += 1
    assert seen == {0, 1}
    endurance.tally("every state of a member list", states=states)


# The catalog and the disk


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[syncing.Cloud]:
    yield from syncing.small_cloud(tmp_path_factory.mktemp("source"), 2 * units.MIB)


def test_a_cut_between_disk_and_catalog_loses_nothing(
    ground: power_recording.Ground, cloud: syncing.Cloud, tmp_path: pathlib.Path
) -> None:
    seed = endurance.seed("disk and catalog")
    cuts = min(endurance.states(6), 500)
    calls = adopted = 0
    for number in range(cuts + 1):
        chance = random.Random(f"{seed}/{number}")
        ground.clear()
        disk = power_recording.Recording(ground.lived, ground.pool)
        catalog = databases.migrated(f"sqlite:///{tmp_path}/{number}/catalog.sqlite")
        syncing.declare(catalog, cloud)
        with syncing.Region(catalog, ground.lived / "root", parallel=1, disk=disk) as region:
            # The first one is not cut: it says how many calls there are.
            disk.die(chance.randrange(calls) if calls else 10**6)
            with contextlib.suppress(disks.PowerCut):
                region.sync()
            calls = calls or disk.calls
        disk.live_again()
        recorded = _recorded(catalog)
        ground.lay(power.after_cut(disk.log, power_explorer.Lots(chance)))
        with syncing.Region(catalog, ground.laid / "root", parallel=1) as region:
            held = region.store.held()
            assert recorded <= held.keys(), "the catalog counts on what the cut took"
            adopted += len(held.keys() - recorded)
            missing = cloud.wanted().keys() - held.keys()
            before = cloud.server.payload_bytes
            region.sync()
            came = cloud.server.payload_bytes - before
            assert came <= sum(cloud.wanted()[sha256] for sha256 in missing)
            assert region.store.held().keys() == _recorded(catalog) == cloud.wanted().keys()
            for sha256 in cloud.wanted():
                assert stores.name_of(stores.read(region.store, sha256)) == sha256
        catalog.close()
    endurance.tally("disk and catalog", cuts=cuts, adopted=adopted, seed=seed)


def _recorded(catalog: database.Catalog) -> frozenset[str]:
    with catalog.read() as conn:
        return holdings.held(conn, syncing.REGION)
