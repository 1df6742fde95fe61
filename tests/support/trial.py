"""A rack on trial: a real one, its regions, the model of what it promises, and the judgement.

The rack is a process of its own; its regions have moods; ``support.contract`` says what must be.
A story does something to it, tells the model, and lets ``compare`` hold the two together.
"""

import collections
import contextlib
import dataclasses
import http.client
import json
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from boot_resources import units
from support import cloud as clouds
from support import contract, moody, nursery, on_thread, plane_region

logger = logging.getLogger(__name__)
MIB = units.MIB
SIZES = (1, 300_000, MIB, MIB + 1, 2 * MIB + 77, 3 * MIB, 9 * MIB)
"""Bytes of the objects that there are."""
CONTENTS = [clouds.noise(size, seed) for seed, size in enumerate(SIZES)]
NAMES = [clouds.name_of(content) for content in CONTENTS]
IMAGES = [
    clouds.Image({"file": content}, release=f"release-{number}")
    for number, content in enumerate(CONTENTS)
]
LARGE = len(SIZES) - 1
"""More than the buffers of a connection take: a machine that does not read holds it in use."""


@dataclasses.dataclass(frozen=True)
class Surroundings:
    """What all histories of one test share."""

    directory: Path
    nursery: nursery.Nursery
    members: plane_region.Cluster


@dataclasses.dataclass
class SlowMachine:
    """A machine that asked and does not read yet."""

    number: int
    connection: socket.socket
    response: http.client.HTTPResponse
    way: contract.Way


class Trial:
    """One rack on trial.

    Attributes:
        model: what must be; a story sets it before it starts the rack.
        listed: the objects that the regions list.
        slow: machines that asked for the large object and do not read.
        rotten: objects that rotted in a way that only a scrub can see.
        factless: objects whose facts went.
        history: what was done, to be told where it fails.
        counted: how often what was done, over all trials.
    """

    around: Surroundings
    model: contract.Model
    counted: ClassVar[collections.Counter[str]] = collections.Counter()

    def __init__(self) -> None:
        self.counted["histories"] += 1
        self.stack = contextlib.ExitStack()
        place = Path(
            self.stack.enter_context(tempfile.TemporaryDirectory(dir=self.around.directory))
        )
        self.cache = place / "cache"
        self.regions = [
            self.stack.enter_context(moody.Moody(self.around.members.region(f"region-{number}")))
            for number in range(2)
        ]
        self.settings = place / "rack.toml"
        self.ports = on_thread.free_ports(2)
        self.rack = nursery.RackProcess(self.around.nursery, self.settings, self.ports[0])
        self.stack.callback(self.rack.end, signal.SIGKILL)
        self.listed: set[int] = set()
        self.slow: list[SlowMachine] = []
        self.rotten: set[str] = set()
        self.factless: set[str] = set()
        self.most = 0
        self.history: list[tuple[str, dict[str, Any]]] = []
        for region in self.regions:
            region.look = self.measure

    def close(self) -> None:
        """End the rack, its regions and its machines."""
        for machine in self.slow:
            self.let_go(machine)
        self.stack.close()

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Log the history where the block fails: a second run may go another way."""
        try:
            yield
        except BaseException:
            for name, values in self.history:
                logger.error("%s %s", name, values)
            for path in sorted(self.cache.rglob("*")):
                logger.error("%s: %d bytes", path, path.lstat().st_blocks * 512)
            logger.error("the rack's log:\n%s", self.rack.log.read_text()[-4000:])
            raise

    def look(self) -> dict[str, Any]:
        return self.rack.local.get("/cache")

    def transfers(self) -> int:
        regions = self.rack.local.get("/status")["regions"]
        return sum(region["transfers"] for region in regions)

    def measure(self) -> None:
        self.most = max(self.most, clouds.space_of(self.cache))

    def ways(self) -> collections.Counter[str]:
        return collections.Counter(self.look()["requests"])

    def settle(self) -> dict[str, Any]:
        """Wait until no fill is under way, and only slow machines are being served."""
        found: dict[str, Any] = {}

        def is_quiet() -> bool:
            nonlocal found
            found = self.look()
            beside = contract.beside(self.cache, len(found["contents"]))
            space = sum(each["space"] for each in found["contents"])
            return (
                found["pinned"] == len(self.model.pins)
                and not found["filling"]
                and found["beside"] == beside
                and found["used"] == beside + space
                and not self.transfers()
            )

        on_thread.wait_until(is_quiet)
        return found

    def compare(self) -> None:
        self.counted["steps"] += 1
        found = self.settle()
        contents = list(reversed(found["contents"]))
        assert [each["sha256"] for each in contents] == list(self.model.held)
        for each in contents:
            held = self.model.held[each["sha256"]]
            assert each["whole"] == held.whole, each
            held.space = each["space"]
            assert contract.space_on(self.cache, each["sha256"]) <= held.space
        self.model.beside = found["beside"]
        assert found["used"] == self.model.used
        self.measure()
        assert self.most <= self.model.bound
        self.model.seen(found["used"])
        self.most = 0
        assert found["limit"] == self.model.limit
        assert found["over"] == max(0, found["used"] - self.model.limit)
        assert clouds.space_of(self.cache) <= found["used"] <= self.model.bound
        if not self.model.pins:
            assert self.model.bound == self.model.limit
        for region in self.regions:
            region.be(moody.Mood.GOOD)
        assert "Traceback" not in self.rack.log.read_text()

    def take_over(self, used: set[str]) -> None:
        """Let the model be what is seen; only what was used, or made room for it, may differ."""
        found = list(reversed(self.settle()["contents"]))
        names = [each["sha256"] for each in found]
        others = [name for name in self.model.held if name not in used]
        stayed = [name for name in names if name not in used]
        # Of those that nobody used, the pinned stay, and the others go from the oldest on.
        gone = [name for name in others if name not in stayed]
        assert stayed == [name for name in others if name in stayed]
        unpinned = [name for name in others if name not in self.model.pins]
        assert gone == unpinned[: len(gone)]
        before = dict(self.model.held)
        self.model.held.clear()
        for each in found:
            name = each["sha256"]
            held = contract.Held(each["space"], each["whole"])
            if name in before and name not in used:
                held.changed = before[name].changed
            self.model.held[name] = held
        self.forget_rot()

    def forget_rot(self) -> None:
        """Forget what rotted and went; whether it came anew, its bytes tell."""
        for name in list(self.rotten):
            path = self.cache / "objects" / name
            content = CONTENTS[NAMES.index(name)]
            if name not in self.model.held or path.read_bytes() == content:
                self.rotten.discard(name)

    def missing(self, number: int) -> set[int]:
        """Return the blocks of an object that are not safe on the rack's disk."""
        held = self.model.held.get(NAMES[number])
        if held is not None and held.whole and not held.changed:
            return set()
        safe = contract.safe_blocks(self.cache, NAMES[number], CONTENTS[number])
        return contract.all_blocks(CONTENTS[number]) - safe

    def is_here(self, number: int) -> bool:
        held = self.model.held.get(NAMES[number])
        return held is not None and held.whole

    def pick(self, number: int) -> int:
        """Return an object that is listed."""
        listed = sorted(self.listed)
        return listed[number % len(listed)]

    def path(self, number: int, *, by_hash: bool) -> str:
        return f"/images/{NAMES[number]}/x" if by_hash else IMAGES[number].path("file")

    def request(self, number: int) -> contract.Way:
        """Let the model decide what a request of a listed object must lead to."""
        name = NAMES[number]
        way = self.model.requested(name, SIZES[number])
        if way is not contract.Way.HIT:
            self.rotten.discard(name)
        self.counted[f"way: {way}"] += 1
        return way

    def judge_given(self, number: int, way: contract.Way, missing: set[int]) -> None:
        """See that each block crossed once at most, and to a fill those that were missing."""
        counts = moody.given(*self.regions)[NAMES[number]]
        if way is contract.Way.FILL:
            assert set(counts) == missing
        passing = {machine.number for machine in self.slow if machine.way is contract.Way.PASS}
        if number not in passing:
            assert set(counts.values()) <= {1}
            assert way is not contract.Way.HIT or not counts

    def judge_body(self, number: int, body: bytes, start: int = 0) -> None:
        """Hold bytes against what they must be: right, save for those that rotted unseen."""
        content = CONTENTS[number]
        if NAMES[number] in self.rotten and NAMES[number] in self.model.held:
            content = rotted(content)
        assert body == content[start : start + len(body)]

    def ask_in_vain(self, number: int) -> bool:
        """Ask where all may fail; return whether the whole body came."""
        with contextlib.closing(clouds.Machine(self.rack.port)) as machine:
            response = machine.ask(self.path(number, by_hash=False))
            if response.status == 503:
                assert response.headers["Retry-After"]
                response.read()
                return False
            assert response.status == 200
            came = machine.rest_as_it_comes()
            self.judge_body(number, came)
            return len(came) == SIZES[number]

    def ask_and_be_left(self, number: int) -> None:
        """Ask a rack that is about to be killed; what comes of the body is right."""
        with contextlib.closing(clouds.Machine(self.rack.port)) as machine:
            with contextlib.suppress(http.client.HTTPException, OSError):
                machine.ask(self.path(number, by_hash=False))
                self.judge_body(number, machine.rest_as_it_comes())

    def after_failure(self, name: str, number: int, came_whole: bool) -> None:
        """Take over whether the object is here, in part; all else is as after any request."""
        found = {each["sha256"]: each for each in self.look()["contents"]}
        held = self.model.held.get(name)
        admitted = name in found and (held is None or not found[name]["whole"] or came_whole)
        if held is not None and held.whole and not held.changed:
            self.model.touch(name)
        elif admitted:
            was_partial = held is not None and not held.whole
            shadow = self.request(number)
            if shadow is contract.Way.PASS:
                assert was_partial
            else:
                assert found[name]["whole"] <= came_whole
                self.model.held[name].whole = found[name]["whole"]
        elif held is not None and held.changed and held.whole:
            self.model.forget(name)
            self.rotten.discard(name)
        else:
            self.model.touch(name)

    def offer_to_regions(self, listed: set[int]) -> None:
        self.listed = set(listed)
        for region in self.regions:
            region.offer(*(IMAGES[number] for number in sorted(listed)))

    def wait_for_names(self) -> None:
        """Wait until the list is in force, and on the disk where there is room for it."""
        epoch = self.regions[0].images["epoch"]

        def is_kept() -> bool:
            status = self.rack.local.get("/status")
            full = any(each["scope"] == "names" for each in status["notices"])
            with contextlib.suppress(OSError, ValueError):
                kept = json.loads((self.cache / "names.json").read_text())["epoch"] == epoch
                return bool(status["epoch"] == epoch and (kept or full))
            return full

        on_thread.wait_until(is_kept)

    def write_settings(self) -> None:
        addresses = [region.address for region in self.regions]
        wishes = nursery.Wishes(
            self.cache, self.model.limit, addresses, self.around.members, self.ports
        )
        wishes.write(self.settings)

    def start_again(self, limit: int | None) -> None:
        self.is_dead()
        if limit is not None:
            self.model.limit = limit
            self.write_settings()
        self.model.trim()
        self.model.bound = self.model.limit
        self.rack.start()
        self.wait_for_names()

    def is_dead(self) -> None:
        """Let the model know what a start will find: only the disk counts, nobody is served."""
        for machine in self.slow:
            self.let_go(machine)
        self.slow.clear()
        self.model.pins.clear()
        for name, held in list(self.model.held.items()):
            place = f"objects/{name}" if held.whole else f"partial/{name}.data"
            if not (self.cache / place).exists():
                self.model.forget(name)
            held.space = contract.space_on(self.cache, name)
            if held.whole and not (self.cache / "facts" / name).exists():
                # What it proved it remembered; a start needs the facts.
                held.changed = True

    def let_go(self, machine: SlowMachine) -> None:
        machine.response.close()
        machine.connection.close()


def rotted(content: bytes) -> bytes:
    """Return the bytes that ``spoil`` makes of an object."""
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def spoil(path: Path, how: str) -> None:
    """Change a file below a running rack."""
    found, content = path.stat(), path.read_bytes()
    later = found.st_mtime_ns + 10**9
    if how == "delete":
        path.unlink()
        return
    if how == "replace":
        path.rename(path.with_suffix(".aside"))
        path.write_bytes(rotted(content))
        path.with_suffix(".aside").unlink()
    elif how == "cut":
        os.truncate(path, len(content) - 1)
    else:
        with path.open("r+b") as file:
            file.write(rotted(content))
    os.utime(path, ns=(found.st_atime_ns, later if how == "touch" else found.st_mtime_ns))
