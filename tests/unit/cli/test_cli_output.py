"""How values are said in one line."""

from typing import Any

import pytest

from boot_resources.cli import images, output, status


@pytest.mark.parametrize(
    ("held", "size", "said"),
    [
        ({}, 10, ""),
        ({"region-0": 10}, 10, "100 %"),
        ({"region-0": 10, "region-1": 3}, 10, "30 %"),
        ({"region-0": 0}, 0, "100 %"),
    ],
)
def test_of_an_image_the_least_that_a_region_holds_is_said(
    held: dict[str, int], size: int, said: str
) -> None:
    assert images._held({"held": held, "size": size}) == said


def test_a_cache_that_served_nothing_has_no_ratio() -> None:
    told: dict[str, Any] = {"served_bytes": 0, "fill_bytes": 0, "hit_ratio": None}
    assert status.describe_served(told) == "0 B to machines, 0 B from regions"
    told = {"served_bytes": 2048, "fill_bytes": 1024, "hit_ratio": 0.5}
    assert status.describe_served(told).endswith("; 50.0 % of the bytes came from the cache")


def test_to_a_pipe_a_table_is_lines_with_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["a", "b"], [["1", ""], ["3", "4"]])
    assert capsys.readouterr().out == "a\tb\n1\t\n3\t4\n"


def test_names_and_values_are_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.facts([("a", "1"), ("long", "2")])
    assert capsys.readouterr().out == "a     1\nlong  2\n"


def test_to_a_pipe_progress_is_a_line_for_every_tenth(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bar = output.Bar("fetching", None)
    for done in (0, 1, 5, 10, 11, 99, 100):
        bar.show(done, 100)
    assert capsys.readouterr().err.splitlines() == [
        f"fetching {tenth} % of 100 B" for tenth in (0, 10, 90, 100)
    ]
