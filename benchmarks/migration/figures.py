"""Rounds in which every way has its turn, and the figures that they come to."""

import os
import pathlib
import statistics
import sys
from collections.abc import Callable, Sequence

from benchmarks import report
from benchmarks.migration import objects, server, ways

Round = dict[ways.Way, ways.Cost]
"""What each way took, one after the other."""


def speed(
    running: server.Server, stored: Sequence[objects.Object], place: pathlib.Path, rounds: int
) -> report.Rows:
    """Go every way ``rounds`` times; return a row for each."""
    gone = []
    for number in range(1, rounds + 1):
        load = os.getloadavg()[0]
        print(f"round {number} of {rounds}, load {load:.1f}", file=sys.stderr)
        gone.append({way: ways.go(way, running, stored, place) for way in ways.Way})
    return [_row(way, gone) for way in ways.Way]


def memory(
    running: server.Server, alone: Sequence[objects.Object], place: pathlib.Path
) -> report.Rows:
    """Export each of these by itself, with either reader; return a row for each."""
    return [
        {
            "way": str(way),
            "object, MB": round(each.size / 1e6),
            "peak MB": _megabytes(ways.go(way, running, [each], place)),
        }
        for way in (ways.Way.COPY, ways.Way.LO)
        for each in alone
    ]


def _row(way: ways.Way, gone: Sequence[Round]) -> dict[str, object]:
    def median(figure: Callable[[Round], float], digits: int) -> float:
        return round(statistics.median(figure(each) for each in gone), digits)

    return {
        "way": str(way),
        "MB/s": median(lambda each: each[way].rate / 1e6, 0),
        "of COPY": median(lambda each: each[way].rate / each[ways.Way.LIMIT].rate, 2),
        r"of \lo_export": median(lambda each: each[way].rate / each[ways.Way.LO_EXPORT].rate, 2),
        "of MAAS's way": median(lambda each: each[way].rate / each[ways.Way.MAAS].rate, 2),
        "CPU s/GB, client": median(lambda each: each[way].client, 2),
        "CPU s/GB, server": median(lambda each: each[way].server, 2),
        "peak MB": max(_megabytes(each[way]) for each in gone),
    }


def _megabytes(cost: ways.Cost) -> int:
    return round(cost.memory / 1e6)
