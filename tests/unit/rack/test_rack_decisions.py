"""What the rack decides, as functions of plain values: what goes, whom to ask, what names mean."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources.plane import messages
from boot_resources.rack import eviction, names, regions
from support import cloud

NAMES = st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True, max_size=12)


@st.composite
def caches(draw: st.DrawFn) -> tuple[list[str], dict[str, int], list[str]]:
    order = draw(NAMES)
    sizes = {name: draw(st.integers(1, 50)) for name in order}
    pinned = draw(st.lists(st.sampled_from(order), unique=True)) if order else []
    return order, sizes, pinned


@given(caches(), st.integers(-50, 300))
def test_victims_make_just_enough_room_and_the_oldest_go_first(
    found: tuple[list[str], dict[str, int], list[str]], excess: int
) -> None:
    order, sizes, pinned = found
    choice = eviction.choose_victims(((name, sizes[name]) for name in order), pinned, excess)
    free = [name for name in order if name not in pinned]
    assert list(choice.victims) == free[: len(choice.victims)]
    freed = sum(sizes[name] for name in choice.victims)
    assert choice.short == max(0, excess - freed)
    if choice.short:
        assert list(choice.victims) == free
    if choice.victims:
        assert freed - sizes[choice.victims[-1]] < excess


def test_the_walk_ends_where_enough_was_found() -> None:
    walked = []

    def oldest_first() -> Iterator[tuple[str, int]]:
        for number in range(100_000):
            walked.append(number)
            yield str(number), 10

    choice = eviction.choose_victims(oldest_first(), {"0"}, 15)
    assert choice == eviction.Choice(("1", "2"), 0)
    assert len(walked) <= 4


@given(caches(), st.integers(0, 300), st.integers(1, 4))
def test_what_goes_some_at_a_time_is_what_goes_at_once(
    found: tuple[list[str], dict[str, int], list[str]], excess: int, at_most: int
) -> None:
    order, sizes, pinned = found
    walk = [(name, sizes[name]) for name in order]
    at_once = eviction.choose_victims(walk, pinned, excess)
    gone: list[str] = []
    while True:
        left = [each for each in walk if each[0] not in gone]
        still = excess - sum(sizes[name] for name in gone)
        choice = eviction.choose_victims(left, pinned, still, at_most)
        gone += choice.victims
        if len(choice.victims) < at_most:
            break
    assert (tuple(gone), choice.short) == (at_once.victims, at_once.short)


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 9)), min_size=1, max_size=6),
    st.floats(0, 100),
)
def test_of_the_regions_that_answer_the_least_busy_is_asked(
    found: list[tuple[float, int]], now: float
) -> None:
    candidates = [
        regions.Health(str(number), busy=busy, retry_at=retry_at)
        for number, (retry_at, busy) in enumerate(found)
    ]
    chosen = regions.choose(candidates, now)
    answering = [health for health in candidates if health.retry_at <= now]
    if answering:
        assert chosen in answering
        assert chosen.busy == min(health.busy for health in answering)
    else:
        assert chosen.retry_at == min(health.retry_at for health in candidates)


def table(*images: cloud.Image) -> names.Table:
    listed = tuple(image.listed() for image in images)
    return names.Table.of(messages.AvailableImages(cluster="c", epoch=1, images=listed))


def path_of(url: str) -> tuple[str, ...]:
    return tuple(url.removeprefix("/images/").split("/"))


NEW = cloud.Image({"boot-kernel": b"new", "dtb": b"d"}, version="20250801")
OLD = cloud.Image({"boot-kernel": b"old", "boot-initrd": b"i"}, version="20250718")


def test_every_file_is_found_under_its_whole_name() -> None:
    for image in (NEW, OLD):
        for filename, content in image.files.items():
            found = table(NEW, OLD).find(path_of(image.path(filename)))
            assert isinstance(found, messages.AvailableItem)
            assert found.sha256 == cloud.name_of(content)


def test_a_name_without_version_is_the_first_listed_version() -> None:
    short = path_of(NEW.path("boot-kernel", version=False))
    assert table(NEW, OLD).find(short) == names.Redirect(path_of(NEW.path("boot-kernel")))
    assert table(OLD, NEW).find(short) == names.Redirect(path_of(OLD.path("boot-kernel")))


def test_a_file_that_only_an_older_version_has_has_no_name_without_version() -> None:
    assert table(NEW, OLD).find(path_of(NEW.path("boot-initrd", version=False))) is None


def test_every_object_is_found_by_its_hash() -> None:
    found = table(NEW, OLD).objects
    assert set(found) == {cloud.name_of(data) for data in (b"new", b"d", b"old", b"i")}


@pytest.mark.parametrize("path", [(), ("",), ("ubuntu",), ("a",) * 7, ("a",) * 900])
def test_what_is_not_listed_is_not_found(path: tuple[str, ...]) -> None:
    assert table(NEW, OLD).find(path) is None


def test_names_of_an_empty_list_are_none() -> None:
    assert table().find(path_of(NEW.path("boot-kernel"))) is None
