"""What leaves the cache counts until it is gone, however slowly it goes."""

import asyncio
import os
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.rack import cache as caches
from boot_resources.store import objects
from support import caches as alone
from support import cloud as clouds
from support import disks, mounts

MIB = units.MIB


def taken(disk: Path) -> int:
    """Return the bytes in use on a file system: also those of files without a name."""
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def test_what_is_lost_counts_while_somebody_reads_it(tmp_path: Path) -> None:
    async def tell(disk: Path) -> None:
        cache = caches.Cache(disk, 9 * MIB)
        cache.start()
        first, *others = (clouds.noise(4 * MIB, seed) for seed in range(3))
        assert await alone.keep(cache, first)
        opened = [cache.open(clouds.name_of(first)) for _ in range(2)]
        cache.lose(clouds.name_of(first))
        assert cache.contents() == []
        for one in opened:
            assert one is not None
            for other in others:
                # One fits beside it; two would not.
                assert await alone.keep(cache, other)
                assert taken(disk) <= cache.usage().used <= 9 * MIB
            assert os.pread(one.fd, MIB, 0) == first[:MIB]
            one.close()
            cache.release(clouds.name_of(first))
        for other in others:
            assert await alone.keep(cache, other)
        assert cache.usage().objects == 2
        assert taken(disk) <= cache.usage().used <= 9 * MIB
        cache.stop()

    with mounts.mounted(tmp_path / "cache", 32 * MIB) as disk:
        asyncio.run(tell(disk))


def test_what_is_lost_beneath_a_reader_on_a_disk_that_keeps_it_counts_once(
    tmp_path: Path,
) -> None:
    async def tell() -> None:
        disk = disks.Keeping()
        cache = caches.Cache(tmp_path, 9 * MIB, disk)
        cache.start()
        content = clouds.noise(4 * MIB)
        name = clouds.name_of(content)
        assert await alone.keep(cache, content)
        used = _used(cache)
        opened = cache.open(name)
        assert opened is not None
        disk.keeps = True
        cache.lose(name)
        assert (_used(cache), cache.usage().stuck) == (used, 1)
        assert cache.open(name) is None
        # Under the name that it still has, nothing comes in.
        assert not await alone.keep(cache, content)
        disk.keeps = False
        await cache.trim()
        assert (_used(cache), cache.usage().stuck) == (used, 0)
        opened.close()
        cache.release(name)
        assert _used(cache) == 0
        assert await alone.keep(cache, content)
        cache.stop()

    asyncio.run(tell())


def _used(cache: caches.Cache) -> int:
    """Return the bytes that count as objects', be they here or on their way out."""
    return cache.usage().used - cache.usage().beside


def test_a_loss_leaves_an_object_that_is_on_its_way_in_to_its_fill(tmp_path: Path) -> None:
    async def tell() -> None:
        cache = caches.Cache(tmp_path, 9 * MIB)
        cache.start()
        content = clouds.noise(MIB)
        cache.pin(clouds.name_of(content))
        incoming = await cache.admit(clouds.name_of(content), clouds.map_of(content))
        assert incoming is not None
        # Who still reads what was here before meets the same spot of the disk.
        cache.lose(clouds.name_of(content))
        incoming.write(0, content)
        await cache.publish(incoming)
        incoming.close()
        assert cache.holds(clouds.name_of(content))
        cache.stop()

    asyncio.run(tell())


def test_who_waits_for_room_has_a_turn_while_much_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 2 * caches._AT_ONCE + 1

    async def tell() -> None:
        cache = caches.Cache(tmp_path, 64 * MIB)
        cache.start()
        for number in range(many):
            assert await alone.keep(cache, b"%d" % number)
        left: list[int] = []

        async def wait_for_room() -> None:
            # It stands behind the shrinking, which has the admission by now.
            await shrinking_began.wait()
            assert not await cache.reserve(1)
            left.append(cache.usage().objects)

        shrinking_began = asyncio.Event()
        loop = asyncio.get_running_loop()
        remove = objects.ObjectTree.remove

        def tell_of_it(self: objects.ObjectTree, sha256: str) -> None:
            asyncio.run_coroutine_threadsafe(_set(shrinking_began), loop).result()
            remove(self, sha256)

        monkeypatch.setattr(objects.ObjectTree, "remove", tell_of_it)
        waiting = asyncio.create_task(wait_for_room())
        await cache.resize(1)
        await waiting
        assert left == [many - caches._AT_ONCE]
        assert cache.usage().objects == 0
        cache.stop()

    asyncio.run(tell())


async def _set(event: asyncio.Event) -> None:
    event.set()
    # Whoever waited for it goes on before the thread does.
    await asyncio.sleep(0)
