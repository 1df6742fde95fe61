"""A real PostgreSQL server for tests, on a unix socket in a directory of its own.

It never touches a server of the host. As root it runs as an unprivileged user, because PostgreSQL
refuses root. It does not fsync: no test of ours cuts PostgreSQL's power.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from support import tiers

START_SECONDS = 60
ROOM = 512 * 1024 * 1024
"""Bytes that a server should find free in memory: its data, its log of writes, a few databases."""


def find_binaries() -> Path | None:
    """Return the directory with ``postgres`` and ``initdb`` of the newest server, or None."""
    packaged = Path("/usr/lib/postgresql").glob("*/bin/postgres")
    newest = sorted(packaged, key=lambda path: float(path.parent.parent.name), reverse=True)
    on_path = [Path(found) for found in [shutil.which("postgres")] if found]
    for postgres in [*newest, *on_path]:
        if (postgres.parent / "initdb").exists():
            return postgres.parent
    return None


class Server:
    """One PostgreSQL server; ``running_server`` makes it and takes it away.

    Attributes:
        directory: where its data and its socket are.
        port: on the loopback interface where it listens there, and the socket's number.
    """

    def __init__(self, binaries: Path, directory: Path, port: int | None) -> None:
        self.directory = directory
        self.port = port or 5432
        self._binaries = binaries
        self._listen = "127.0.0.1" if port else ""
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def initialise(self) -> None:
        """Make the data directory."""
        self._give_away(self.directory)
        initdb = [str(self._binaries / "initdb"), "-D", str(self.directory / "data")]
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [*_unprivileged(), *initdb, *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.directory,
        )

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "listen_addresses": self._listen,
            "unix_socket_directories": str(self.directory),
            "port": str(self.port),
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "60",
            "shared_buffers": "32MB",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        postgres = [str(self._binaries / "postgres"), "-D", str(self.directory / "data")]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_unprivileged(), *postgres, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.execute("SELECT 1")
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.directory / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server, and end its sessions."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_SECONDS)
            self._process = None

    def crash(self) -> None:
        """Kill the server and all its sessions."""
        assert self._process is not None
        everybody = self._everybody()
        for each in everybody:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        self._process.wait(START_SECONDS)
        self._process = None
        # A server does not start while a process of the last one holds the memory that they share.
        while any(_state(each) not in ("", "Z") for each in everybody):
            time.sleep(0.001)

    @contextlib.contextmanager
    def standing_by(self) -> Iterator[None]:
        """Make the server a standby, which takes no writes; it is promoted after the block."""
        self.stop()
        (self.directory / "data" / "standby.signal").touch()
        if os.geteuid() == 0:
            shutil.chown(self.directory / "data" / "standby.signal", _user())
        self.start()
        try:
            yield
        finally:
            self.execute("SELECT pg_promote()")

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let the server, and all its sessions, stand still for the length of the block."""
        everybody = self._everybody()
        try:
            for each in everybody:
                os.kill(each, signal.SIGSTOP)
            yield
        finally:
            for each in reversed(everybody):
                os.kill(each, signal.SIGCONT)

    def _everybody(self) -> list[int]:
        """Stop the one that makes new ones; return it and all that there are."""
        assert self._process is not None
        main = self._process.pid
        os.kill(main, signal.SIGSTOP)
        while _state(main) not in ("T", "Z"):
            time.sleep(0.001)
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return [main, *map(int, children)]

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser, outside any transaction."""
        with psycopg.connect(
            host=str(self.directory),
            port=self.port,
            user="postgres",
            dbname="postgres",
            autocommit=True,
        ) as connection:
            connection.execute(statement.encode())

    def create_database(self, template: str = "template0") -> str:
        """Create a database that nobody else uses, as a copy of ``template``; return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop_database(self, name: str) -> None:
        """Drop a database, whoever uses it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def url(self, database: str) -> str:
        """Return the URL of a database, by the unix socket."""
        return f"postgresql://postgres@/{database}?host={self.directory}&port={self.port}"

    def _give_away(self, directory: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(directory, _user(), pwd.getpwnam(_user()).pw_gid)


@contextlib.contextmanager
def running_server(*, loopback: bool = False) -> Iterator[Server]:
    """Give a server that runs; skip the test where there is no PostgreSQL on this machine.

    Args:
        loopback: listen on a free port of 127.0.0.1, too (``Server.port``).
    """
    binaries = find_binaries()
    if binaries is None:
        tiers.missing("no PostgreSQL server: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="pg-", dir=_short_directory()) as directory:
        server = Server(binaries, Path(directory), _free_port() if loopback else None)
        server.initialise()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _state(pid: int) -> str:
    """Return the letter of a process's state (proc(5)); nothing where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _short_directory() -> Path:
    """Return where to put a server: in memory where there is room, for it makes many files.

    A unix socket's path is at most 107 bytes long, so pytest's own directories are too deep.
    """
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    return memory if roomy else Path("/tmp")


def _user() -> str:
    """Return whom the server runs as where the tests run as root."""
    users = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in users else "nobody"


def _unprivileged() -> list[str]:
    """Return the command that runs another as an ordinary user, and ends it with these tests."""
    command = ["setpriv", "--pdeathsig", "INT"]
    if os.geteuid() == 0:
        group = str(pwd.getpwnam(_user()).pw_gid)
        command += ["--reuid", _user(), "--regid", group, "--clear-groups"]
    return command


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
