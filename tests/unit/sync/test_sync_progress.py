"""How far a pass is: what is done is what is here, whenever it came."""

import json

from boot_resources.sync import progress


def test_what_came_before_the_pass_is_done_and_makes_it_no_faster() -> None:
    seen = progress.Progress()
    seen.expect(objects=2, size=300)
    seen.arrived("a", here=60, size=100, more=0)
    assert (seen.snapshot().done, seen.snapshot().rate) == (60, 0.0)
    seen.arrived("a", here=90, size=100, more=30)
    assert seen.snapshot().done == 90
    assert seen.snapshot().rate > 0


def test_a_pass_ends_with_all_of_it_done() -> None:
    seen = progress.Progress()
    seen.expect(objects=2, size=300)
    for name, size in (("a", 100), ("b", 200)):
        # What is not yet a whole block is not here yet.
        seen.arrived(name, here=0, size=size, more=size - 1)
        assert seen.snapshot().fetching[name] == (0, size)
        seen.ended(name, proved=True)
    found = seen.snapshot()
    assert (found.done, found.total) == (300, 300)
    assert (found.objects_done, found.objects_total) == (2, 2)
    assert found.fetching == {}


def test_what_was_not_proved_is_not_done() -> None:
    seen = progress.Progress()
    seen.expect(objects=1, size=100)
    seen.arrived("a", here=90, size=100, more=90)
    seen.ended("a", proved=False)
    assert (seen.snapshot().done, seen.snapshot().objects_done) == (0, 0)


def test_an_object_that_could_not_be_begun_ends_too() -> None:
    seen = progress.Progress()
    seen.expect(objects=1, size=100)
    seen.ended("a", proved=False)
    assert seen.snapshot().done == 0


def test_a_snapshot_stays_as_it_was() -> None:
    seen = progress.Progress()
    seen.expect(objects=1, size=100)
    seen.arrived("a", here=10, size=100, more=10)
    before = seen.snapshot()
    seen.arrived("a", here=20, size=100, more=10)
    assert before.fetching == {"a": (10, 100)}
    assert json.loads(json.dumps(before.describe()))["done"] == 10


def test_a_new_pass_begins_anew_and_its_end_is_idle() -> None:
    seen = progress.Progress()
    assert seen.snapshot().phase == "idle"
    seen.enter("source")
    seen.expect(objects=1, size=100)
    assert seen.snapshot().phase == "fetching"
    seen.arrived("a", here=10, size=100, more=10)
    seen.enter("tidying")
    assert (seen.snapshot().phase, seen.snapshot().done) == ("tidying", 10)
    seen.enter("idle")
    assert seen.snapshot() == progress.Snapshot()
