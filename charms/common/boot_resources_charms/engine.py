"""The engine's versions on a machine: staged, tried, kept, removed.

A charm's own directory is overwritten in the middle of an upgrade, so no service runs from there.
What the charm carries in its environment is copied to a directory of its own, named for its
content::

    /opt/boot-resources/region-0/0.2.0-1f0e9a7c/site-packages/      as the charm carries it
                                                bin/boot-resources  runs it, and nothing else
                                                service.j2          its unit file, to be filled in
                                                settings.toml       with which it last answered
                                 current  -> 0.2.0-1f0e9a7c         the version that last answered
                                 previous -> 0.1.0-77c01b9e         the one before it
                                 failed.json                        which version did not work, why

A version is run by the unit file that came with it, so that going back is going back: what a
newer charm asks of systemd is not asked for an older engine.

Always true: a version under its name is whole and durable. ``current`` names a version that has
answered with its own settings, so going back is always possible. What is neither current nor
previous nor carried goes.
"""

import compileall
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import shutil
import stat
import subprocess
from collections.abc import Iterator
from importlib import metadata

from . import failures, files, places, templates

INTERPRETER = pathlib.Path("/usr/bin/python3")
"""The machine's own Python, for which the charm's environment was made."""
_DISTRIBUTION = "boot-resources"
_UNIT = "service.j2"
_ROOT = files.Owner(0, 0)


@dataclasses.dataclass(frozen=True)
class FailedUpgrade:
    """An engine that was tried and did not work."""

    version: str
    """The version that failed, for example ``0.2.0-1f0e9a7c``."""
    why: str
    """One sentence."""
    tried: str = ""
    """With what it was tried: a digest over all that it reads."""


class Engines:
    """The engine's versions of one unit.

    Args:
        where: the unit's places.
        charm_directory: where the charm was unpacked; the engine is in its ``venv``.
        owner: who owns what is written here; a test is not root.
    """

    def __init__(
        self,
        where: places.Places,
        charm_directory: pathlib.Path,
        owner: files.Owner = _ROOT,
    ) -> None:
        self._where = where
        self._charm_directory = charm_directory
        self._owner = owner

    @functools.cached_property
    def carried(self) -> str:
        """The version that the charm carries: ``0.2.0-1f0e9a7c``.

        Raises:
            failures.InstallFailed: it carries none.
        """
        packages = self._packages
        release = next(
            (
                each.version
                for each in metadata.distributions(path=[str(packages)])
                if each.name == _DISTRIBUTION
            ),
            None,
        )
        if release is None:
            raise self._carries_none()
        with failures.installing(f"read {packages}", "see that file system"):
            return f"{release}-{_digest(packages)}"

    @property
    def current(self) -> str | None:
        """The version that last answered; None before the first."""
        return self._linked("current")

    @property
    def previous(self) -> str | None:
        """The version before that one."""
        return self._linked("previous")

    @property
    def failed(self) -> FailedUpgrade | None:
        """The carried version, where it was tried and did not work."""
        try:
            failed = FailedUpgrade(**json.loads(self._failed_file.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return failed if failed.version == self.carried else None

    def directory(self, version: str) -> pathlib.Path:
        """Return where a version lies."""
        return self._where.engines / version

    def launcher(self, version: str) -> pathlib.Path:
        """Return the ``boot-resources`` command of a version."""
        return self.directory(version) / "bin/boot-resources"

    def unit_template(self, version: str) -> str:
        """Return the template of the unit file that came with a version.

        Raises:
            failures.InstallFailed: it cannot be read.
        """
        path = self.directory(version) / _UNIT
        with failures.installing(f"read {path}", "juju refresh to a charm with another engine"):
            return path.read_text()

    def kept_settings(self, version: str) -> pathlib.Path:
        """Return the settings with which a version last answered."""
        return self.directory(version) / "settings.toml"

    def stage(self) -> bool:
        """Have the carried version on the disk, whole and durable; return whether it was not.

        Raises:
            failures.InstallFailed: it carries none, or the disk does not take it.
        """
        final = self.directory(self.carried)
        if final.is_dir():
            return False
        with failures.installing(
            f"put the engine into {final}", "make room there; the next hook tries again"
        ):
            files.ensure_directory(self._where.engines, files.PROGRAM, self._owner)
            aside = self._where.engines / f".{self.carried}.tmp"
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            _copy(self._packages, aside / "site-packages")
            self._write_launcher(aside, final)
            unit = templates.source(_UNIT).encode()
            files.ensure(aside / _UNIT, unit, files.PUBLIC, self._owner)
            _compile(aside / "site-packages", aside, final)
            _open_to_all(aside)
            # One call for some thousand files: a file at a time takes minutes on a slow disk.
            subprocess.run(["sync", "--file-system", str(aside)], check=True, capture_output=True)
            aside.rename(final)
            files.sync_directory(self._where.engines)
        return True

    def accept(self, version: str) -> None:
        """Make a version that has answered the current one; keep the one before it, no other.

        Raises:
            failures.InstallFailed: the disk does not take it.
        """
        with failures.installing(f"keep the engine {version}", f"see {self._where.engines}"):
            before = self.current
            if before not in (None, version):
                files.ensure_link(self._where.engines / "previous", pathlib.Path(str(before)))
            files.ensure_link(self._where.engines / "current", pathlib.Path(version))
            if version == self.carried:
                files.ensure_absent(self._failed_file)
            self._prune()

    def reject(self, failed: FailedUpgrade) -> None:
        """Record that a version was tried and does not work.

        Raises:
            failures.InstallFailed: the disk does not take it.
        """
        record = json.dumps(dataclasses.asdict(failed)).encode()
        with failures.installing("record the failed upgrade", f"see {self._where.engines}"):
            files.ensure(self._failed_file, record, files.PUBLIC, self._owner)

    def forgive(self) -> None:
        """Forget which version did not work.

        Raises:
            failures.InstallFailed: the disk does not take it.
        """
        with failures.installing("forget the failed upgrade", f"see {self._where.engines}"):
            if self._where.engines.is_dir():
                files.ensure_absent(self._failed_file)

    @functools.cached_property
    def _packages(self) -> pathlib.Path:
        found = sorted(self._charm_directory.glob("venv/lib/python3.*/site-packages"))
        if not found:
            raise self._carries_none()
        return found[-1]

    def _carries_none(self) -> failures.InstallFailed:
        return failures.InstallFailed(
            f"the charm in {self._charm_directory} carries no engine",
            "pack it with `make charms` and refresh the application with that file",
        )

    @property
    def _failed_file(self) -> pathlib.Path:
        return self._where.engines / "failed.json"

    def _linked(self, name: str) -> str | None:
        link = self._where.engines / name
        return link.readlink().name if link.is_symlink() and link.is_dir() else None

    def _write_launcher(self, aside: pathlib.Path, final: pathlib.Path) -> None:
        text = templates.render(
            "launcher.py.j2",
            interpreter=INTERPRETER,
            version=self.carried,
            packages=final / "site-packages",
        )
        (aside / "bin").mkdir()
        files.ensure(aside / "bin/boot-resources", text.encode(), files.PROGRAM, self._owner)

    def _prune(self) -> None:
        kept = {self.current, self.previous, self.carried}
        for entry in self._where.engines.iterdir():
            if entry.is_dir() and not entry.is_symlink() and entry.name not in kept:
                files.remove_tree(entry)


def release(version: str) -> str:
    """Return what the engine itself calls a version: ``0.2.0`` of ``0.2.0-1f0e9a7c``."""
    return version.rpartition("-")[0]


def _carried_files(packages: pathlib.Path) -> Iterator[pathlib.PurePath]:
    """Yield the relative paths of all that is carried, in one order.

    What Python compiled is left out: the charm's own runs leave it there, and it would change the
    digest.
    """
    for directory, directories, names in os.walk(packages):
        directories[:] = sorted(each for each in directories if each != "__pycache__")
        for name in sorted(names):
            yield pathlib.Path(directory, name).relative_to(packages)


def _digest(packages: pathlib.Path) -> str:
    """Return 8 digits that are others where any file, or its name, is another."""
    digest = hashlib.blake2b(digest_size=4)
    for path in _carried_files(packages):
        content = (packages / path).read_bytes()
        digest.update(f"{path}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _copy(packages: pathlib.Path, to: pathlib.Path) -> None:
    """Copy all that is carried."""
    for path in _carried_files(packages):
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(packages / path, to / path)


def _open_to_all(version: pathlib.Path) -> None:
    """Let everybody read a version, whatever the modes in the charm and the hook's umask."""
    version.chmod(files.PROGRAM)
    for path in version.rglob("*"):
        is_open = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
        path.chmod(files.PROGRAM if is_open else files.PUBLIC)


def _compile(packages: pathlib.Path, aside: pathlib.Path, final: pathlib.Path) -> None:
    """Compile it once: the service may not write there, and would compile at each start.

    Some packages bring a file that is no Python of this version; such a one stays as it is.
    """
    compileall.compile_dir(packages, quiet=2, stripdir=str(aside), prependdir=str(final))
