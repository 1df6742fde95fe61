"""Who has a place, and who leaves: decisions on plain values."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import stateful
from hypothesis import strategies as st

from boot_resources.service import places

GRACE = places.GRACE_SECONDS
MOST = 16
SEATS = 14
HALL = MOST - SEATS


def full_of(addresses: Sequence[str], *, now: float = 0.0) -> tuple[list[places.Guest], "Port"]:
    """Give a port at which one of each of these addresses is served."""
    port: Port = places.Places(MOST)
    served = [places.Guest(address) for address in addresses]
    for guest in served:
        assert port.come(guest, now) is None
        assert port.ask(guest, now) is None
    return served, port


Port = places.Places[places.Guest]


def test_a_flood_that_says_nothing_keeps_no_other_address_out() -> None:
    others, port = full_of([f"busy-{number}" for number in range(SEATS - 1)])
    for moment in range(100):
        now = moment * GRACE / 1000
        for _ in range(20):
            port.come(places.Guest("flood"), now)
        honest = places.Guest("honest")
        assert port.come(honest, now) not in (None, honest)
        for _ in range(20):
            port.come(places.Guest("flood"), now)
        assert port.ask(honest, now) is None
        port.rest(honest, now)
        port.leave(honest)
    assert set(others) <= set(port)


def test_newcomers_do_not_cut_newcomers_of_their_own_address() -> None:
    _, port = full_of(["router"] * SEATS)
    first = [places.Guest("router") for _ in range(HALL)]
    assert [port.come(guest, 1.0) for guest in first] == [None] * HALL
    late = places.Guest("router")
    assert port.come(late, 1.0 + GRACE / 2) is late
    assert set(first) <= set(port)


def test_who_is_silent_longest_leaves_once_its_grace_is_over() -> None:
    _, port = full_of(["a"] * (SEATS - 1))
    rests, hall = places.Guest("b"), [places.Guest("b") for _ in range(HALL)]
    port.come(rests, 0.0)
    port.ask(rests, 0.0)
    for number, guest in enumerate(hall):
        port.come(guest, 2.0 + number)
    port.rest(rests, 2.5)
    assert port.come(places.Guest("a"), 2.0 + GRACE) is hall[0]
    assert port.come(places.Guest("a"), 2.5 + GRACE) is rests


def test_a_grace_begins_anew_when_hands_are_shaken() -> None:
    _, port = full_of(["a"] * SEATS)
    slow, other, late = (places.Guest("a") for _ in range(3))
    port.come(slow, 0.0)
    port.come(other, 1.0)
    port.greet(slow, 5.0)
    assert port.come(late, 1.0 + GRACE) is other
    port.greet(other, 6.0)
    assert other not in set(port)


def test_a_connection_in_use_is_not_silent_however_old_it_is() -> None:
    served, port = full_of(["a"] * SEATS)
    for moment in range(10):
        for guest in served:
            port.rest(guest, float(moment))
            assert port.ask(guest, float(moment)) is None
    for guest in served:
        port.rest(guest, 100.0)
    newcomer = places.Guest("a")
    port.come(newcomer, 100.0)
    assert port.ask(newcomer, 100.0 + GRACE / 2) is newcomer
    assert port.ask(newcomer, 100.0 + GRACE) is served[0]


def test_where_all_are_served_the_latest_of_the_greediest_address_leaves() -> None:
    served, port = full_of(["greedy"] * (SEATS - 1) + ["modest"])
    newcomer = places.Guest("new")
    assert port.come(newcomer, 0.0) is None
    assert port.ask(newcomer, 0.0) is served[SEATS - 2]


def test_of_one_address_who_waits_for_no_answer_leaves_first() -> None:
    served, port = full_of(["greedy"] * SEATS)
    port.rest(served[3], 1.0)
    newcomer = places.Guest("new")
    port.come(newcomer, 1.0)
    assert port.ask(newcomer, 1.0) is served[3]


def test_nobody_loses_a_place_to_who_would_then_have_more() -> None:
    _, port = full_of(["a", "b"] * (SEATS // 2))
    for address in ("a", "b"):
        guest = places.Guest(address)
        port.come(guest, 0.0)
        assert port.ask(guest, 0.0) is guest
        port.leave(guest)


@pytest.mark.parametrize("connections", [4096, 2304])
def test_two_thousand_machines_behind_one_address_are_all_served(connections: int) -> None:
    port: Port = places.Places(connections)
    machines = [places.Guest("router") for _ in range(2000)]
    assert {port.come(machine, 0.0) for machine in machines} == {None}
    assert {port.ask(machine, 0.1) for machine in machines} == {None}


def test_a_storm_larger_than_the_house_is_served_in_turns() -> None:
    port: Port = places.Places(64)
    waiting = [places.Guest("router") for _ in range(2000)]
    served: list[places.Guest] = []
    now = 0.0
    while waiting:
        now += 0.1
        came = [guest for guest in waiting if port.come(guest, now) is None]
        in_turn = [guest for guest in came if port.ask(guest, now) is None]
        assert len(in_turn) == 56
        for guest in came:
            port.leave(guest)
        served += in_turn
        waiting = [guest for guest in waiting if guest not in set(in_turn)]
        if len(waiting) < 64:
            break
    assert len(served) == len(set(served)) > 1900


class Crowd(stateful.RuleBasedStateMachine):
    """Guests who come, ask, rest and leave in any order, and the rule in its plainest words."""

    def __init__(self) -> None:
        super().__init__()
        self.port: Port = places.Places(MOST)
        self.now = 0.0
        self.here: list[places.Guest] = []
        self.asked: set[places.Guest] = set()
        self.busy: set[places.Guest] = set()
        self.since: dict[places.Guest, float] = {}

    def somebody(self, number: int) -> places.Guest:
        return self.here[number % len(self.here)]

    @stateful.rule(seconds=st.floats(0, GRACE))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @stateful.rule(address=st.sampled_from(["a", "b", "c", ""]), count=st.integers(1, MOST))
    def some_come(self, address: str, count: int) -> None:
        for _ in range(count):
            guest = places.Guest(address)
            quiet = set(self.here) - self.busy
            due = self.due(guest, set(self.here) - self.asked, quiet, len(self.here) < MOST)
            leaving = self.port.come(guest, self.now)
            assert leaving in due
            self.here.append(guest)
            self.since[guest] = self.now
            self.forget(leaving)

    @stateful.precondition(lambda self: self.here)
    @stateful.rule(number=st.integers(0, MOST), count=st.integers(1, MOST))
    def some_ask(self, number: int, count: int) -> None:
        for guest in [g for g in self.here[number:] if g not in self.busy][:count]:
            if guest not in self.here:
                assert self.port.ask(guest, self.now) is guest
                continue
            is_room = guest in self.asked or len(self.asked) < SEATS
            due = self.due(guest, self.asked, self.asked - self.busy, is_room)
            leaving = self.port.ask(guest, self.now)
            assert leaving in due
            if leaving is not guest:
                self.asked.add(guest)
                self.busy.add(guest)
                self.forget(leaving)

    @stateful.precondition(lambda self: self.here)
    @stateful.rule(number=st.integers(0, MOST))
    def one_has_its_answer(self, number: int) -> None:
        guest = self.somebody(number)
        self.port.rest(guest, self.now)
        if guest in self.busy:
            self.busy.remove(guest)
            self.since[guest] = self.now

    @stateful.precondition(lambda self: self.here)
    @stateful.rule(number=st.integers(0, MOST))
    def one_shakes_hands(self, number: int) -> None:
        guest = self.somebody(number)
        self.port.greet(guest, self.now)
        if guest not in self.asked:
            self.since[guest] = self.now

    @stateful.precondition(lambda self: self.here)
    @stateful.rule(number=st.integers(0, MOST))
    def one_leaves(self, number: int) -> None:
        guest = self.somebody(number)
        self.port.leave(guest)
        self.forget(guest)
        self.port.leave(guest)

    @stateful.invariant()
    def the_places_suffice(self) -> None:
        assert set(self.port) == set(self.here)
        assert len(self.port) <= MOST
        assert len(self.asked) <= SEATS

    def due(
        self,
        guest: places.Guest,
        rivals: set[places.Guest],
        quiet: set[places.Guest],
        is_room: bool,
    ) -> set[places.Guest | None]:
        """Return those of whom one must leave for this guest."""
        if is_room:
            return {None}
        silent = {g for g in quiet if self.since[g] <= self.now - GRACE}
        if silent:
            longest = min(self.since[each] for each in silent)
            return {each for each in silent if self.since[each] == longest}
        shares = Counter(rival.address for rival in rivals)
        most = max(shares.values(), default=0)
        if most > shares[guest.address] + 1:
            return {rival for rival in rivals if shares[rival.address] == most}
        return {guest}

    def forget(self, guest: places.Guest | None) -> None:
        if guest is not None:
            self.here.remove(guest)
            self.asked.discard(guest)
            self.busy.discard(guest)


TestWhateverHappensTheRuleIsKept = Crowd.TestCase
