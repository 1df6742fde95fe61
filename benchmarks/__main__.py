"""``python -m benchmarks [hits|storm ...] [--rounds N] [--json FILE]``."""

import argparse
import pathlib
import sys
import tempfile

from benchmarks import hits, processes, report, storm

_ALL = {"hits": hits.run, "storm": storm.run}


def main() -> None:
    """Run the benchmarks and print a table for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(_ALL)}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures to this file")
    asked = parser.parse_args()
    unknown = set(asked.names) - set(_ALL)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    missing = [name for name in ("nginx", "varnishd") if not processes.installed(name)]
    if missing:
        print(
            f"left out, not installed: {', '.join(missing)} (apt-get install nginx-light varnish)",
            file=sys.stderr,
        )
    if "nginx" in missing:
        parser.error("nginx is the peer of every benchmark: apt-get install nginx-light")
    figures: dict[str, object] = {"machine": report.machine(), "rounds": asked.rounds}
    print(report.machine())
    for name in asked.names or _ALL:
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            directory = pathlib.Path(place)
            # nginx's worker may be another user.
            directory.chmod(0o755)
            rows = _ALL[name](directory, asked.rounds)
        figures[name] = rows
        report.show(name, rows)
    if asked.json:
        report.write(asked.json, figures)


if __name__ == "__main__":
    main()
