"""Load a PostgreSQL with large objects, and measure every way to their bytes."""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import psycopg

from benchmarks import migration, report
from benchmarks.migration import figures, objects, server, ways
from boot_resources import units

_EXTREMES = (64 * units.MIB, units.GIB)
"""Sizes of two more objects, whose export is to take the same memory."""
_LOG_OF_WRITES = units.GIB
"""What PostgreSQL keeps beside its tables, as it comes (``max_wal_size``)."""


class NoRoom(Exception):
    """The disk is too small for the database and for what comes out of it."""


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.migration",
        description=migration.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--size", type=_size, help="scale the objects to this sum, for example 200M"
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is gone")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("--rounds is 1 or more")
    sizes = objects.sizes(asked.size)
    scale = min(1.0, sum(sizes) / sum(objects.SIZES))
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        directory = pathlib.Path(place)
        # PostgreSQL is another user where we are root.
        directory.chmod(0o755)
        try:
            found = _measure(directory, sizes, [round(scale * s) for s in _EXTREMES], asked.rounds)
        except (NoRoom, server.NoServer) as error:
            parser.error(str(error))
        except subprocess.CalledProcessError as error:
            raise SystemExit(f"{error.cmd[0]} failed, see above") from None
        except psycopg.Error as error:
            raise SystemExit(f"PostgreSQL: {error}") from None
    print(report.machine())
    report.show("speed", found["speed"])
    report.show("memory", found["memory"])
    if asked.json:
        conditions = {"machine": report.machine(), "rounds": asked.rounds, "bytes": sum(sizes)}
        report.write(asked.json, conditions | found)


def _size(text: str) -> int:
    try:
        size = units.parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if size < units.MIB:
        raise argparse.ArgumentTypeError(f"{text} is too little to measure; from 1M on")
    return size


def _measure(
    directory: pathlib.Path, sizes: list[int], extremes: list[int], rounds: int
) -> dict[str, report.Rows]:
    _require_room(directory, sum(sizes), sum(extremes))
    out = directory / "out"
    with server.running(directory / "postgresql") as running:
        objects.prepare(running)
        size = units.format_size(sum(sizes) + sum(extremes))
        print(f"loading {size} into PostgreSQL", file=sys.stderr)
        stored = objects.store(running, sizes)
        alone = objects.store(running, extremes)
        # Else the first to read would read from the disk, and the others from memory.
        ways.go(ways.Way.LIMIT, running, [*stored, *alone], out)
        return {
            "speed": figures.speed(running, stored, out, rounds),
            "memory": figures.memory(running, alone, out),
        }


def _require_room(directory: pathlib.Path, size: int, extremes: int) -> None:
    """Raise ``NoRoom`` where the tables (a tenth more than the bytes) and one copy do not fit."""
    needed = 1.1 * (size + extremes) + _LOG_OF_WRITES + max(size, extremes)
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise NoRoom(
            f"{units.format_size(needed)} are needed in {directory.parent}, and"
            f" {units.format_size(free)} are free: set TMPDIR to another disk, or --size"
        )


if __name__ == "__main__":
    main()
