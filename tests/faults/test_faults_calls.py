"""Each call to the disk fails once, with each error: nothing bad is held, and the work goes on.

The lives of a store and a cache are those of the power cut explorer. Where a call fails, the
process goes on at once on a disk that works again; then it ends, and is started again on what is
there, and on what a power cut could leave of it.
"""

import asyncio
import contextlib
import errno
import pathlib
import random

import pytest

from boot_resources.store import audit, storage
from support import (
    disks,
    endurance,
    power,
    power_cache,
    power_explorer,
    power_recording,
    power_store,
    stores,
)

WORLDS = pytest.mark.parametrize(
    "world", [power_explorer.ONE_STORE, power_explorer.ONE_CACHE], ids=lambda world: world.name
)


@WORLDS
def test_whichever_call_fails_nothing_bad_is_held_and_the_work_goes_on(
    world: power_explorer.World,
) -> None:
    seed = endurance.seed(f"calls of the {world.name}")
    # The first call fails with one error, the next with the next; in a long run, each with each.
    turns = range(4) if endurance.states(1) > 1 else [seed % 4]
    calls = sum(power_explorer.fail_each(world, seed, turn) for turn in turns)
    assert calls > 20
    endurance.tally(f"calls of the {world.name}", calls=calls, turns=len(turns), seed=seed)


@WORLDS
def test_from_whichever_call_on_the_disk_refuses_all_nothing_bad_is_held(
    world: power_explorer.World,
) -> None:
    seed = endurance.seed(f"refusals to the {world.name}")
    calls = power_explorer.fail_each(world, seed, seed % 4, count=10**6)
    assert calls > 20
    endurance.tally(f"refusals to the {world.name}", calls=calls, seed=seed)


def test_what_a_failed_fsync_left_in_a_store_is_not_trusted_though_it_cannot_be_removed() -> None:
    with power_explorer.small_blocks(), power_explorer.ground() as place:
        place.clear()
        disk = power_recording.Recording(place.lived, place.pool)
        chance = random.Random(1)
        life = power_store.Life(place.lived / "root", disk)
        life.start()
        sha256, content = next(iter(power_store.CONTENTS.items()))
        disk.fail_from("sync", errno.EIO)
        with pytest.raises(OSError, match="Input/output error"):
            life.fetch(sha256, content, chance, stops=False)
        disk.work_again()
        assert any(path.suffix == ".data" for path in (place.lived / "root/partial").iterdir())
        life.fetch(sha256, content, chance, stops=False)
        life.end()
        for _ in range(50):
            place.lay(power.after_cut(disk.log, power_explorer.Lots(chance)))
            power_store.judge(place.laid / "root", disk.log, chance)


def test_what_a_failed_fsync_left_in_a_cache_is_not_trusted_though_it_cannot_be_removed() -> None:
    with power_explorer.small_blocks(), power_explorer.ground() as place:
        place.clear()
        disk = power_recording.Recording(place.lived, place.pool)
        chance = random.Random(1)
        life = power_cache.Life(place.lived / "root", disk)
        sha256 = next(iter(power_cache.CONTENTS))

        async def fill_twice() -> None:
            await life.start(chance)
            disk.fail_from("sync", errno.EIO)
            with pytest.raises(OSError, match="Input/output error"):
                await life.fill_one(sha256, chance)
            disk.work_again()
            life.check()
            await life.fill_one(sha256, chance)

        asyncio.run(fill_twice())
        life.end()
        for _ in range(50):
            place.lay(power.after_cut(disk.log, power_explorer.Lots(chance)))
            power_cache.judge(place.laid / "root", disk.log, chance)


def test_a_disk_without_room_for_the_facts_takes_no_object_out_of_service(
    tmp_path: pathlib.Path,
) -> None:
    content = stores.noise()
    sha256 = stores.put(stores.storage_at(tmp_path / "store"), content)
    stores.leave(tmp_path / "store")
    # As after a restore from a backup: the time is another.
    (tmp_path / "store" / "objects" / sha256).touch()
    full = disks.Full()
    full.full = True
    lost: list[audit.Finding] = []
    store = storage.Storage(tmp_path / "store", 0, 3600.0, full, lost.append)
    stores.start(store)
    assert stores.read(store, sha256) == content
    assert store.block_map(sha256) == stores.map_of(content)
    assert lost == []
    full.full = False
    assert stores.read(stores.storage_at(tmp_path / "store"), sha256) == content
    assert (tmp_path / "store" / "facts" / sha256).exists()
    stores.leave(tmp_path / "store")


@pytest.mark.parametrize("nth", range(6))
def test_what_the_disk_did_not_let_a_tidy_move_the_next_one_moves(
    tmp_path: pathlib.Path, nth: int
) -> None:
    refusing = disks.Refusing(10**9)
    store = storage.Storage(tmp_path / "store", 0, 3600.0, refusing)
    stores.start(store)
    names = {stores.put(store, f"object {number}".encode()) for number in range(3)}
    refusing.fail_at(nth)
    with contextlib.suppress(OSError):
        store.tidy(set())
    assert refusing.failed
    store.tidy(set())
    assert store.held() == {}
    assert {path.name for path in (tmp_path / "store" / "removed").iterdir()} == names
    assert list((tmp_path / "store" / "objects").iterdir()) == []
    stores.leave(tmp_path / "store")
