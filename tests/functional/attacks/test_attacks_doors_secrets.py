"""Secrets that real controllers are given, and a search for them in all that can be seen of them.

Everything fails that can: a source behind a redirect with a token that answers 404, a proxy that
refuses, a database that does not take the password and repeats it. The log tells all it can tell.
"""

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from boot_resources.demo import origin, signed_source
from boot_resources.service import local
from support import command, on_thread, plane_region

TOKEN, USER, PASSWORD = "mark-of-the-token", "mark-of-the-user", "mark-of-the-password"
MARKS = {
    "the source's password": PASSWORD + "-source",
    "the token of a redirect": TOKEN,
    "the proxy's password": PASSWORD + "-proxy",
    "the environment's proxy's password": PASSWORD + "-environment",
    "the database's password": PASSWORD + "-database",
    # `%21` is what the URL has in place of `!`.
    "the database's password, decoded": PASSWORD + "!database",
}


class Watcher:
    """Looks again and again at the words and the environment of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.seen: dict[str, bytes] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.01):
            for pid in [self._pid, *self._children()]:
                with contextlib.suppress(OSError):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes()
                    self.seen.setdefault(f"the words of {words.split(b'/')[-1]!r}", b"")
                    self.seen[f"the words of {words.split(b'/')[-1]!r}"] += words
                    # Until a child has become another program it has its parent's memory.
                    if b"gpg" in words:
                        environment = Path(f"/proc/{pid}/environ").read_bytes()
                        self.seen["the environment of a child"] = (
                            self.seen.get("the environment of a child", b"") + environment
                        )

    def _children(self) -> list[int]:
        found = []
        for task in Path(f"/proc/{self._pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(pid) for pid in (task / "children").read_text().split()]
        return found


@contextlib.contextmanager
def refusing_database() -> Iterator[int]:
    """Speak PostgreSQL's protocol up to the password; refuse it, and repeat it in the reason."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(on_thread.PATIENCE)
                while struct.unpack("!ii", connection.recv(8, socket.MSG_WAITALL))[1] != 196608:
                    connection.sendall(b"N")
                connection.recv(65536)
                connection.sendall(b"R" + struct.pack("!ii", 8, 3))
                password = connection.recv(65536)[5:].rstrip(b"\0")
                fields = b"SFATAL\0C28P01\0Mthe password " + password + b" is wrong\0\0"
                connection.sendall(b"E" + struct.pack("!i", 4 + len(fields)) + fields)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
    thread.join()


class Setting:
    """A region's settings file, and everything that could be seen of what ran with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cluster = plane_region.Cluster(directory / "cluster")
        self.seen: dict[str, bytes] = {}
        self.settings = directory / "region.toml"
        self.plane_port, self.metrics_port = on_thread.free_ports(2)

    def write(self, source: str, keyring: Path, catalog: str = "", proxy: str = "") -> None:
        identity = self.cluster.region()
        here = self.directory
        values: dict[str, dict[str, Any]] = {
            "storage": {"path": here / "storage", "reserve": "1M"},
            "catalog": {"url": catalog or f"sqlite:///{here / 'catalog.db'}"},
            "source": {"url": source, "keyring": keyring},
            "download": {"proxy": proxy} if proxy else {},
            "plane": {
                "certificate": identity.certificate,
                "key": identity.key,
                "authority": identity.authority,
                "members": self.cluster.list_path,
                "listen": "127.0.0.1",
                "port": self.plane_port,
            },
            "metrics": {"port": self.metrics_port},
            "control": {"socket": here / "region.sock"},
        }
        lines = ['controller = "region"', 'name = "region-0"', 'log-level = "debug"']
        lines.append('selections = [{os = "*", release = "*"}]')
        for table, entries in values.items():
            lines.append(f"[{table}]")
            lines += [
                f"{key} = {each if isinstance(each, int) else json.dumps(str(each))}"
                for key, each in entries.items()
            ]
        self.settings.write_text("\n".join(lines) + "\n")

    def run(self, *words: str) -> None:
        """Run a command to its end."""
        done = command.run_apart(*words, "--settings", self.settings)
        self.seen[f"boot-resources {' '.join(words)}"] = (done.out + done.err).encode()

    def ask(self, *words: str) -> None:
        """Run a command that asks the controller, in this process."""
        done = command.run(*words, "--settings", self.settings)
        self.seen[f"boot-resources {' '.join(words)}"] = (done.out + done.err).encode()

    @contextlib.contextmanager
    def running(self, environment: dict[str, str]) -> Iterator[None]:
        """Run the region, for the length of the block."""
        log = self.directory / "region.log"
        words = [sys.executable, "-m", "boot_resources", "region", "run"]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [*words, "--settings", str(self.settings)],
                stderr=stream,
                stdout=stream,
                env={**os.environ, **environment},
            )
        try:
            with Watcher(process.pid) as watcher:
                yield
        finally:
            process.terminate()
            process.wait(on_thread.PATIENCE)
            self.seen["the log"] = log.read_bytes()
            self.seen |= watcher.seen

    def ask_everything(self, *, reads: bool = True) -> None:
        """Wait until it has tried to read the source; then ask all that can be asked.

        With ``reads``, it is made to read the source again, too.
        """
        socket_path = self.directory / "region.sock"
        asked = local.Controller("region", socket_path)

        def has_tried() -> bool:
            with contextlib.suppress(local.Unreachable):
                return bool(asked.get("/status")["sync"]["passes"])
            return False

        on_thread.wait_until(has_tried)
        for words in (["status"], ["images", "list"], ["sources", "show"], ["selections", "list"]):
            self.ask(*words)
            self.ask(*words, "--json")
        if reads:
            for words in (["sync"], ["sources", "check"], ["verify"]):
                self.ask(*words)
        url = f"http://127.0.0.1:{self.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=on_thread.PATIENCE) as reply:
            self.seen["the metrics"] = reply.read()

    def found(self) -> list[str]:
        """Return which secret was found where."""
        marks = {what: mark.encode() for what, mark in MARKS.items()}
        key = (self.cluster.directory / "region-0.key").read_bytes()
        marks["the private key"] = key.splitlines()[1]
        return [
            f"{what} in {where}"
            for where, text in self.seen.items()
            for what, mark in marks.items()
            if mark in text
        ]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


@pytest.fixture
def source(tmp_path: Path) -> Iterator[signed_source.SignedSource]:
    with signed_source.small_cloud(tmp_path / "source", 400_000) as source:
        yield source


ENVIRONMENT = dict.fromkeys(
    ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "DATABASE_URL", "API_KEY"),
    f"http://{USER}:{PASSWORD}-environment@127.0.0.1:9",
)


def with_password(url: str) -> str:
    """Return the URL of a source with a user's name and password."""
    return url.replace("://", f"://{USER}:{PASSWORD}-source@")


def test_a_region_that_cannot_read_its_source_keeps_its_secrets(
    setting: Setting, source: signed_source.SignedSource
) -> None:
    def redirect(request: origin.Request) -> origin.Reply | None:
        if request.path.endswith(".sjson"):
            return origin.Reply(302, {"Location": f"/away?token={TOKEN}", "Content-Length": "0"})
        return origin.Reply(404, {"Content-Length": "0"})

    with origin.Origin(source.directory, redirect) as served:
        setting.write(with_password(served.url), source.keyring)
        with setting.running(ENVIRONMENT):
            setting.ask_everything()
    assert any("Authorization" in request.headers for request in served.requests)
    assert any(request.path.startswith("/away") for request in served.requests)
    assert setting.found() == []


def test_a_region_that_reads_its_source_keeps_its_secrets(
    setting: Setting, source: signed_source.SignedSource
) -> None:
    def lose_a_payload(request: origin.Request) -> origin.Reply | None:
        if "squashfs" in request.path:
            return origin.Reply(302, {"Location": f"/away?token={TOKEN}", "Content-Length": "0"})
        return None

    with origin.Origin(source.directory, lose_a_payload) as served:
        setting.write(with_password(served.url), source.keyring)
        with setting.running(ENVIRONMENT):
            setting.ask_everything()
    assert any("gpg" in where for where in setting.seen)
    assert "the environment of a child" in setting.seen
    assert setting.found() == []


def test_a_region_behind_a_proxy_that_refuses_keeps_its_secrets(
    setting: Setting, source: signed_source.SignedSource
) -> None:
    (nobody,) = on_thread.free_ports(1)
    setting.write(
        f"http://{USER}:{PASSWORD}-source@source.invalid/",
        source.keyring,
        proxy=f"http://{USER}:{PASSWORD}-proxy@127.0.0.1:{nobody}",
    )
    with setting.running(ENVIRONMENT):
        setting.ask_everything(reads=False)
    assert setting.found() == []


def test_a_region_whose_database_refuses_it_keeps_its_secrets(
    setting: Setting, source: signed_source.SignedSource
) -> None:
    with refusing_database() as port:
        setting.write(
            "http://source.invalid/",
            source.keyring,
            catalog=f"postgresql://{USER}:{PASSWORD}%21database@127.0.0.1:{port}/catalog",
        )
        setting.run("region", "run")
        setting.run("region", "check")
    assert "the password *** is wrong" in setting.seen["boot-resources region run"].decode()
    assert setting.found() == []


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [
        ("catalog", "url", f"mysql://{USER}:{PASSWORD}-database@db/catalog"),
        ("source", "url", f"ftp://{USER}:{PASSWORD}-source@host/"),
        ("source", "url", f"http://{USER}:{PASSWORD}-source@host:99999999/"),
        ("download", "proxy", f"socks9://{USER}:{PASSWORD}-proxy@host:99999999/"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_without_its_secret(
    setting: Setting, source: signed_source.SignedSource, table: str, key: str, value: str
) -> None:
    setting.write("http://source.invalid/", source.keyring)
    lines = setting.settings.read_text().splitlines()
    at = lines.index(f"[{table}]") + 1
    if lines[at].startswith(f"{key} ="):
        del lines[at]
    lines.insert(at, f"{key} = {json.dumps(value)}")
    setting.settings.write_text("\n".join(lines))
    setting.run("region", "check")
    assert setting.found() == []
