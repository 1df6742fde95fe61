"""A PostgreSQL as it comes, on a loopback port, with data of its own; never the host's server."""

import contextlib
import dataclasses
import os
import pathlib
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator

import psycopg

from benchmarks import processes

_START_SECONDS = 30


class NoServer(Exception):
    """PostgreSQL's server or client is not installed."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        psql: its client.
        port: of 127.0.0.1.
        pid: of its main process; its backends are children of that.
    """

    psql: pathlib.Path
    port: int
    pid: int

    def url(self, role: str) -> str:
        """Return the URL by which a role reaches it; the password is in the environment."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/postgres"


@contextlib.contextmanager
def running(directory: pathlib.Path) -> Iterator[Server]:
    """Run a server in a new directory until the end of the block.

    Its only password, that of all its roles, is in the environment as ``PGPASSWORD``.

    Raises:
        NoServer: it is not installed.
    """
    binaries = _binaries()
    directory.mkdir()
    password = directory / "password"
    password.write_text(os.environ.setdefault("PGPASSWORD", secrets.token_hex()))
    user = _user()
    if user is not None:
        for path in (directory, password):
            shutil.chown(path, user)
    data = directory / "data"
    words = [f"--pgdata={data}", "--username=postgres", f"--pwfile={password}"]
    subprocess.run(
        [binaries / "initdb", *words, "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"],
        check=True,
        stdout=subprocess.DEVNULL,
        user=user,
        cwd=directory,
    )
    port = processes.free_port()
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        # What it does by itself would be in some rounds and not in others.
        "autovacuum": "off",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    with processes.running(
        [str(binaries / "postgres"), "-D", str(data), *options],
        port,
        user=user,
        stop=signal.SIGINT,
    ) as pid:
        started = Server(binaries / "psql", port, pid)
        _wait_for(started)
        yield started


def _wait_for(started: Server) -> None:
    """Wait until it answers: it listens before that."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            psycopg.connect(started.url("postgres")).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _binaries() -> pathlib.Path:
    """Return the directory of the newest server that is installed, with its client."""
    packaged = pathlib.Path("/usr/lib/postgresql").glob("*/bin")
    newest = sorted(packaged, key=lambda path: float(path.parent.name), reverse=True)
    on_path = [pathlib.Path(found).parent for found in [shutil.which("postgres")] if found]
    for directory in [*newest, *on_path]:
        if all((directory / name).exists() for name in ("postgres", "initdb", "psql")):
            return directory
    raise NoServer("PostgreSQL is not installed: apt-get install postgresql")


def _user() -> str | None:
    """Return whom the server runs as: it refuses root."""
    if os.geteuid() != 0:
        return None
    return "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
