"""Lives through histories, cuts the power everywhere, and has what is left judged.

Blocks are small here (2 KiB, four sectors), so that an object of several blocks can be torn in
every way and a state takes milliseconds.
"""

import contextlib
import dataclasses
import errno
import multiprocessing
import os
import pathlib
import random
import tempfile
from collections.abc import Callable, Iterator
from concurrent import futures

from boot_resources.rack import recency
from boot_resources.store import blocks
from support import power, power_cache, power_recording, power_store

BLOCK_SIZE = 2048
_STATES_PER_HISTORY = 50
_SHARE = 10_000
"""From so many states on, every core takes a share."""

Live = Callable[[pathlib.Path, power_recording.Recording, random.Random], None]
Judge = Callable[[pathlib.Path, list[power.Operation], random.Random], None]


ERRORS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclasses.dataclass(frozen=True)
class World:
    """What lives, and who judges what a cut left of it.

    Attributes:
        name: what it is.
        life: lives through one history.
        judge: starts the product on what is there, and asserts what must hold.
        in_trouble: whether the disk fails: one call, some in a row, or all until it is noticed.
    """

    name: str
    life: Live
    judge: Judge
    in_trouble: bool = False

    def live(
        self, root: pathlib.Path, disk: power_recording.Recording, chance: random.Random
    ) -> None:
        """Live through one history."""
        if self.in_trouble:
            disk.fail(chance.randrange(200), chance.choice(ERRORS), chance.choice((1, 1, 4, 1000)))
        self.life(root, disk, chance)

    def troubled(self) -> "World":
        """Return the same world on a disk that fails."""
        return dataclasses.replace(self, name=f"{self.name} in trouble", in_trouble=True)


STORE = World("store", power_store.live, power_store.judge)
CACHE = World("cache", power_cache.live, power_cache.judge)
ONE_STORE = World("store", power_store.live_once, power_store.judge)
ONE_CACHE = World("cache", power_cache.live_once, power_cache.judge)
FIRST_STORE = World("first start of a store", power_store.begin, power_store.judge)
FIRST_CACHE = World("first start of a cache", power_cache.begin, power_cache.judge)


@dataclasses.dataclass(frozen=True)
class Count:
    """How many states were tried; ``distinct`` ones within their history, which were judged."""

    histories: int = 0
    states: int = 0
    distinct: int = 0

    def plus(self, other: "Count") -> "Count":
        """Return the sum."""
        return Count(
            self.histories + other.histories,
            self.states + other.states,
            self.distinct + other.distinct,
        )


class Broken(AssertionError):
    """A state that a power cut could leave, and on which a promise is broken."""


class Lots:
    """A die from a seed."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def below(self, count: int) -> int:
        """Return a number from 0 to ``count`` - 1."""
        return self._chance.randrange(count)


def explore(
    world: World,
    seed: int,
    states: int,
    kind: type[power_recording.Recording] = power_recording.Recording,
) -> Count:
    """Try that many states.

    Raises:
        Broken: with all that is needed to see and to repeat it.
    """
    if states < _SHARE:
        return _explore(world, f"{seed}", states, kind)
    cores = os.cpu_count() or 1
    total = Count()
    # Not by fork: other tests have threads.
    apart = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(cores, mp_context=apart) as pool:
        shares = [
            pool.submit(_explore, world, f"{seed}/{core}", states // cores, kind)
            for core in range(cores)
        ]
        for share in shares:
            total = total.plus(share.result())
    return total


def _explore(world: World, seed: str, states: int, kind: type[power_recording.Recording]) -> Count:
    count = Count()
    with small_blocks(), ground() as place:
        while count.states < states:
            label = f"{seed}/{world.name}/{count.histories}"
            count = count.plus(_explore_history(world, label, place, kind))
    return count


def _explore_history(
    world: World,
    label: str,
    place: power_recording.Ground,
    kind: type[power_recording.Recording],
) -> Count:
    place.clear()
    disk = kind(place.lived, place.pool)
    try:
        world.live(place.lived / "root", disk, random.Random(label))
    except Exception as error:
        # Not even a power cut was needed: a killed process or a failed call was enough.
        nothing = power.Tree(frozenset(), ())
        raise Broken(_report(label, error, disk.log, len(disk.log), nothing)) from error
    seen = set[bytes]()
    for number in range(_STATES_PER_HISTORY):
        chance = random.Random(f"{label}/{number}")
        cut = chance.randrange(len(disk.log) + 1)
        tree = power.after_cut(disk.log[:cut], Lots(chance))
        if tree.key in seen:
            continue
        seen.add(tree.key)
        place.lay(tree)
        try:
            world.judge(place.laid / "root", disk.log[:cut], chance)
        except Exception as error:
            raise Broken(_report(f"{label}/{number}", error, disk.log, cut, tree)) from error
    return Count(1, _STATES_PER_HISTORY, len(seen))


def fail_each(world: World, seed: int, turn: int, *, count: int = 1) -> int:
    """Live through one history again and again; each time another call fails. Return how many.

    What holds while the process goes on is asserted by the world's life; then the disk is judged
    as it is, and as a power cut at the end could leave it.

    Args:
        world: what lives.
        seed: of the history, and of the cuts.
        turn: call ``n`` fails with error ``n + turn`` of ``ERRORS``, round and round.
        count: how many calls in a row fail; none after somebody has noticed.

    Raises:
        Broken: with all that is needed to see and to repeat it.
    """
    nth = 0
    with small_blocks(), ground() as place:
        while True:
            place.clear()
            disk = power_recording.Recording(place.lived, place.pool)
            disk.fail(nth, ERRORS[(nth + turn) % len(ERRORS)], count)
            chance = random.Random(seed)
            tree = power.Tree(frozenset(), ())
            try:
                world.live(place.lived / "root", disk, chance)
                if not disk.failed:
                    return nth
                for die in (Lots(chance), Lucky()):
                    tree = power.after_cut(disk.log, die)
                    place.lay(tree)
                    world.judge(place.laid / "root", disk.log, chance)
            except Exception as error:
                what = f"{world.name}, seed {seed}: call {nth} ({disk.failed}) failed"
                raise Broken(_report(what, error, disk.log, len(disk.log), tree)) from error
            nth += 1


def every(outcome: Callable[[power.Die], power.Tree]) -> Iterator[power.Tree]:
    """Yield each tree once that any fall of the dice gives."""
    seen = set[bytes]()
    falls: list[int] = []
    while True:
        die = _Told(falls)
        tree = outcome(die)
        if tree.key not in seen:
            seen.add(tree.key)
            yield tree
        while die.falls and die.falls[-1] == die.counts[-1] - 1:
            die.falls.pop()
            die.counts.pop()
        if not die.falls:
            return
        die.falls[-1] += 1
        falls = die.falls


class Lucky:
    """A die of which nothing is lost."""

    def below(self, _: int) -> int:
        """Return 0: `power` says that all that is in doubt lasts."""
        return 0


class _Told:
    """A die that falls as it is told, and on 0 from there on."""

    def __init__(self, falls: list[int]) -> None:
        self._told = falls
        self.falls: list[int] = []
        self.counts: list[int] = []

    def below(self, count: int) -> int:
        at = len(self.falls)
        self.falls.append(self._told[at] if at < len(self._told) else 0)
        self.counts.append(count)
        return self.falls[-1]


def _report(
    label: str, error: Exception, log: list[power.Operation], cut: int, tree: power.Tree
) -> str:
    lines = [f"{type(error).__name__}: {error}", f"{label}: power cut after {cut} operations"]
    near = range(max(0, cut - 80), min(len(log), cut + 3))
    lines += [f"  {number:4} {log[number]}" for number in near]
    lines += ["what the disk shows:", *(f"  {path}" for path in sorted(tree.directories))]
    lines += [f"  {path} {file}" for path, file in tree.files]
    return "\n".join(lines)


@contextlib.contextmanager
def small_blocks() -> Iterator[None]:
    """Make blocks, and the log of the order of use, small while this lasts."""
    before = blocks.BLOCK_SIZE, recency._SLACK
    blocks.BLOCK_SIZE, recency._SLACK = BLOCK_SIZE, 4
    try:
        yield
    finally:
        blocks.BLOCK_SIZE, recency._SLACK = before


@contextlib.contextmanager
def ground() -> Iterator[power_recording.Ground]:
    """Give a place in memory, where that can be had: nothing here needs a real disk."""
    memory = pathlib.Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="power-", dir=where) as place:
        yield power_recording.Ground(pathlib.Path(place))
