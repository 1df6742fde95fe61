"""The cache's contract: histories of requests, failures, resizes, kills and rot against a model.

A real rack, a process of its own, fetches over TLS from two regions with moods; real machines ask
it. After every step what the rack holds, in which order, and what its directory takes on the disk
are held against ``support.contract``. What is promised:

- a body that came whole is right, a part of one too; a refusal is a 503, and only where regions
  failed; a 404 only for what nobody lists;
- each block crosses from the regions once for as long as its object stays, however many ask, and
  what was safe on the disk is not fetched again after a stop or a kill;
- the directory takes no more than the bound in force, seen from outside, while blocks come too;
- what goes is the least recently used that nobody is being served;
- an object whose file changed in size, time or inode is never served: it is brought anew. One
  that rotted under all three is served as it is until the scrub finds it, or it is evicted: only
  then may a body be wrong, and only in the bytes that rotted.
"""

import collections
import contextlib
import copy
import functools
import http.client
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, ClassVar, TypeVar, cast

import hypothesis
import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from boot_resources import units
from support import cloud as clouds
from support import contract, endurance, moody, nursery, on_thread, plane_region
from support import trial as trials
from support.trial import CONTENTS, LARGE, NAMES, SIZES

MIB = units.MIB
LIMITS = (MIB, 2 * MIB, 4 * MIB, 7 * MIB, 11 * MIB, 16 * MIB)
OBJECTS = st.sampled_from(range(len(SIZES)))
LISTS = st.sets(OBJECTS, min_size=4)
SMALL = st.sampled_from(range(LARGE))
BOUNDS = st.sampled_from(LIMITS)
MOODS = st.sampled_from(moody.FAILING)
_Step = TypeVar("_Step", bound=Callable[..., None])


def step(**drawn: st.SearchStrategy[Any]) -> Callable[[_Step], _Step]:
    """Declare a rule that counts how often it is taken."""

    def decorate(rule: _Step) -> _Step:
        @functools.wraps(rule)
        def counting(self: "Histories", **values: Any) -> None:
            self.counted[rule.__name__] += 1
            self.history.append((rule.__name__, values))
            with self.told():
                rule(self, **values)

        declare: Any = stateful.rule
        return cast("_Step", declare(**drawn)(counting))

    return decorate


class Histories(stateful.RuleBasedStateMachine, trials.Trial):
    """One history is one instance."""

    def __init__(self) -> None:
        stateful.RuleBasedStateMachine.__init__(self)
        trials.Trial.__init__(self)

    def teardown(self) -> None:
        self.close()

    @stateful.initialize(limit=BOUNDS, listed=LISTS)
    def begin(self, limit: int, listed: set[int]) -> None:
        self.history.append(("begin", {"limit": limit, "listed": listed}))
        self.model = contract.Model(limit)
        self.write_settings()
        self.offer_to_regions(listed)
        self.rack.start()
        self.wait_for_names()

    @stateful.invariant()
    def the_contract_holds(self) -> None:
        if self.history:
            with self.told():
                self.compare()

    # -- machines that ask while all is well

    @step(number=OBJECTS, by_hash=st.booleans())
    def a_machine_fetches(self, number: int, by_hash: bool) -> None:
        number = self.pick(number)
        before, missing, way = self.ways(), self.missing(number), self.request(number)
        got = clouds.get(self.rack.port, self.path(number, by_hash=by_hash))
        assert got.status == 200
        assert len(got.body) == SIZES[number]
        self.judge_body(number, got.body)
        self.settle()
        self.judge_given(number, way, missing)
        assert self.ways() - before == {way: 1}

    @stateful.precondition(lambda self: len(self.listed) < len(NAMES))
    @step(number=OBJECTS)
    def a_machine_asks_for_what_nobody_lists(self, number: int) -> None:
        unlisted = sorted(set(range(len(NAMES))) - self.listed)
        number = unlisted[number % len(unlisted)]
        assert clouds.get(self.rack.port, self.path(number, by_hash=False)).status == 404
        held = self.model.held.get(NAMES[number])
        got = clouds.get(self.rack.port, self.path(number, by_hash=True))
        if held is None or not held.whole or held.changed:
            assert got.status == 404
            if held is not None and held.whole:
                self.model.forget(NAMES[number])
        else:
            assert got.status == 200
            self.judge_body(number, got.body)
            self.model.touch(NAMES[number])

    @step(number=OBJECTS, ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
    def a_machine_fetches_a_range(self, number: int, ends: tuple[float, float]) -> None:
        number = self.pick(number)
        start, last = sorted(int(end * (SIZES[number] - 1)) for end in ends)
        missing, way = self.missing(number), self.request(number)
        wanted = {"Range": f"bytes={start}-{last}"}
        got = clouds.get(self.rack.port, self.path(number, by_hash=False), headers=wanted)
        assert got.status == 206
        assert got.headers["Content-Range"] == f"bytes {start}-{last}/{SIZES[number]}"
        assert len(got.body) == last + 1 - start
        self.judge_body(number, got.body, start)
        self.settle()
        self.judge_given(number, way, missing)

    @step(number=OBJECTS)
    def a_machine_asks_whether_it_has_the_newest(self, number: int) -> None:
        number = self.pick(number)
        path = self.path(number, by_hash=False)
        head = clouds.get(self.rack.port, path, method="HEAD")
        assert (head.status, head.headers["Content-Length"]) == (200, str(SIZES[number]))
        tag = {"If-None-Match": head.headers["ETag"]}
        assert clouds.get(self.rack.port, path, headers=tag).status == 304
        beyond = {"Range": f"bytes={SIZES[number]}-"}
        assert clouds.get(self.rack.port, path, headers=beyond).status == 416
        self.judge_given(number, contract.Way.HIT, set())

    @step(number=OBJECTS, share=st.floats(0, 1))
    def a_machine_goes_away_in_the_middle(self, number: int, share: float) -> None:
        number = self.pick(number)
        missing, way = self.missing(number), self.request(number)
        with contextlib.closing(clouds.Machine(self.rack.port)) as machine:
            machine.ask(self.path(number, by_hash=False))
            self.judge_body(number, machine.take(int(share * SIZES[number])))
            machine.vanish()
        self.settle()
        self.judge_given(number, way, missing)

    @step(number=OBJECTS, starts=st.lists(st.floats(0, 1), min_size=2, max_size=6))
    def many_machines_want_one_object(self, number: int, starts: list[float]) -> None:
        number = self.pick(number)
        missing, way = self.missing(number), self.request(number)
        if way is not contract.Way.FILL:
            missing = set()

        def machine(share: float) -> None:
            start = int(share * (SIZES[number] - 1))
            wanted = {"Range": f"bytes={start}-"}
            got = clouds.get(self.rack.port, self.path(number, by_hash=True), headers=wanted)
            assert (got.status, len(got.body)) == (206, SIZES[number] - start)
            self.judge_body(number, got.body, start)

        with futures.ThreadPoolExecutor(len(starts)) as pool:
            list(pool.map(machine, starts))
        self.settle()
        self.judge_given(number, way, missing)

    @step(numbers=st.lists(SMALL, min_size=2, max_size=6))
    def many_machines_want_many_objects(self, numbers: list[int]) -> None:
        """Let them settle who comes first; the model takes over what came of it."""
        wanted = [number for number in numbers if number in self.listed]

        def machine(number: int) -> bytes:
            got = clouds.get(self.rack.port, self.path(number, by_hash=False))
            assert got.status == 200
            return got.body

        with futures.ThreadPoolExecutor(max(1, len(wanted))) as pool:
            bodies = list(pool.map(machine, wanted))
        for number, body in zip(wanted, bodies, strict=True):
            assert body == CONTENTS[number] or (
                NAMES[number] in self.rotten and body == trials.rotted(CONTENTS[number])
            )
        self.take_over({NAMES[number] for number in wanted})

    @step()
    def a_machine_asks_and_does_not_read(self) -> None:
        if LARGE not in self.listed or len(self.slow) == 2:
            return
        missing, way = self.missing(LARGE), self.request(LARGE)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(on_thread.PATIENCE)
        connection.connect(("127.0.0.1", self.rack.port))
        path = self.path(LARGE, by_hash=False)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: rack\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == 200
        self.slow.append(trials.SlowMachine(LARGE, connection, response, way))
        if way is not contract.Way.PASS:
            self.model.pins[NAMES[LARGE]] += 1
            self.settle()
            self.judge_given(LARGE, way, missing)

    @step(reads=st.booleans())
    def a_slow_machine_ends(self, reads: bool) -> None:
        if not self.slow:
            return
        machine = self.slow.pop(0)
        with machine.connection, machine.response:
            if reads:
                body = machine.response.read()
                assert len(body) == SIZES[LARGE]
                assert body == CONTENTS[LARGE]
        if machine.way is not contract.Way.PASS:
            self.model.pins -= collections.Counter([NAMES[LARGE]])
        self.model.trim()

    # -- regions that fail

    @step(number=OBJECTS, moods=st.tuples(MOODS, MOODS), after=st.integers(0, 2))
    def every_region_fails(
        self, number: int, moods: tuple[moody.Mood, moody.Mood], after: int
    ) -> None:
        number = self.pick(number)
        name, missing = NAMES[number], self.missing(number)
        before = self.model.held.get(name)
        is_hit = before is not None and before.whole and not before.changed
        for region, mood in zip(self.regions, moods, strict=True):
            region.be(mood, after)
        gave = self.ask_in_vain(number)
        assert gave or not is_hit
        self.settle()
        counts = moody.given(*self.regions)[name]
        assert set(counts) <= missing
        self.after_failure(name, number, missing <= set(counts))

    @step(number=OBJECTS, mood=MOODS, after=st.integers(0, 2), which=st.integers(0, 1))
    def one_region_fails(self, number: int, mood: moody.Mood, after: int, which: int) -> None:
        """See the other one make good for it, at the latest when a machine asks again."""
        number = self.pick(number)
        missing, way = self.missing(number), self.request(number)
        self.regions[which].be(mood, after)
        on_thread.wait_until(lambda: self.ask_in_vain(number))
        self.settle()
        counts = moody.given(*self.regions)[NAMES[number]]
        if way is contract.Way.FILL:
            assert set(counts) == missing
            assert set(counts.values()) <= {1}

    @step(number=OBJECTS, other=SMALL)
    def regions_say_nothing_for_a_while(self, number: int, other: int) -> None:
        """Serve what is here as if nothing were; and who waits, when they are back."""
        number = self.pick(number)
        held = self.model.held.get(NAMES[other])
        is_here = held is not None and held.whole and not held.changed
        if not is_here or number == other or self.is_here(number):
            return
        for region in self.regions:
            region.be(moody.Mood.SILENT)
        with futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.ask_in_vain, number)
            on_thread.wait_until(lambda: waiting.done() or self.look()["pinned"])
            got = clouds.get(self.rack.port, self.path(other, by_hash=True))
            assert got.status == 200
            self.judge_body(other, got.body)
            for region in self.regions:
                region.hang_up()
            served = waiting.result()
        if not served:
            on_thread.wait_until(lambda: self.ask_in_vain(number))
        self.take_over({NAMES[number], NAMES[other]})

    # -- what is available, and the bound

    @step(listed=LISTS)
    def the_list_changes(self, listed: set[int]) -> None:
        self.offer_to_regions(listed)
        before = list(self.model.held)
        self.wait_for_names()
        self.take_over(set())
        assert set(self.model.held) <= set(before)

    @step(limit=BOUNDS, by_signal=st.booleans())
    def the_bound_changes_live(self, limit: int, by_signal: bool) -> None:
        before, self.model.limit = self.model.limit, limit
        self.model.bound = max(self.model.bound, limit)
        self.write_settings()
        if by_signal:
            self.rack.signal(signal.SIGHUP)
            on_thread.wait_until(lambda: self.look()["limit"] == limit)
        else:
            changed = self.rack.local.post("/reload")["changed"]
            wanted = {"key": "cache.size", "before": before, "asked": limit, "live": True}
            assert changed == ([wanted] if before != limit else [])
        self.model.trim()

    # -- stops, kills, rot, and the operator

    @step(limit=st.none() | BOUNDS)
    def it_is_stopped_and_started(self, limit: int | None) -> None:
        self.rack.end(signal.SIGTERM)
        self.start_again(limit)

    @step(limit=st.none() | BOUNDS)
    def it_is_killed_and_started(self, limit: int | None) -> None:
        self.rack.end(signal.SIGKILL)
        self.start_again(limit)

    @step(number=OBJECTS, after=st.integers(0, 3))
    def it_is_killed_in_the_middle_of_a_fill(self, number: int, after: int) -> None:
        number = self.pick(number)
        missing = self.missing(number)
        foreseen = copy.deepcopy(self.model).requested(NAMES[number], SIZES[number])
        if foreseen is not contract.Way.FILL or len(missing) <= 2 * after:
            return
        self.request(number)
        for region in self.regions:
            region.be(moody.Mood.HOLDING, after)
        with futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.ask_and_be_left, number)
            on_thread.wait_until(lambda: any(region.gate.has_arrived for region in self.regions))
            self.rack.end(signal.SIGKILL)
            for region in self.regions:
                region.hang_up()
            waiting.result()
        self.model.held[NAMES[number]].whole = False
        assert set(moody.given(*self.regions)[NAMES[number]]) <= missing
        self.start_again(None)

    @step(number=OBJECTS, delay=st.floats(0, 0.05))
    def it_is_killed_at_any_moment(self, number: int, delay: float) -> None:
        """Let the model take over what is left."""
        number = self.pick(number)
        with futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.ask_and_be_left, number)
            futures.wait([waiting], delay)
            self.rack.end(signal.SIGKILL)
            waiting.result()
        self.is_dead()
        self.rack.start()
        self.wait_for_names()
        self.take_over({NAMES[number]})
        if NAMES[number] in self.model.held:
            # Whether the file that is there is the one before is for the next request to tell.
            self.model.held[NAMES[number]].changed = False
            clouds.get(self.rack.port, self.path(number, by_hash=False))
            self.take_over({NAMES[number]})

    @step(
        number=OBJECTS, how=st.sampled_from(["touch", "hide", "cut", "delete", "replace", "facts"])
    )
    def the_disk_rots(self, number: int, how: str) -> None:
        if not self.model.held:
            return
        name = list(self.model.held)[number % len(self.model.held)]
        held = self.model.held[name]
        if name in self.model.pins or held.changed or name in self.rotten:
            return
        place = f"objects/{name}" if held.whole else f"partial/{name}.data"
        path = self.cache / place
        if not path.exists():
            return
        if how == "facts":
            # While the rack runs it remembers what it proved; a start needs the facts.
            facts = self.cache / "facts" / name
            if held.whole and not facts.exists():
                # They went in an earlier life, and nobody asked for the object since.
                assert name in self.factless, f"{name} is whole and has no facts"
                return
            if held.whole and clouds.get(self.rack.port, f"/images/{name}/x").status == 200:
                self.model.touch(name)
                facts.unlink()
                self.factless.add(name)
            return
        trials.spoil(path, how)
        if not held.whole:
            return
        if how == "hide":
            self.rotten.add(name)
        else:
            held.changed = True

    @step(number=st.none() | OBJECTS)
    def an_operator_drops(self, number: int | None) -> None:
        if not self.model.held:
            return
        if number is None:
            asked: dict[str, Any] = {"objects": [], "all": True}
            chosen = set(self.model.held)
        else:
            name = list(self.model.held)[number % len(self.model.held)]
            asked = {"objects": [name[:12]], "all": False}
            chosen = {name}
        in_use = chosen & set(self.model.pins)
        done = self.rack.local.post("/cache/drop", **asked)
        assert (set(done["dropped"]), set(done["in_use"])) == (chosen - in_use, in_use)
        for name in chosen - in_use:
            self.model.forget(name)
            self.rotten.discard(name)


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[trials.Surroundings]:
    """Give what all histories share."""
    directory = tmp_path_factory.mktemp("contract")
    with nursery.Nursery("support.moody:prepare") as shared:
        yield trials.Surroundings(directory, shared, plane_region.Cluster(directory / "members"))


def test_no_history_breaks_the_contract(around: trials.Surroundings) -> None:
    @hypothesis.seed(endurance.seed("rack contract"))
    class Here(Histories):
        counted: ClassVar[collections.Counter[str]] = collections.Counter()

    Here.around = around
    # Shrinking a history takes longer than reading it: real processes take part in each attempt.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.reuse, hypothesis.Phase.generate]
    settings = hypothesis.settings(
        endurance.histories(8), stateful_step_count=25, phases=phases, database=None
    )
    stateful.run_state_machine_as_test(Here, settings=settings)
    endurance.tally("rack contract", **Here.counted)
