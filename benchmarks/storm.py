"""A cold storm: K machines ask for one cold object at once, over a link that is the bottleneck."""

import contextlib
import pathlib
import statistics
import urllib.parse
from collections.abc import Iterator

from benchmarks import link as links
from benchmarks import load, peers, processes, rig
from boot_resources.demo import origin

_MACHINES = 20
_SIZE = 24 << 20
_RATE = 8 << 20
_RANGE_START = 16 << 20
_RANGE_SIZE = 64 << 10


def run(directory: pathlib.Path, rounds: int) -> list[dict[str, object]]:
    """Measure each cache ``rounds`` times, always cold; return one row for each."""
    rows = []
    for name in _caches():
        storms, ranges = [], []
        for number in range(rounds):
            place = directory / f"{name}-{number}".replace(" ", "-").replace(",", "")
            with _cold(name, place / "storm") as (url, link):
                before = link.crossed
                got = load.at_once([url] * _MACHINES)
                storms.append((got, link.crossed - before))
            with _cold(name, place / "range") as (url, link):
                wanted = f"bytes={_RANGE_START}-{_RANGE_START + _RANGE_SIZE - 1}"
                ranges.append(load.at_once([url], {"Range": wanted})[0])
        rows.append(_row(name, storms, ranges))
    return rows


def _caches() -> list[str]:
    names = ["boot-resources rack"]
    if processes.installed("nginx"):
        names += ["nginx, default", "nginx, lock", "nginx, slice"]
    if processes.installed("varnishd"):
        names.append("varnish")
    return names


@contextlib.contextmanager
def _cold(name: str, directory: pathlib.Path) -> Iterator[tuple[str, links.Link]]:
    """Yield the URL of an object in a cold cache, and the link behind that cache."""
    if name == "boot-resources rack":
        with rig.cloud(directory, [_SIZE], _RATE) as cloud:
            yield cloud.url(cloud.items[0]), cloud.link
        return
    files = directory / "files"
    files.mkdir(parents=True)
    (files / "object").write_bytes(bytes(_SIZE))
    with contextlib.ExitStack() as stack:
        upstream = stack.enter_context(origin.Origin(files))
        target = urllib.parse.urlsplit(upstream.url).port or 0
        link = stack.enter_context(links.Link(target, _RATE).open())
        cache = directory / "cache"
        if name == "varnish":
            server = stack.enter_context(peers.varnish(cache, link.port))
        else:
            kind = name.partition(", ")[2]
            server = stack.enter_context(peers.nginx_cache(cache, link.port, kind))
        yield f"{server.url}/object", link


def _row(
    name: str, storms: list[tuple[list[load.Got], int]], ranges: list[load.Got]
) -> dict[str, object]:
    wrong = sum(got.size != _SIZE for each, _ in storms for got in each)
    firsts = sorted(got.first_byte for each, _ in storms for got in each)
    return {
        "cache": name,
        "link bytes / object bytes": round(
            statistics.median(crossed for _, crossed in storms) / _SIZE, 2
        ),
        "first byte, median s": round(statistics.median(firsts), 3),
        "first byte, worst s": round(firsts[-1], 3),
        "all done, s / (object / link rate)": round(
            statistics.median(max(got.seconds for got in each) for each, _ in storms)
            / (_SIZE / _RATE),
            2,
        ),
        "cold range at 16 MiB, s": round(statistics.median(g.first_byte for g in ranges), 3),
        "short bodies": wrong,
    }
