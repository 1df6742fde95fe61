"""Which blocks a fill fetches next."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boot_resources.rack import fill
from boot_resources.store import blocks, disk, journal, partial

COUNT = 40
SIZE = COUNT * blocks.BLOCK_SIZE - 5


class Held(partial.Partial):
    """A partial object of which a test says what is here; it writes nothing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.here: set[int] = set()

    def __contains__(self, index: int) -> bool:
        return index in self.here


def test_without_demand_blocks_come_in_order_and_in_longer_runs() -> None:
    held = Held(SIZE)
    plan = fill.Plan(held)
    fetched: list[range] = []
    while run := plan.next_run():
        held.here.update(run)
        plan.done(run, seconds=0.001)
        fetched.append(run)
    assert [index for run in fetched for index in run] == list(range(COUNT))
    assert [len(run) for run in fetched] == [1, 2, 4, 8, 16, 9]


def test_over_a_slow_link_runs_stay_short() -> None:
    held = Held(SIZE)
    plan = fill.Plan(held)
    for _ in range(5):
        run = plan.next_run()
        assert run is not None
        assert len(run) == 1
        held.here.update(run)
        plan.done(run, seconds=2.0)


def test_what_somebody_fetches_is_not_given_to_another() -> None:
    plan = fill.Plan(Held(SIZE))
    first, second = plan.next_run(), plan.next_run()
    assert (first, second) == (range(1), range(1, 2))


def test_what_came_to_nothing_is_given_out_again() -> None:
    plan = fill.Plan(Held(SIZE))
    run = plan.next_run()
    assert run is not None
    plan.done(run, seconds=0.1)
    assert plan.next_run() == run


def test_a_demanded_block_comes_first() -> None:
    plan = fill.Plan(Held(SIZE))
    assert plan.demand(30)
    assert plan.next_run(demanded_only=True) == range(30, 31)
    assert plan.next_run(demanded_only=True) is None
    assert plan.next_run() == range(1)


def test_what_comes_soon_is_not_demanded() -> None:
    held = Held(SIZE)
    plan = fill.Plan(held)
    assert not plan.demand(0)
    plan.next_run()
    assert not plan.demand(0)
    held.here.add(5)
    assert not plan.demand(5)
    assert plan.demand(9)
    assert not plan.demand(9)


@settings(deadline=None)
@given(st.data())
def test_every_block_is_fetched_once_whatever_is_demanded(data: st.DataObject) -> None:
    held = Held(SIZE)
    plan = fill.Plan(held)
    running: list[range] = []
    fetched: list[int] = []
    while True:
        for index in data.draw(st.lists(st.integers(0, COUNT - 1), max_size=3)):
            plan.demand(index)
        run = plan.next_run(demanded_only=data.draw(st.booleans()))
        if run is not None:
            running.append(run)
        elif not running and plan.next_run() is None:
            break
        if running and (run is None or data.draw(st.booleans())):
            ended = running.pop(data.draw(st.integers(0, len(running) - 1)))
            held.here.update(ended)
            fetched.extend(ended)
            plan.done(ended, data.draw(st.floats(0.0, 1.0)))
        elif run is None:
            break
    fetched.extend(index for run in running for index in run)
    assert len(fetched) == len(set(fetched))


@pytest.fixture
def half(tmp_path: Path) -> Iterator[partial.Partial]:
    """Give a real partial object of three blocks, of which the second is here."""
    paths = partial.Paths(tmp_path / "data", tmp_path / "journal")
    opened = partial.Partial(disk.Disk(), paths, journal.Header("0" * 64, 3 * blocks.BLOCK_SIZE))
    opened.write(1, bytes(blocks.BLOCK_SIZE))
    yield opened
    opened.close()


def test_what_is_here_already_is_not_fetched(half: partial.Partial) -> None:
    plan = fill.Plan(half)
    assert [plan.next_run(), plan.next_run(), plan.next_run()] == [range(1), range(2, 3), None]
