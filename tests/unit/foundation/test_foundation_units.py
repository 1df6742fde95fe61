"""Sizes and durations, as people write them and as people read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boot_resources import units


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4G", 4 * 1024**3),
        ("4g", 4 * 1024**3),
        ("4GB", 4 * 1024**3),
        ("4GiB", 4 * 1024**3),
        ("512 M", 512 * 1024**2),
        ("1.5T", 3 * 1024**4 // 2),
        ("2P", 2 * 1024**5),
        ("100", 100),
        ("100B", 100),
        (" 7K ", 7 * 1024),
        ("0", 0),
        (4096, 4096),
        ("0.3K", 307),
    ],
)
def test_a_size_means_powers_of_1024(text: str | int, size: int) -> None:
    assert units.parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["4GG", "", "G", "-1", -1, "1,5G", "4iB", "4X", "0x10", "1e9", "٤G", "9" * 400, True, "4G 2M"],
)
def test_what_is_not_a_size_is_refused_with_the_form(text: str | int) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write for example 512M, 4G or 1\.5T"):
        units.parse_size(text)


@given(st.integers(min_value=0, max_value=10**29))
def test_no_byte_of_a_size_is_lost(size: int) -> None:
    assert units.parse_size(str(size)) == units.parse_size(size) == size
    assert units.parse_size(f"{size}K") == size * 1024


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (4 * 1024**3, "4.0 GiB"),
        (1024**4, "1.0 TiB"),
        (3 * 1024**5, "3.0 PiB"),
    ],
)
def test_a_size_is_read_with_one_digit_after_the_point(size: int, text: str) -> None:
    assert units.format_size(size) == text


@given(st.integers(min_value=0, max_value=2**59))
def test_a_size_that_is_shown_can_be_written_and_is_nearly_the_same(size: int) -> None:
    shown = units.format_size(size)
    assert not shown.startswith("1024")
    assert units.parse_size(shown) == pytest.approx(size, rel=0.05, abs=0.5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90.0),
        ("30m", 1800.0),
        ("1h", 3600.0),
        ("7d", 604800.0),
        ("250ms", 0.25),
        ("1.5 H", 5400.0),
        (60, 60.0),
        (0, 0.0),
        ("36500d", units.LONGEST),
    ],
)
def test_a_duration_means_seconds(text: str | float, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "1w", "-1s", -1, "1h30m", True, float("nan"), "٣s"])
def test_what_is_not_a_duration_is_refused_with_the_form(text: str | float) -> None:
    with pytest.raises(ValueError, match="is not a duration; write for example 90s, 30m, 1h"):
        units.parse_duration(text)


@pytest.mark.parametrize("text", [float("inf"), 10**400, "36501d", 1e12])
def test_no_duration_is_longer_than_a_timer_can_wait(text: str | float) -> None:
    with pytest.raises(ValueError, match="longer than a century"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.44, "0.4 s"),
        (9.97, "10 s"),
        (42.4, "42 s"),
        (59.7, "1 min 0 s"),
        (125, "2 min 5 s"),
        (3600, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (49 * 3600, "2 d 1 h"),
    ],
)
def test_a_duration_is_read_in_two_units(seconds: float, text: str) -> None:
    assert units.format_duration(seconds) == text


def test_the_clock_knows_its_time_zone() -> None:
    offset = units.utc_now().utcoffset()
    assert offset is not None
    assert not offset
