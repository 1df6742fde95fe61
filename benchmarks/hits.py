"""A warm rack against nginx serving the same bytes as files: throughput, and what it costs."""

import pathlib
import statistics

from benchmarks import load, peers, processes, rig

_CLIENTS = 4
_SECONDS = 2.0


def run(directory: pathlib.Path, rounds: int) -> list[dict[str, object]]:
    """Measure in pairs, the two in turn; return one row for each size."""
    rows: list[dict[str, object]] = []
    sizes = {"1 MiB": 1 << 20, "64 MiB": 64 << 20}
    with rig.cloud(directory / "site", list(sizes.values())) as cloud:
        root = directory / "files"
        root.mkdir(parents=True)
        root.chmod(0o755)
        for item in cloud.items:
            load.fetch(cloud.url(item))
            (root / item.sha256).write_bytes(cloud.payload(item))
            (root / item.sha256).chmod(0o644)
        with peers.nginx_files(directory / "nginx", root) as nginx:
            for (name, _), item in zip(sizes.items(), cloud.items, strict=True):
                pairs = []
                for _ in range(rounds):
                    rack = _one(cloud.url(item), cloud.rack_pid)
                    peer = _one(f"{nginx.url}/{item.sha256}", nginx.pid)
                    pairs.append((rack, peer))
                rows.append(_row(name, pairs))
    return rows


def _one(url: str, pid: int) -> tuple[float, float]:
    before = processes.cpu_seconds(pid)
    rate = load.sustained(url, _CLIENTS, _SECONDS)
    spent = processes.cpu_seconds(pid) - before
    return rate, rate * _SECONDS / max(spent, 0.01)


def _row(
    name: str, pairs: list[tuple[tuple[float, float], tuple[float, float]]]
) -> dict[str, object]:
    rates = [rack[0] / peer[0] for rack, peer in pairs]
    costs = [rack[1] / peer[1] for rack, peer in pairs]
    return {
        "object": name,
        "rack GB/s": round(statistics.median(rack[0] for rack, _ in pairs) / 1e9, 2),
        "nginx GB/s": round(statistics.median(peer[0] for _, peer in pairs) / 1e9, 2),
        "bytes/s, ratio": round(statistics.median(rates), 3),
        "bytes per CPU second, ratio": round(statistics.median(costs), 3),
    }
