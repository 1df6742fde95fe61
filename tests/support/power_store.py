"""A region's store under the explorer: what it goes through, and what must hold after a cut."""

import contextlib
import functools
import pathlib
import random
from collections.abc import Callable
from unittest import mock

from boot_resources import digests, errors
from boot_resources.store import partial, space, storage
from support import disks, power, power_recording, stores

GRACE = 3600.0
CONTENTS = {
    stores.name_of(content): content
    for content in (
        stores.noise(size, seed=number)
        for number, size in enumerate((5000, 2048, 700, 0, 9300, 4097))
    )
}
"""The objects, in blocks of 2048 bytes (see ``power_explorer``)."""


class Life:
    """One process with a store, and what it has promised so far."""

    def __init__(self, root: pathlib.Path, disk: power_recording.Recording) -> None:
        self._root = root
        self._disk = disk
        self.store = storage.Storage(root, 0, GRACE, disk)
        self.is_running = False

    def start(self) -> None:
        self.store.start(stores.CLUSTER)
        self.is_running = True

    def end(self) -> None:
        """Let the directory go, as the end of a process does."""
        self.is_running = False
        self.store.stop()

    def restart(self) -> None:
        self.end()
        self.store = storage.Storage(self._root, 0, GRACE, self._disk)
        self.start()

    def go(self, action: Callable[[], None]) -> None:
        """Do something; where the disk fails it, the disk works again and all must be well."""
        try:
            action()
        except (OSError, errors.BootResourcesError):
            if not self._disk.failed:
                raise
            self._disk.work_again()
            if not self.is_running:
                self.restart()
            self.check()

    def check(self) -> None:
        """Assert what holds while the process goes on, whatever failed before."""
        for sha256, proof in self.store.held().items():
            assert stores.read(self.store, sha256) == CONTENTS[sha256]
            assert proof.size == len(CONTENTS[sha256])
        here = {sha256 for sha256, what in self.promised.items() if what == "here"}
        assert here <= self.store.held().keys(), "what was published is held no longer"

    def act(self, chance: random.Random) -> None:
        """Do something that a region does, or that happens to it."""
        actions = [self.bring] * 6 + [self.tidy, self.restore] * 2
        actions += [self.give_up, self.rot, self.touch, self.lose_facts, self.make_room]
        actions += [self.verify, self.lie]
        chance.choice(actions)(chance)

    def bring(self, chance: random.Random) -> None:
        """Fetch an object, or a part of it."""
        missing = [sha256 for sha256 in CONTENTS if sha256 not in self.store.held()]
        if missing:
            sha256 = chance.choice(missing)
            self.fetch(sha256, CONTENTS[sha256], chance, stops=chance.random() < 0.3)

    def lie(self, chance: random.Random) -> None:
        """Fetch an object from a source that gives other bytes."""
        missing = [sha256 for sha256 in CONTENTS if sha256 not in self.store.held()]
        if missing:
            sha256 = chance.choice(missing)
            content = CONTENTS[sha256]
            self.fetch(sha256, bytes(len(content)), chance, stops=chance.random() < 0.5)

    def fetch(self, sha256: str, content: bytes, chance: random.Random, *, stops: bool) -> None:
        """Bring an object in, or the first half of what is missing of it."""
        incoming = self.store.begin(sha256, len(content))
        order = [index for run in incoming.missing() for index in run]
        chance.shuffle(order)
        if stops:
            order = order[: len(order) // 2]
        try:
            for index in order:
                incoming.write(index, stores.block_of(content, index))
            if not stops:
                self.store.publish(incoming)
                self.say("here", sha256)
        except partial.WrongObject:
            incoming.discard()
        except OSError:
            # As the sync does it.
            incoming.discard()
            raise
        else:
            incoming.close()

    def tidy(self, chance: random.Random) -> None:
        wanted = {sha256 for sha256 in CONTENTS if chance.random() < 0.7}
        for sha256 in self.promised.keys() - wanted:
            if self.promised[sha256] == "here":
                self.say("leaving", sha256)
        self.store.tidy(wanted)

    def restore(self, chance: random.Random) -> None:
        leaving = [sha256 for sha256, what in self.promised.items() if what == "leaving"]
        if leaving:
            sha256 = chance.choice(leaving)
            if self.store.restore(sha256) is not None:
                self.say("here", sha256)

    def give_up(self, chance: random.Random) -> None:
        sha256 = self._one_held(chance)
        if sha256:
            self.say("gone", sha256)
            self.store.give_up(sha256, "another region found other bytes")

    def make_room(self, chance: random.Random) -> None:
        for sha256 in list(self.promised):
            if self.promised[sha256] == "leaving":
                self.say("gone", sha256)
        with mock.patch.object(space, "room", self._lacks_a_byte):
            self.store.room_for({"0" * 64: 1})

    def _lacks_a_byte(self, path: pathlib.Path, *_: int) -> space.Room:
        """Say that a byte of the disk is lacking, until nothing is kept that may go."""
        kept = [each for name in ("damaged", "removed") for each in (path / name).iterdir()]
        return space.Room(path, needed=1, free=0 if kept else 1, reserve=0)

    def verify(self, chance: random.Random) -> None:
        self.store.verify(lambda _: None)

    def rot(self, chance: random.Random) -> None:
        """Have a byte of an object change, it is found when it is opened, or at a restart."""
        sha256 = self._one_held(chance)
        if sha256 and CONTENTS[sha256]:
            self.say("gone", sha256)
            self._disk.rot(self._root / "objects" / sha256)
            if chance.random() < 0.5:
                self.restart()
            else:
                with contextlib.suppress(Exception):
                    self.store.open(sha256).close()

    def touch(self, chance: random.Random) -> None:
        """Have an operator touch an object; a restart proves it anew."""
        sha256 = self._one_held(chance)
        if sha256:
            with self._disk.spared():
                self._disk.touch(self._root / "objects" / sha256)
            self.restart()

    def lose_facts(self, chance: random.Random) -> None:
        """Have an operator remove the facts about an object; a restart proves it anew."""
        sha256 = self._one_held(chance)
        if sha256:
            with self._disk.spared():
                self._disk.remove(self._root / "facts" / sha256)
            self.restart()

    def say(self, what: str, sha256: str) -> None:
        self._disk.say(what, sha256)

    @property
    def promised(self) -> dict[str, str]:
        """What was promised last of each object."""
        said = (each for each in self._disk.log if isinstance(each, power.Said))
        return {each.about: each.what for each in said}

    def _one_held(self, chance: random.Random) -> str:
        here = [sha256 for sha256 in self.store.held() if self.promised.get(sha256) == "here"]
        return chance.choice(here) if here else ""


def judge(root: pathlib.Path, log: list[power.Operation], chance: random.Random) -> None:
    """Start a store on what a cut left, and assert what must hold.

    Args:
        root: where the tree lies.
        log: what was done and promised before the cut.
        chance: which object is brought in afterwards.
    """
    said = [each for each in log if isinstance(each, power.Said)]
    store = storage.Storage(root, 0, GRACE)
    store.start(stores.CLUSTER)
    check(store, said)
    store.stop()
    before = power_recording.snapshot(root)
    store = storage.Storage(root, 0, GRACE)
    store.start(stores.CLUSTER)
    assert power_recording.snapshot(root) == before, "a second start changed something"
    go_on(store, chance)
    store.stop()


def check(store: storage.Storage, said: list[power.Said]) -> None:
    """Assert what must hold of a store that runs on a disk that works."""
    promised = {each.about: each for each in said}
    held = store.held()
    for sha256, proof in held.items():
        assert stores.read(store, sha256) == CONTENTS[sha256], f"wrong bytes of {sha256[:12]}"
        block_map = store.block_map(sha256)
        assert block_map == stores.map_of(CONTENTS[sha256])
        assert (proof.size, proof.map_digest) == (block_map.size, block_map.digest)
    names = {
        kind: {path.name for path in (store.root / kind).iterdir()}
        for kind in ("objects", "facts", "partial", "damaged", "removed", "unknown")
    }
    assert names["objects"] == names["facts"] == held.keys()
    gone = {each.about for each in said if each.what == "gone"}
    for sha256, last in promised.items():
        if last.what == "here":
            assert sha256 in held, f"{sha256[:12]} was published, and is lost"
        if last.what == "leaving" and sha256 not in held:
            assert sha256 in names["removed"], f"{sha256[:12]} was only to be removed, and is lost"
            removed = store.root / "removed" / sha256
            assert removed.read_bytes() == CONTENTS[sha256]
            assert removed.stat().st_mtime_ns >= last.time, "its grace has not begun"
    assert {name.partition(".")[0] for name in names["damaged"]} <= gone, "a sound one is damaged"
    for name in names["partial"]:
        sha256, _, kind = name.partition(".")
        other = {"data": "journal", "journal": "data"}[kind]
        assert digests.is_sha256(sha256)
        assert f"{sha256}.{other}" in names["partial"], f"{name} belongs to nothing"


def go_on(store: storage.Storage, chance: random.Random) -> None:
    """Bring an object in, and begin every other one, to see that the work can go on."""
    missing = [sha256 for sha256 in CONTENTS if sha256 not in store.held()]
    if not missing:
        return
    sha256 = chance.choice(missing)
    for _ in range(2):
        incoming = store.begin(sha256, len(CONTENTS[sha256]))
        stores.fill(incoming, CONTENTS[sha256])
        try:
            store.publish(incoming)
        except partial.WrongObject:
            # A part came from a source that lied; what comes now is all from a good one.
            incoming.discard()
        else:
            incoming.close()
            break
    assert stores.read(store, sha256) == CONTENTS[sha256]
    store.tidy(set(CONTENTS))


def begin(root: pathlib.Path, disk: power_recording.Recording, chance: random.Random) -> None:
    """Live through the first start of all, which is killed, and another one."""
    disk.die(chance.randrange(20))
    for _ in range(2):
        life = Life(root, disk)
        with contextlib.suppress(disks.PowerCut):
            life.start()
        life.end()
        disk.live_again()


def live_once(root: pathlib.Path, disk: power_recording.Recording, chance: random.Random) -> None:
    """Live through one process with a store."""
    life = Life(root, disk)
    life.go(life.start)
    for _ in range(14):
        life.go(functools.partial(life.act, chance))
    life.end()


def live(root: pathlib.Path, disk: power_recording.Recording, chance: random.Random) -> None:
    """Live through some processes with one store; the first ones may be killed."""
    for number in range(lives := chance.choice((1, 1, 2, 3))):
        if number < lives - 1:
            disk.die(chance.randrange(chance.choice((25, 150))))
        life = Life(root, disk)
        with contextlib.suppress(disks.PowerCut):
            life.go(life.start)
            for _ in range(chance.randrange(4, 14)):
                life.go(functools.partial(life.act, chance))
        life.end()
        disk.live_again()
