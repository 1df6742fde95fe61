"""Region and rack are killed at random moments; nothing wrong is served, nothing needs a hand."""

import collections
import contextlib
import enum
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from pathlib import Path

import pytest

from boot_resources import errors, units
from boot_resources.demo import origin
from boot_resources.service import local
from support import cloud, endurance, safekeeping, towns, witnesses

SIZE = 12 * units.MIB
"""Of one version of everything; its largest files have several blocks."""
SOURCE_RATE = 8 * units.MIB
"""Bytes a second of each of the transfers from the source: kills come in the midst of blocks."""
TIGHT = 5 * units.MIB
"""Of a cache: less than one version has, so that most fills evict."""
AMPLE = 1 * units.GIB
LARGEST_TOWN = 25
"""Kills after which a new town is founded: its first starts are killed, too."""


class Moment(enum.StrEnum):
    """What is under way when somebody is killed."""

    START = "start"
    SYNC = "sync"
    SERVE = "serve"
    """Fills and, where the cache is tight, evictions."""
    VERIFY = "verify"
    """The order; the scrub reads on at all moments."""
    DROP = "drop"
    REMOVE = "remove"
    ADOPT = "adopt"


DECK = (
    *(2 * [Moment.START]),
    *(3 * [Moment.SYNC]),
    *(2 * [Moment.SERVE]),
    *(Moment.VERIFY, Moment.DROP, Moment.REMOVE, Moment.ADOPT),
)
"""How often each comes, in an order that is drawn anew each time all have come."""
REGION, RACK, BOTH = ("region",), ("rack",), ("rack", "region")
VICTIMS = {
    Moment.SYNC: (REGION, REGION, RACK, BOTH),
    Moment.SERVE: (REGION, RACK, RACK, BOTH),
    Moment.VERIFY: (REGION, BOTH),
    Moment.DROP: (RACK, BOTH),
    Moment.REMOVE: (REGION, BOTH),
    Moment.ADOPT: (REGION, BOTH),
}
LONGEST_WAIT = {
    Moment.SERVE: 0.5,
    Moment.VERIFY: 0.1,
    Moment.DROP: 0.03,
    Moment.REMOVE: 0.15,
    Moment.ADOPT: 0.1,
}
"""Seconds from the order to the kill; what is ordered takes about as long."""


@pytest.fixture(autouse=True)
def _compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let processes start as fast as those of an installed package: from compiled modules."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))


@pytest.mark.parametrize("bound", [TIGHT, AMPLE], ids=["tight-cache", "ample-cache"])
def test_kills_at_random_moments_do_no_harm(tmp_path: Path, bound: int) -> None:
    seed, left = endurance.seed("kills"), endurance.kills(20) // 2
    chance = random.Random(f"{seed}/{bound}")
    counted: collections.Counter[str] = collections.Counter()
    while left > 0:
        directory = tmp_path / f"town-{left}"
        directory.mkdir()
        with towns.Town(directory, SIZE, bound) as town:
            town.origin.rate = SOURCE_RATE
            town.scrub_all_the_time()
            story = Story(town, chance, counted, ample=bound == AMPLE)
            left -= story.tell(min(left, LARGEST_TOWN), bound)
    endurance.tally("kills", seed=seed, cache=bound, **dict(sorted(counted.items())))


class Story:
    """The kills of one town."""

    def __init__(
        self,
        town: towns.Town,
        chance: random.Random,
        counted: collections.Counter[str],
        *,
        ample: bool,
    ) -> None:
        self._town = town
        self._site = town.site
        self._chance = chance
        self._counted = counted
        self._payloads = witnesses.Payloads(town)
        self._seen = witnesses.Witnesses(town, self._payloads, f"{chance.random()}")
        self._upstream = safekeeping.Upstream(town, self._payloads)
        self._fills = safekeeping.Fills(town, self._payloads) if ample else None
        self._down = set(BOTH)
        self._versions = 0

    def tell(self, kills: int, bound: int) -> int:
        """Kill at least as often as that and judge what came of it; return how often it was."""
        done = 0
        moments = [Moment.START]  # The first starts of all have most to make.
        with cloud.SpaceWatch(self._town.cache) as watch:
            with self._seen:
                while done < kills:
                    moments = moments or self._chance.sample(DECK, len(DECK))
                    done += self._kill_at(moments.pop())
                self._start_what_is_down()
                self._seen.wait_until_served()
            judge_all(self._town, self._payloads)
            self._upstream.judge()
            if self._fills:
                self._fills.judge()
            for controller in BOTH:
                # They stop slowly, and how they stop is told elsewhere.
                self._site.kill(controller)
        assert self._seen.wrong == []
        assert watch.most <= bound
        self._counted.update(bodies=self._seen.bodies, ranges=self._seen.ranges)
        self._counted.update(bytes_lost=self._upstream.lost)
        return done

    def _kill_at(self, moment: Moment) -> int:
        """Kill somebody while that is under way; return how many it were."""
        if moment is Moment.START:
            victims = self._kill_in_start()
        else:
            self._start_what_is_down()
            victims = set(self._chance.choice(VICTIMS[moment]))
            with self._under_way(moment):
                for victim in sorted(victims):
                    self._site.kill(victim)
        if "region" in victims:
            self._town.wait_until_the_source_rests()
            self._upstream.judge()
        if "rack" in victims and self._fills:
            self._fills.close()
        self._down = victims
        self._counted.update(f"{victim} at {moment}" for victim in victims)
        return len(victims)

    def _kill_in_start(self) -> set[str]:
        starting = sorted(self._down)
        if "region" in starting and self._chance.random() < 0.5:
            self._restore_from_backup()
        for controller in starting:
            self._site.launch(controller)
        time.sleep(self._chance.uniform(0.0, 1.0))
        victims = {each for each in starting if self._chance.random() < 0.7} or set(starting)
        for victim in sorted(victims):
            self._site.kill(victim)
        self._wait_for(set(starting) - victims)
        return victims

    def _restore_from_backup(self) -> None:
        """Give objects other times, as a backup does: the audit at the start hashes those."""
        for path in sorted((self._town.store / "objects").glob("*")):
            if self._chance.random() < 0.5:
                os.utime(path)

    def _start_what_is_down(self) -> None:
        for controller in sorted(self._down):
            self._site.launch(controller)
        self._wait_for(self._down)
        if "rack" in self._down and self._fills and self._fills.halves():
            self._finish_fills(self._fills)
        self._down = set()

    def _finish_fills(self, fills: safekeeping.Fills) -> None:
        """Ask for what was half in the cache when the rack was killed."""
        halves = fills.halves()
        with self._seen.at_rest():
            for truth in self._payloads.truth:
                if truth.sha256 in halves:
                    cloud.get(self._town.rack_port, witnesses.path_of(truth))
            fills.judge()
        self._counted["half_fills"] += len(halves)

    def _wait_for(self, launched: Iterable[str]) -> None:
        """Wait until those that were launched answer: none needs a hand."""
        for controller in launched:
            self._site.wait_until_started(controller)

    @contextlib.contextmanager
    def _under_way(self, moment: Moment) -> Iterator[None]:
        """Give an order, and enter the block at some moment of it."""
        sent = self._town.origin.payload_bytes
        order = self._order(moment)
        with futures.ThreadPoolExecutor(1, "order") as pool:
            given = pool.submit(carry_out, order)
            if moment is Moment.SYNC:
                self._wait_for_bytes(sent + self._chance.uniform(0.0, 1.1) * SIZE, given)
            elif moment is Moment.SERVE:
                self._wait_for_half_a_fill()
            else:
                time.sleep(self._chance.uniform(0.0, LONGEST_WAIT[moment]))
            yield
        given.result()
        self._town.origin.on_request = None

    def _order(self, moment: Moment) -> Callable[[], object]:
        region = self._site.region
        match moment:
            case Moment.SYNC:
                self._publish()
                return lambda: list(region.follow("/sync"))
            case Moment.VERIFY:
                return lambda: list(region.follow("/verify"))
            case Moment.SERVE:
                self._seen.wait_until_served()
                if self._fills:
                    # An ample cache has all of it by now.
                    self._drop_everything()
            case Moment.DROP:
                self._seen.wait_until_served()
                return self._drop_everything
            case Moment.REMOVE:
                name = self._chance.choice(self._whole_images())
                return lambda: region.post("/images/remove", name=name, force=True)
            case Moment.ADOPT:
                self._publish()
                # Only so is there something left to take from elsewhere.
                self._town.origin.on_request = refuse_payloads
                list(region.follow("/sync"))
                directory = str(self._copy_of_the_newest())
                return lambda: list(region.follow("/store/adopt", directory=directory))
        return lambda: None

    def _drop_everything(self) -> None:
        if self._fills:
            self._fills.drop()
        self._site.rack.post("/cache/drop", all=True, objects=[])

    def _publish(self) -> None:
        self._versions += 1
        self._town.publish(f"2026{self._versions:04}")
        self._payloads.learn()

    def _copy_of_the_newest(self) -> Path:
        """Return a directory of somebody else's that has all files of the newest version."""
        directory = self._town.store.with_name(f"elsewhere-{self._versions}")
        directory.mkdir()
        version = self._payloads.truth[-1].version
        for path, sha256 in self._payloads.names.items():
            if version in path:
                (directory / sha256).write_bytes(self._payloads.bytes[sha256])
        return directory

    def _whole_images(self) -> list[str]:
        """Return images of which nothing is on its way: of others, what was safe would go."""
        listed = self._site.region.get("/images")["images"]
        whole = ("available", "superseded")
        return [each["name"] for each in listed if each["state"] in whole] or ["n/o/n/e/!/!"]

    def _wait_for_bytes(self, count: float, given: "futures.Future[None]") -> None:
        """Wait until the source has sent as many, and see how far the region says it is."""
        version = self._payloads.truth[-1].version
        while self._town.origin.payload_bytes < count and not given.done():
            self._upstream.note(self._site.region.get("/sync"), version)

    def _wait_for_half_a_fill(self) -> None:
        """Wait until an object is half in the cache, or for the longest wait."""
        end = time.monotonic() + LONGEST_WAIT[Moment.SERVE]
        while time.monotonic() < end:
            filling = self._site.rack.get("/cache")["filling"].values()
            if any(0 < each["here"] < each["size"] for each in filling):
                return


def refuse_payloads(request: origin.Request) -> origin.Reply | None:
    """Answer as a source that has documents only."""
    return None if "/streams/" in request.path else cloud.refuse(request)


def carry_out(order: Callable[[], object]) -> None:
    """Give an order to somebody who may be killed before the answer, or may refuse."""
    with contextlib.suppress(errors.BootResourcesError):
        order()


def judge_all(town: towns.Town, payloads: witnesses.Payloads) -> None:
    """Everything is there, right, on the region's disk and through the rack; nothing is left."""
    region, rack = town.site.region, town.site.rack
    assert list(region.follow("/sync"))[-1]["last_outcome"]["failures"] == []
    verified = list(region.follow("/verify"))[-1]
    assert (verified["findings"], verified["strangers"]) == ([], [])
    cloud.wait_until(lambda: rack.get("/status")["epoch"] == region.get("/status")["epoch"])
    offered = {
        (each["os"], each["arch"], each["subarch"], each["release"], each["version"])
        for each in rack.get("/images")["images"]
    }
    newest = payloads.truth[-1].version
    for truth in payloads.truth:
        got = cloud.get(town.rack_port, witnesses.path_of(truth))
        name = (truth.os, truth.arch, truth.subarch, truth.release, truth.version)
        if truth.version == newest or name in offered:
            assert (got.status, cloud.name_of(got.body)) == (200, truth.sha256)
        else:
            # An operator removed it.
            assert got.status == 404
    # A machine has its last byte a moment before the object is whole.
    cloud.wait_until(lambda: not rack.get("/cache")["filling"])
    for controller, root in (("region", town.store), ("rack", town.cache)):
        assert names_in(root / "facts") == names_in(root / "objects")
        assert names_in(root / "damaged") == set()
        assert "Traceback" not in town.log(controller)
        assert " ERROR " not in town.log(controller)
    assert names_in(town.store / "partial") == set()
    cloud.wait_until(lambda: notices_of(region) == set())
    # In a tight cache, what is in use may leave no room for another object: it passes through.
    cloud.wait_until(lambda: notices_of(rack) <= {"no-room"})


def notices_of(controller: local.Controller) -> set[str]:
    """Return the keys of the notices that stand."""
    return {each["key"] for each in controller.get("/status")["notices"]}


def names_in(directory: Path) -> set[str]:
    """Return what lies in a directory."""
    return {path.name for path in directory.iterdir()}
