"""A machine for the charms' tests: packages, users, and a systemd that keeps some promises.

It stands in for `subprocess.run`. It fails on any command that it was not told about, so that a
test cannot pass for want of looking. A service "runs" as long as its process has a directory in
the test's own ``/proc``; which engines accept their settings, start and answer, a test decides.

What it does not do: it runs nothing. Real hosts run the real thing in ``tests/functional/charms``.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from boot_resources_charms import files, host

US = files.Owner(os.getuid(), os.getgid())
"""Who runs the tests plays root and every user: nobody else can be given a file without root."""


class Killed(BaseException):
    """The hook's process ended here."""


@dataclasses.dataclass
class Engine:
    """How the engine of one release behaves.

    Attributes:
        accepts: whether it takes settings with that text.
        starts: whether it becomes ready.
        dies_of: whether it accepts settings with that text, and does not become ready.
        answers: the version that it answers with; None for its own.
        dies_with: what it writes where it does not start.
    """

    accepts: Callable[[str], bool] = lambda _: True
    starts: bool = True
    dies_of: Callable[[str], bool] = lambda _: False
    answers: str | None = None
    dies_with: str = "error: port 5290 is taken by nginx\n  cure: stop that process"


@dataclasses.dataclass
class Unit:
    """A systemd unit.

    Attributes:
        text: its file, as systemd read it last.
        process: the id of its process; 0 for none.
        failed: whether it ended badly and is about to be started again, or is not ready yet.
        result: how it ended last, in systemd's words: ``success`` where it did not.
    """

    text: str
    process: int = 0
    failed: bool = False
    result: str = "exit-code"
    enabled: bool = False

    def values(self, key: str) -> list[str]:
        """Return what the file says for a key, in its order."""
        prefix = f"{key}="
        return [ln[len(prefix) :] for ln in self.text.splitlines() if ln.startswith(prefix)]


class FakeMachine(host.Host):
    """The machine.

    Attributes:
        path: its file system.
        engines: how the engines behave, by release; others work.
        units: what systemd knows, by name.
        ran: every command, in order.
        debian: packages that are installed.
        users: users that are there.
        kill_at: the hook dies before its step of that number; None for never.
        steps: how many steps were done: commands, and changes of names on the disk.
    """

    root = US

    def __init__(self, path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.engines: dict[str, Engine] = {}
        self.units: dict[str, Unit] = {}
        self.ran: list[tuple[str, ...]] = []
        self.debian: set[str] = set()
        self.users: set[str] = set()
        self.kill_at: int | None = None
        self.steps = 0
        self._at_work = False
        self._journal = ""
        self._processes = itertools.count(1000)
        (path / "etc/systemd/system").mkdir(parents=True)
        monkeypatch.setattr(subprocess, "run", self.run)
        for name in ("replace", "rename", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._stepping(getattr(os, name)))
        # Nothing here outlives the test: the disk need not be waited for.
        monkeypatch.setattr(os, "fsync", lambda _: self._step())

    # What `host.Host` promises.

    def ensure_packages(self, names: Sequence[str]) -> bool:
        missing = set(names) - self.debian
        self.debian |= missing
        return bool(missing)

    def ensure_user(self, name: str, home: str) -> bool:
        is_new = name not in self.users
        self.users.add(name)
        return is_new

    def owner(self, name: str) -> files.Owner:
        assert name in self.users, f"the user {name} is not there"
        return US

    def remove_user(self, name: str) -> bool:
        was_there = name in self.users
        self.users.discard(name)
        return was_there

    # What a test looks at.

    def running(self, service: str) -> bool:
        """Return whether a service serves."""
        return service in self.units and self.units[service].process > 0

    def restarts(self) -> int:
        """Return how often a service was started."""
        return sum(line[:2] == ("systemctl", "restart") for line in self.ran)

    def end(self, service: str) -> None:
        """End a service's process, as an operator does, or a power cut."""
        unit = self.units[service]
        if unit.process:
            process = self.path / "proc" / str(unit.process)
            (process / "environ").unlink()
            process.rmdir()
        unit.process = 0

    # The commands.

    def run(self, line: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        """Carry out a command as `subprocess.run` does."""
        self._step()
        assert options["capture_output"]
        self.ran.append(tuple(line))
        self._at_work = True
        try:
            status, said = self._carry_out(tuple(line))
        finally:
            self._at_work = False
        if status and options["check"]:
            raise subprocess.CalledProcessError(status, line, said, said)
        return subprocess.CompletedProcess(line, status, said, "")

    def _carry_out(self, line: tuple[str, ...]) -> tuple[int, str]:
        match line:
            case ("systemctl", "daemon-reload"):
                return self._reload()
            case ("systemctl", "show", service, _):
                return 0, "".join(f"{line}\n" for line in self._show(service))
            case ("systemctl", verb, service):
                return self._order(verb, service)
            case ("journalctl", "--sync"):
                return 0, ""
            case ("journalctl", "_SYSTEMD_INVOCATION_ID=1f0e", *_):
                return 0, self._journal
            case ("sync", "--file-system", directory):
                assert pathlib.Path(directory).is_dir()
                return 0, ""
            case (program, *arguments) if program.startswith(f"{self.path}/opt/boot-resources/"):
                return self._engine(pathlib.Path(program), arguments)
        raise AssertionError(f"a command that nobody told this machine about: {line}")

    def _order(self, verb: str, service: str) -> tuple[int, str]:
        if verb == "reset-failed":
            return (0, "") if service in self.units else (1, "not loaded")
        if verb in ("enable", "disable"):
            self._reload()
            self.units[service].enabled = verb == "enable"
            return 0, ""
        if verb == "stop":
            self.end(service)
            self.units[service].failed = False
            return 0, ""
        assert verb == "restart", f"a verb that nobody told this machine about: {verb}"
        return self._restart(service)

    def _reload(self) -> tuple[int, str]:
        found = {p.name: p.read_text() for p in (self.path / "etc/systemd/system").iterdir()}
        for name in set(self.units) - set(found):
            if not self.units[name].process:
                del self.units[name]
        for name, text in found.items():
            self.units.setdefault(name, Unit(text)).text = text
        return 0, ""

    def _show(self, service: str) -> Iterator[str]:
        unit = self.units.get(service)
        if unit is None:
            yield from ("LoadState=not-found", "ActiveState=inactive", "MainPID=0")
            return
        state = "activating" if unit.failed else "active" if unit.process else "inactive"
        yield from ("LoadState=loaded", f"ActiveState={state}", f"MainPID={unit.process}")
        yield f"UnitFileState={'enabled' if unit.enabled else 'disabled'}"
        yield from ("InvocationID=1f0e", f"Result={unit.result}")

    def _restart(self, service: str) -> tuple[int, str]:
        unit = self.units[service]
        self.end(service)
        launcher, _, _, _, settings = unit.values("ExecStart")[0].split()
        engine = self._behaviour(pathlib.Path(launcher))
        is_there = pathlib.Path(launcher).exists() and pathlib.Path(settings).exists()
        writable = all(pathlib.Path(each).is_dir() for each in unit.values("ReadWritePaths"))
        sound = is_there and not engine.dies_of(pathlib.Path(settings).read_text())
        if not (sound and writable and engine.starts):
            unit.failed = True
            self._journal = f"starting\n{engine.dies_with}\n"
            return 1, f"Job for {service} failed"
        unit.process, unit.failed = next(self._processes), False
        process = self.path / "proc" / str(unit.process)
        process.mkdir(parents=True)
        environment = ["LANG=C.UTF-8", *unit.values("Environment")]
        (process / "environ").write_text("".join(f"{pair}\0" for pair in environment))
        return 0, ""

    def _engine(self, launcher: pathlib.Path, arguments: list[str]) -> tuple[int, str]:
        if not launcher.exists():
            raise FileNotFoundError(2, "No such file or directory", str(launcher))
        assert "--json" in arguments
        settings = pathlib.Path(arguments[arguments.index("--settings") + 1])
        engine = self._behaviour(launcher)
        match arguments:
            case ["region" | "rack", "check", *_]:
                if not engine.accepts(settings.read_text()):
                    refusal = {"error": f"{settings}: novel: unknown key", "cure": "take it out"}
                    return 2, json.dumps(refusal)
                return 0, json.dumps({"settings": str(settings)})
            case ["status", *_]:
                return self._status(launcher)
        raise AssertionError(f"nobody told this engine about {arguments}")

    def _status(self, launcher: pathlib.Path) -> tuple[int, str]:
        # Whoever runs answers, whichever version asks.
        unit = launcher.parents[2].name
        name = f"boot-resources-{unit}.service"
        if not self.running(name):
            return 3, json.dumps([{"error": "it does not answer", "cure": "start it"}])
        serving = self._launcher(name)
        engine = self._behaviour(serving)
        version = engine.answers or _release(serving)
        return 0, json.dumps([{"name": unit, "version": version}])

    def _launcher(self, service: str) -> pathlib.Path:
        return pathlib.Path(self.units[service].values("ExecStart")[0].split()[0])

    def _behaviour(self, launcher: pathlib.Path) -> Engine:
        return self.engines.get(_release(launcher), Engine())

    def _stepping(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self._step()
            return function(*arguments, **options)

        return counted

    def _step(self) -> None:
        if self._at_work:
            return
        if self.steps == self.kill_at:
            raise Killed
        self.steps += 1


def _release(launcher: pathlib.Path) -> str:
    """Return the release of the engine that a command belongs to."""
    return launcher.resolve().parents[1].name.rpartition("-")[0]


def pack(directory: pathlib.Path, release: str, *, novelty: str = "") -> pathlib.Path:
    """Make a charm's directory that carries an engine of that release; return it.

    Args:
        directory: where; what was there before is written over, as an upgrade does.
        release: the engine's version.
        novelty: another text is another content.
    """
    packages = directory / "venv/lib/python3.12/site-packages"
    for old in packages.glob("boot_resources-*"):
        (old / "METADATA").unlink()
        old.rmdir()
    (packages / "boot_resources/cli").mkdir(parents=True, exist_ok=True)
    (packages / "boot_resources/__init__.py").write_text(f"NOVELTY = {novelty!r}\n")
    (packages / "boot_resources/cli/__init__.py").touch()
    (packages / "boot_resources/cli/main.py").write_text(_MAIN)
    about = packages / f"boot_resources-{release}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: boot-resources\nVersion: {release}\n"
    )
    return directory


_MAIN = """
import json, sys

def main():
    print(json.dumps({"arguments": sys.argv[1:], "path": sys.path, "here": __file__}))
"""
