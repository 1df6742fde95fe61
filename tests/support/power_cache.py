"""A rack's cache under the explorer: what it goes through, and what must hold after a cut."""

import asyncio
import contextlib
import pathlib
import random
from collections.abc import Awaitable, Callable

from boot_resources import errors
from boot_resources.rack import cache
from boot_resources.store import partial
from support import disks, power, power_recording, stores

CONTENTS = {
    stores.name_of(content): content
    for content in (
        stores.noise(size, seed=number)
        for number, size in enumerate((5000, 2048, 700, 0, 9300, 4097, 12000, 6100))
    )
}
"""The objects, in blocks of 2048 bytes (see ``power_explorer``)."""
LIMIT = 110_000
"""Bytes: room for three or four of them."""
NAMES = b'{"cluster": "none"}'
Action = Callable[[random.Random], Awaitable[None]]


class Life:
    """One process with a cache. It is told what to do as the supply of a rack tells it."""

    def __init__(self, root: pathlib.Path, disk: power_recording.Recording) -> None:
        self._root = root
        self._disk = disk
        self.cache = cache.Cache(root, LIMIT, disk)
        self.is_running = False

    async def start(self, _: random.Random) -> None:
        self.cache.start()
        self.is_running = True

    def end(self) -> None:
        """Let the directory go, as the end of a process does."""
        self.is_running = False
        self.cache._leave()

    async def restart(self, chance: random.Random) -> None:
        if self.is_running:
            self.cache.stop()
            self.is_running = False
        limit = chance.choice((LIMIT, LIMIT, LIMIT // 2))
        self.cache = cache.Cache(self._root, limit, self._disk)
        await self.start(chance)

    async def go(self, action: Action, chance: random.Random) -> None:
        """Do something; where the disk fails it, the disk works again and all must be well."""
        try:
            await action(chance)
        except (OSError, errors.BootResourcesError):
            if not self._disk.failed:
                raise
            self._disk.work_again()
            if not self.is_running:
                await self.restart(chance)
            self.check()

    def check(self) -> None:
        """Assert what holds while the process goes on, whatever failed before."""
        usage = self.cache.usage()
        taken = power_recording.space(self._root)
        assert taken <= usage.used <= usage.limit, f"{taken} bytes taken, {usage}"
        for sha256, entry in self.cache.contents():
            if entry.whole:
                read(self.cache, sha256)

    async def act(self, chance: random.Random) -> None:
        """Do something that a rack does, or that happens to it."""
        actions = [self.fill] * 6 + [self.use] * 6 + [self.sync] * 2
        actions += [self.drop, self.resize, self.restart, self.rot, self.list_names, self.lie]
        await chance.choice(actions)(chance)

    async def fill(self, chance: random.Random) -> None:
        """Bring in an object, or a part of it."""
        await self._fill_any(chance, chance.random() < 0.3, lies=False)

    async def lie(self, chance: random.Random) -> None:
        """Fill an object from a region that gives other bytes."""
        await self._fill_any(chance, chance.random() < 0.5, lies=True)

    async def _fill_any(self, chance: random.Random, stops: bool, lies: bool) -> None:
        whole = {name for name, entry in self.cache.contents() if entry.whole}
        missing = [name for name in CONTENTS if name not in whole]
        if missing:
            await self.fill_one(chance.choice(missing), chance, stops=stops, lies=lies)

    async def fill_one(
        self, sha256: str, chance: random.Random, *, stops: bool = False, lies: bool = False
    ) -> None:
        """Bring an object in, or the first half of what is missing of it."""
        self.cache.pin(sha256)
        try:
            incoming = await self.cache.admit(sha256, stores.map_of(CONTENTS[sha256]))
            if incoming is not None:
                await self._carry_out(incoming, chance, stops, lies)
        finally:
            self.cache.release(sha256)

    async def _carry_out(
        self, incoming: partial.Partial, chance: random.Random, stops: bool, lies: bool
    ) -> None:
        """Do as ``rack.supply`` does with a fill."""
        content = CONTENTS[incoming.sha256]
        order = [index for run in incoming.missing() for index in run]
        chance.shuffle(order)
        try:
            for index in order[: len(order) // 2] if stops else order:
                block = stores.block_of(content, index)
                with contextlib.suppress(partial.WrongBlock):
                    incoming.write(index, bytes(len(block)) if lies else block)
            if incoming.whole and not stops:
                await self.cache.publish(incoming)
                self._disk.say("here", incoming.sha256)
                incoming.close()
            else:
                incoming.close()
                self.cache.suspend(incoming.sha256)
        except (partial.WrongObject, OSError):
            self.cache.abandon(incoming)
            raise

    async def use(self, chance: random.Random) -> None:
        """Serve an object that is here."""
        names = [name for name, _ in self.cache.contents()]
        if names:
            sha256 = chance.choice(names)
            opened = self.cache.open(sha256)
            if opened is not None:
                opened.close()
                self.cache.release(sha256)

    async def sync(self, _: random.Random) -> None:
        """Make the order of use durable, as a rack does every few seconds."""
        self.cache.sync()
        order = [name for name, entry in self.cache.contents() if entry.whole]
        self._disk.say("order", " ".join(reversed(order)))

    async def drop(self, chance: random.Random) -> None:
        await self.cache.drop([chance.choice(list(CONTENTS))])

    async def resize(self, chance: random.Random) -> None:
        await self.cache.resize(chance.choice((LIMIT, LIMIT * 2 // 3)))

    async def rot(self, chance: random.Random) -> None:
        """Have a byte of an object change; it is found when it is opened, or at a restart."""
        whole = [name for name, entry in self.cache.contents() if entry.whole and CONTENTS[name]]
        if whole:
            sha256 = chance.choice(whole)
            self._disk.say("gone", sha256)
            self._disk.rot(self._root / "objects" / sha256)

    async def list_names(self, _: random.Random) -> None:
        """Keep a list of what is available beside the objects."""
        if await self.cache.reserve(2 * len(NAMES)):
            try:
                self._disk.publish(self._root / cache.NAMES, NAMES)
                self._disk.say("names", "")
            finally:
                self.cache.give_back(2 * len(NAMES))


def judge(root: pathlib.Path, log: list[power.Operation], chance: random.Random) -> None:
    """Start a cache on what a cut left, and assert what must hold.

    Args:
        root: where the tree lies.
        log: what was done and promised before the cut.
        chance: which object is brought in afterwards.
    """
    laid = power_recording.space(root) if root.exists() else 0
    here = _promised(log)
    if any(isinstance(each, power.Said) and each.what == "names" for each in log):
        assert (root / cache.NAMES).read_bytes() == NAMES
    rack = cache.Cache(root, LIMIT)
    rack.start()
    check(rack)
    whole = {name for name, entry in rack.contents() if entry.whole}
    if laid + 25_000 < LIMIT:
        # Nothing had to make room at the start.
        assert here <= whole, "what was whole is lost"
    _check_order(rack, log)
    rack.stop()
    before = power_recording.snapshot(root)
    rack = cache.Cache(root, LIMIT)
    rack.start()
    after = power_recording.snapshot(root)
    for path in before.keys() | after.keys():
        if not path.endswith("order.log"):
            assert before.get(path) == after.get(path), f"a second start changed {path}"
    for sha256 in whole:
        read(rack, sha256)
    asyncio.run(_go_on(rack, chance))
    check(rack)
    rack.stop()


def _promised(log: list[power.Operation]) -> set[str]:
    """Return what was published and neither removed nor damaged since."""
    here = set[str]()
    for operation in log:
        match operation:
            case power.Said("here", sha256):
                here.add(sha256)
            case power.Said("gone", sha256):
                here.discard(sha256)
            case power.Remove(path):
                here.discard(path.rpartition("objects/")[2])
    return here


def _check_order(rack: cache.Cache, log: list[power.Operation]) -> None:
    """Assert that the order is the one that was made durable last, save for what came after."""
    promise = next(
        (each for each in reversed(log) if isinstance(each, power.Said) and each.what == "order"),
        None,
    )
    if promise is None:
        return
    since = log[log.index(promise) :]
    if any(isinstance(each, power.Write | power.Rename) for each in since):
        return
    expected = promise.about.split()
    found = [name for name, _ in reversed(rack.contents()) if name in expected]
    assert found == [name for name in expected if name in found], "the order is another"


def check(rack: cache.Cache) -> None:
    """Assert what must hold of a cache that runs on a disk that works."""
    usage = rack.usage()
    taken = power_recording.space(rack.root)
    assert taken <= usage.used <= usage.limit, f"{taken} bytes taken, {usage}"
    names = {
        kind: {path.name for path in (rack.root / kind).iterdir()}
        for kind in ("objects", "facts", "partial", "damaged")
    }
    assert names["facts"] == names["objects"] or names["facts"] < names["objects"]
    assert names["damaged"] == set()
    known = {name for name, _ in rack.contents()}
    assert {name.partition(".")[0] for name in names["objects"] | names["partial"]} == known
    aside = [path.name for path in rack.root.iterdir() if path.name.startswith(".")]
    assert aside == []


def read(rack: cache.Cache, sha256: str) -> bool:
    """Return whether an object is whole in the cache; assert that its bytes are right."""
    opened = rack.open(sha256)
    if opened is None:
        return False
    with opened, open(opened.fd, "rb", closefd=False) as stream:
        assert stream.read() == CONTENTS[sha256], f"wrong bytes of {sha256[:12]}"
    rack.release(sha256)
    return True


async def _go_on(rack: cache.Cache, chance: random.Random) -> None:
    """Bring an object in, to see that the work can go on."""
    whole = {name for name, entry in rack.contents() if entry.whole}
    sha256 = chance.choice([name for name in CONTENTS if name not in whole])
    rack.pin(sha256)
    incoming = await rack.admit(sha256, stores.map_of(CONTENTS[sha256]))
    assert incoming is not None
    stores.fill(incoming, CONTENTS[sha256])
    await rack.publish(incoming)
    incoming.close()
    rack.release(sha256)
    assert read(rack, sha256)


def begin(root: pathlib.Path, disk: power_recording.Recording, chance: random.Random) -> None:
    """Live through the first start of all, which is killed, and another one."""
    disk.die(chance.randrange(20))
    for _ in range(2):
        life = Life(root, disk)
        with contextlib.suppress(disks.PowerCut):
            asyncio.run(life.start(chance))
        life.end()
        disk.live_again()


def live_once(root: pathlib.Path, disk: power_recording.Recording, chance: random.Random) -> None:
    """Live through one process with a cache."""
    life = Life(root, disk)
    asyncio.run(_live(life, chance, 20))
    life.end()


def live(root: pathlib.Path, disk: power_recording.Recording, chance: random.Random) -> None:
    """Live through some processes with one cache; the first ones may be killed."""
    lives = chance.choice((1, 1, 2, 3))
    for number in range(lives):
        if number < lives - 1:
            disk.die(chance.randrange(chance.choice((25, 150))))
        life = Life(root, disk)
        with contextlib.suppress(disks.PowerCut):
            asyncio.run(_live(life, chance, chance.randrange(6, 24)))
        life.end()
        disk.live_again()


async def _live(life: Life, chance: random.Random, actions: int) -> None:
    await life.go(life.start, chance)
    for _ in range(actions):
        await life.go(life.act, chance)
