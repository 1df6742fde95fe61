"""Those who fetch and judge while controllers are killed: machines, and a member of the plane.

They ask for whole bodies and for ranges, again and again, and hold every byte that comes against
the source's own files. Whoever is cut off, or finds nobody there, asks again.
"""

import contextlib
import http.client
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Self

from boot_resources.demo import signed_source
from support import cloud, real_region, towns

MACHINES = 3
_PAUSE = 0.02


class Payloads:
    """What the source of a town offers, read from its own files.

    Attributes:
        truth: every item that was offered so far; what is named here is in ``bytes``.
        bytes: the content of each object by its sha256.
        names: the sha256 of each file by its path at the source.
    """

    def __init__(self, town: towns.Town) -> None:
        self.truth: tuple[signed_source.Truth, ...] = ()
        self.bytes: dict[str, bytes] = {}
        self.names: dict[str, str] = {}
        self._town = town
        self.learn()

    def learn(self) -> None:
        """Read what was published since the last time."""
        source = self._town.source
        wanted = {each.sha256 for each in source.truth}
        for file in source.directory.rglob("*"):
            path = f"/{file.relative_to(source.directory)}"
            if file.is_file() and path not in self.names:
                content = file.read_bytes()
                sha256 = cloud.name_of(content)
                if sha256 in wanted:
                    self.bytes[sha256] = content
                    self.names[path] = sha256
        self.truth = source.truth


def path_of(truth: signed_source.Truth) -> str:
    """Return the path by which machines ask for an item."""
    name = (truth.os, truth.arch, truth.subarch, truth.release, truth.label, truth.version)
    return "/".join(("/images", *name, truth.filename))


Ask = Callable[[signed_source.Truth, Mapping[str, str]], cloud.Got]


class Witnesses:
    """Machines, and one member of the plane; a context manager that sends them away.

    Attributes:
        bodies: how many whole bodies came, all of them right.
        ranges: how many ranges came, all of them right.
        wrong: who got what wrongly.
    """

    def __init__(self, town: towns.Town, payloads: Payloads, seed: str) -> None:
        self.bodies = 0
        self.ranges = 0
        self.wrong: list[str] = []
        self._town = town
        self._payloads = payloads
        self._end = threading.Event()
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(MACHINES + 1)
        chances = [random.Random(f"{seed}/{number}") for number in range(MACHINES + 1)]
        self._threads = [
            threading.Thread(target=self._be_machine, args=(chance,)) for chance in chances[1:]
        ]
        self._threads.append(threading.Thread(target=self._be_member, args=(chances[0],)))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def wait_until_served(self) -> None:
        """Wait until whole bodies and ranges came, after now."""
        bodies, ranges = self.bodies, self.ranges
        cloud.wait_until(lambda: self.bodies > bodies and self.ranges > ranges)

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Have nobody ask for anything during the block."""
        for _ in self._threads:
            self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release(len(self._threads))

    def _be_machine(self, chance: random.Random) -> None:
        port = self._town.rack_port
        while not self._end.wait(_PAUSE):
            # A machine of a killed rack gets an error, and asks again.
            with contextlib.suppress(OSError, http.client.HTTPException):
                self._look(chance, lambda t, headers: cloud.get(port, path_of(t), headers=headers))

    def _be_member(self, chance: random.Random) -> None:
        member: real_region.Member | None = None
        with contextlib.ExitStack() as stack:
            while not self._end.wait(_PAUSE):
                member = member or stack.enter_context(self._town.member())
                try:
                    self._look(chance, _asking(member))
                except (OSError, http.client.HTTPException):
                    # It connects anew when it asks again.
                    member.close()

    def _look(self, chance: random.Random, ask: Ask) -> None:
        with self._turns:
            self._ask_and_judge(chance, ask)

    def _ask_and_judge(self, chance: random.Random, ask: Ask) -> None:
        truth = chance.choice(self._payloads.truth)
        start, stop = 0, truth.size
        headers: dict[str, str] = {}
        if chance.random() < 0.5:
            start = chance.randrange(truth.size)
            stop = chance.randrange(start, truth.size) + 1
            headers["Range"] = f"bytes={start}-{stop - 1}"
        got = ask(truth, headers)
        if got.status not in (200, 206):
            return
        right = self._payloads.bytes[truth.sha256][start:stop]
        with self._lock:
            if got.body != right:
                self.wrong.append(f"{path_of(truth)} {headers}")
            elif got.status == 200:
                self.bodies += 1
            else:
                self.ranges += 1


def _asking(member: real_region.Member) -> Ask:
    return lambda truth, headers: member.get(f"/v1/objects/{truth.sha256}", headers=headers)
