"""Region and rack are killed at random moments; nothing wrong is served, nothing needs a hand."""

import contextlib
import hashlib
import http.client
import random
import threading
import time
from pathlib import Path

from boot_resources import errors, units
from boot_resources.demo import signed_source
from support import cloud, command, endurance, towns

SIZE = 6 * units.MIB
BOUND = 5 * units.MIB
"""Of the cache: less than one version has, so that every round evicts."""


class Machines:
    """Machines that fetch whatever there is, again and again, and hash what they get.

    Attributes:
        right: bodies that came whole and right.
        wrong: bodies that came whole and were not.
    """

    def __init__(self, town: towns.Town, seed: int, count: int = 4) -> None:
        self.right = 0
        self.wrong: list[str] = []
        self._town = town
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._fetch, args=(random.Random(f"{seed}/{number}"),))
            for number in range(count)
        ]

    def __enter__(self) -> "Machines":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _fetch(self, chance: random.Random) -> None:
        while not self._end.is_set():
            truth = chance.choice(self._town.source.truth)
            # A machine of a killed rack gets an error, and asks again.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._judge(truth, cloud.get(self._town.rack_port, path_of(truth)))
            self._end.wait(0.01)

    def _judge(self, truth: signed_source.Truth, got: cloud.Got) -> None:
        if got.status != 200:
            return
        with self._lock:
            if hashlib.sha256(got.body).hexdigest() == truth.sha256:
                self.right += 1
            else:
                self.wrong.append(path_of(truth))


def path_of(truth: signed_source.Truth) -> str:
    name = (truth.os, truth.arch, truth.subarch, truth.release, truth.label, truth.version)
    return "/".join(("/images", *name, truth.filename))


def test_kills_at_random_moments_do_no_harm(tmp_path: Path) -> None:
    kills, seed = endurance.kills(20), endurance.seed("kills")
    chance = random.Random(seed)
    with towns.Town(tmp_path, SIZE, BOUND) as town, Machines(town, seed) as machines:
        with cloud.SpaceWatch(town.cache) as watch:
            for number in range(kills):
                start_what_is_down(town)
                if number % 5 == 0:
                    town.publish(f"2026{number:04}")
                asking = threading.Thread(target=ask_for_sync, args=(town,))
                asking.start()
                time.sleep(chance.uniform(0.0, 0.7))
                for victim in chance.choice((["region"], ["rack"], ["region", "rack"])):
                    town.site.kill(victim)
                asking.join()
            start_what_is_down(town)
            assert (
                command.run_apart("sync", "--settings", town.site.settings("region")).status == 0
            )
            town.wait_for_images()
            judge_all(town)
    assert machines.wrong == []
    assert machines.right > 0
    assert watch.most <= BOUND


def start_what_is_down(town: towns.Town) -> None:
    for controller in ("region", "rack"):
        if not town.answers(controller):
            town.site.start(controller)


def ask_for_sync(town: towns.Town) -> None:
    # The region may be killed before it has answered.
    with contextlib.suppress(errors.BootResourcesError):
        list(town.site.region.follow("/sync"))


def judge_all(town: towns.Town) -> None:
    """Everything is there, right, on the region's disk and through the rack."""
    verified = command.run_apart("verify", "--json", "--settings", town.site.settings("region"))
    assert (verified.status, verified.document["findings"]) == (0, [])
    cloud.wait_until(lambda: town.site.rack.get("/status")["epoch"] == epoch(town))
    for truth in town.source.truth:
        got = cloud.get(town.rack_port, path_of(truth))
        assert (got.status, cloud.name_of(got.body)) == (200, truth.sha256)
    assert cloud.space_of(town.cache) <= BOUND
    for controller in ("region", "rack"):
        assert "Traceback" not in town.log(controller)


def epoch(town: towns.Town) -> int:
    found: int = town.site.region.get("/status")["epoch"]
    return found
