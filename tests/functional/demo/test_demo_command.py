"""The demonstration, played in small: its figures are exact, and it fails where they are not."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import errors, units
from boot_resources.demo import machines, origin, play, signed_source, truth
from boot_resources.service import local
from support import cloud, command

SMALL = ("--size", "3M", "--machines", "6")
KEYS = {
    "regions", "racks", "machines", "images", "objects", "bytes", "upstream_bytes",
    "rack_fill_bytes", "served_bytes", "mismatches", "seconds", "regions_detail",
}  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[signed_source.SignedSource]:
    """Give a source that is not the demonstration's own."""
    directory = tmp_path_factory.mktemp("source")
    with signed_source.small_cloud(directory, 3 * units.MIB, seed=7) as source:
        yield source


def test_every_figure_is_exact(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "report.json"
    done = command.run("demo", *SMALL, "--report", file, "--json")
    assert (done.status, done.err) == (0, "")
    report = done.document
    assert report == json.loads(file.read_text())
    assert set(report) >= KEYS
    assert (report["regions"], report["racks"], report["machines"]) == (1, 1, 6)
    assert (report["mismatches"], report["disagreements"]) == (0, [])
    assert report["bytes"] == pytest.approx(3 * units.MIB, rel=0.05)
    assert report["upstream_bytes"] == report["bytes"]
    assert report["rack_fill_bytes"] == report["asked_bytes"]
    (region,) = report["regions_detail"]
    assert region["bytes"] == report["bytes"]
    assert region["objects"] == report["objects"]
    # Three images boot; six machines fetch each of them twice.
    assert report["served_bytes"] > 2 * report["asked_bytes"]


def test_any_signed_source_can_be_played(source: signed_source.SignedSource) -> None:
    with origin.Origin(source.directory) as served:
        words = ("--source", served.url, "--keyring", str(source.keyring), "--select")
        done = command.run("demo", *words, "ubuntu/jammy/amd64", "--machines", "3", "--json")
        paths = set(served.bytes_by_path)
        sent = served.payload_bytes
    assert (done.status, done.err) == (0, "")
    report = done.document
    wanted = [t for t in source.truth if t.release == "jammy" or t.os not in ("ubuntu", "centos")]
    assert report["bytes"] == sum({t.sha256: t.size for t in wanted}.values())
    assert report["upstream_bytes"] == report["bytes"] == sent
    assert not any("noble" in path or "centos/8" in path for path in paths)


def test_a_source_signed_by_another_key_is_refused(
    source: signed_source.SignedSource, tmp_path: Path
) -> None:
    with signed_source.small_cloud(tmp_path / "other", units.MIB) as other:
        with origin.Origin(source.directory) as served:
            words = ("--source", served.url, "--keyring", str(other.keyring), "--select", "ubuntu")
            done = command.run("demo", *words, "--json")
    assert done.status == errors.EXIT_FAILED
    assert "sign" in done.document["error"]


def test_a_wrong_byte_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = truth.of_generated

    def expects_another_kernel(source: signed_source.SignedSource) -> truth.Truth:
        files = tuple(
            dataclasses.replace(file, sha256="0" * 64) if file.filename == "boot-kernel" else file
            for file in honest(source).files
        )
        return truth.Truth(files)

    monkeypatch.setattr(truth, "of_generated", expects_another_kernel)
    done = command.run("demo", *SMALL)
    assert done.status == errors.EXIT_DAMAGED
    assert done.out.splitlines()[-1].split() == ["every", "byte", "wrong"]
    assert "boot-kernel" in done.err


def test_a_ledger_that_says_something_else_makes_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin.Origin, "payload_bytes", property(lambda _: 1))
    done = command.run("demo", *SMALL, "--json")
    assert done.status == errors.EXIT_DAMAGED
    said = done.document["disagreements"]
    assert any(
        line.startswith("upstream_bytes: 1 were counted, the ledger says ") for line in said
    )
    assert all(line in done.err for line in said)


class _Nobody:
    def scene(self, text: str) -> None:
        """Watch nothing."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Watch nothing."""


def test_machines_notice_a_file_that_rots_in_the_cache(tmp_path: Path) -> None:
    plan = play.Plan(tmp_path / "demo", machines=3, size=3 * units.MIB)
    with play.play(plan, _Nobody()) as played:
        assert played.report.right
        cached = max((tmp_path / "demo" / "cache" / "objects").iterdir(), key=size_of)
        before = cached.stat()
        content = bytearray(cached.read_bytes())
        content[5] ^= 1
        with cached.open("r+b") as file:
            file.write(content)
        os.utime(cached, ns=(before.st_atime_ns, before.st_mtime_ns))
        rack = int(played.site.rack_url.rpartition(":")[2])
        entries = played.site.rack.get("/cache")["contents"]
        (name,) = [each["name"] for each in entries if each["sha256"] == cached.name]
        wanted = machines.Wanted(f"/images/{name}", cached.name, before.st_size)
        boots = machines.boot_all(f"http://127.0.0.1:{rack}", [[wanted]], lambda _: None)
    assert [len(boot.wrong) for boot in boots] == [1]
    assert f"{before.st_size} bytes with sha256" in boots[0].wrong[0]


def size_of(path: Path) -> int:
    return path.stat().st_size


def test_a_directory_that_was_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()
    done = command.run("demo", "--directory", tmp_path)
    assert done.status == errors.EXIT_USAGE
    assert "is not empty" in done.err


def test_a_report_that_cannot_be_written_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command.run("demo", *SMALL, "--report", tmp_path / "file" / "report.json")
    assert done.status == errors.EXIT_USAGE
    assert "cannot write the report" in done.err


def begin(directory: Path, *words: str) -> "subprocess.Popen[str]":
    command_line = [sys.executable, "-m", "boot_resources", "demo", *SMALL, *words]
    return subprocess.Popen(
        [*command_line, "--directory", str(directory)], stdout=subprocess.PIPE, text=True
    )


def nobody_is_left(directory: Path) -> bool:
    for controller in ("region", "rack"):
        with pytest.raises(local.Unreachable):
            local.Controller(controller, directory / f"{controller}.sock").get("/status")
    return True


def test_kept_it_says_what_to_try_and_ends_at_sigterm(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    playing = begin(directory, "--keep")
    assert playing.stdout is not None
    said = list(lines_until(playing.stdout, "/metrics"))
    assert ["every", "byte", "right"] in [line.split() for line in said]
    tries = [line.split() for line in said if " -m boot_resources " in line]
    assert len(tries) == 4
    for words in tries:
        assert subprocess.run(words, capture_output=True, check=False).returncode == 0
    playing.send_signal(signal.SIGTERM)
    assert playing.stdout.read().strip() == "stopping"
    assert playing.wait(30) == 0
    playing.stdout.close()
    assert nobody_is_left(directory)


def lines_until(stream: "object", last: str) -> Iterator[str]:
    for line in stream:  # type: ignore[attr-defined]
        yield line
        if last in line:
            return


def test_interrupted_in_the_middle_it_leaves_nobody_behind(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    playing = begin(directory)
    region = local.Controller("region", directory / "region.sock")
    cloud.wait_until(lambda: region.socket.exists() or playing.poll() is not None)
    playing.send_signal(signal.SIGTERM)
    playing.communicate(timeout=60)
    assert playing.returncode == 130
    assert nobody_is_left(directory)
