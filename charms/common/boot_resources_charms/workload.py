"""A unit's machine, as its charm sees it: the one face of all that is done there.

Always true: every verb can be run again, at any time, and after a hook that was killed in any
place; it finds what is there, changes only what is different, and says whether it did. What fails
is a ``failures.InstallFailed`` or a ``failures.CommandFailed``, each with a cure; nothing else
comes out of here. Nothing here knows Juju.

A charm reconciles in this order::

    machine.install()                      # user, directories, packages, the engine carried here
    request = machine.ensure_key()         # for the relation
    changed = machine.ensure_files({...})  # settings, certificate, authority, member list
    machine.ensure_running(reads, [storage])
    machine.state()                        # for the status
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from boot_resources.plane import members

from . import (
    command,
    engine,
    failures,
    files,
    host,
    identity,
    maas,
    onpath,
    places,
    running,
    service,
)

# A charm needs no other module of this floor.
Activity = service.Activity
FailedUpgrade = engine.FailedUpgrade
File = files.File
Outcome = running.Outcome

_ANOTHERS = " belongs to cluster "
"""The engine's words about a storage that is another region's, whose catalog is not here."""
_PACKAGES = {members.Role.REGION: ("gpg",), members.Role.RACK: ()}
"""What the engine runs and Python does not bring: a region checks signatures."""


@dataclasses.dataclass(frozen=True)
class State:
    """How the service is now.

    Attributes:
        activity: what systemd says of it.
        running: the version of the engine that the process runs; None where there is no process.
        carried: the version that this charm carries; empty where it carries none.
        failed_upgrade: the carried version, where it was tried and did not work.
        why: where it does not serve, or the last ``ensure_running`` ended in ``FAILED``: one
            sentence, the engine's own words; otherwise empty.
        cure: what to do about it, in the engine's words; may be empty.
    """

    activity: Activity
    running: str | None
    carried: str
    failed_upgrade: FailedUpgrade | None = None
    why: str = ""
    cure: str = ""


class Workload:
    """One unit's service on this machine.

    Args:
        unit: as the engine names it: ``region-0``.
        role: ``members.Role.REGION`` or ``RACK``.
        charm_directory: where the charm was unpacked; the engine is in its ``venv``.
        root: the file system to work in; a test gives a directory of its own.
        machine: packages and users; a test gives one of its own.

    Attributes:
        places: where everything of the unit lies.
    """

    def __init__(
        self,
        unit: str,
        role: members.Role,
        charm_directory: pathlib.Path,
        root: pathlib.Path = pathlib.Path("/"),
        machine: host.Host | None = None,
    ) -> None:
        self.places = places.Places(unit, role, root)
        self._host = machine or host.Host()
        self._engines = engine.Engines(self.places, charm_directory, self._host.root)
        self._service = service.Service(self.places, self._host.root)
        self._running = running.Running(self.places, self._engines, self._service)

    def maas_here(self) -> str | None:
        """Return what of MAAS is installed on this machine, for example ``the snap maas``."""
        return maas.installed(self.places.root)

    def install(self) -> None:
        """Make this machine ready: user, directories, Debian packages, the carried engine.

        Raises:
            failures.InstallFailed: something of it could not be done.
        """
        self._host.ensure_packages(_PACKAGES[self.places.role])
        self._host.ensure_user(self.places.user, str(self.places.state))
        directory = self.places.settings_directory
        with failures.installing(f"make {directory}", f"see {directory.parent}"):
            files.ensure_directory(directory, 0o750, self._shared)
        self._engines.stage()
        launcher = self._engines.launcher("current")
        onpath.ensure(self.places, launcher, self._host.root)

    def retry_upgrade(self) -> None:
        """Forget that the carried engine failed; the next ``ensure_running`` tries it again.

        For the event ``upgrade-charm``: whoever refreshes a charm wants it tried.

        Raises:
            failures.InstallFailed: the disk does not take it.
        """
        self._engines.forgive()

    def ensure_key(self) -> bytes:
        """Make this unit's private key, once; return the certificate request for it, in PEM.

        The request is the same one each time, for as long as the key is.

        Raises:
            failures.InstallFailed: the key cannot be read or written.
        """
        owner = self._host.owner(self.places.user)
        return identity.ensure(self.places.key, self.places.request, self.places.unit, owner)

    def ensure_files(self, wanted: Mapping[str, File | None]) -> frozenset[str]:
        """Have these files in the settings directory; return the names of those that changed.

        Args:
            wanted: by name, for example ``region.toml``; None for one that must not be there.

        Raises:
            failures.InstallFailed: one could not be written.
        """
        directory = self.places.settings_directory
        with failures.installing(f"write to {directory}", "make room there"):
            return frozenset(
                name for name, file in wanted.items() if self._ensure_file(directory / name, file)
            )

    def ensure_running(self, reads: str, directories: Sequence[pathlib.Path]) -> Outcome:
        """Have the service run, from the carried engine if that one works.

        It is restarted only if it does not run, or runs with something else than is asked for.
        An engine that is new here is tried: it must accept the settings, start, and answer. If it
        does not, the one before it runs again, and the new one is not tried again until
        ``retry_upgrade``, until what it reads is another, or until the charm carries another.

        Args:
            reads: all that the service reads only when it starts, in any form; another text is a
                restart. Leave out what a reload changes and what the engine reads again itself.
            directories: what it may write, for example the storage; made the unit's own.

        Raises:
            failures.InstallFailed: the unit's file cannot be written, or systemd does not answer.
        """
        owner = self._host.owner(self.places.user)
        for directory in directories:
            with failures.installing(f"make {directory} the unit's own", "see its file system"):
                files.ensure_owned(directory, owner)
        return self._running.ensure(running.Demand(reads, tuple(directories), self._shared))

    def reload(self) -> None:
        """Have a running rack read its settings again.

        Raises:
            failures.CommandFailed: it refused them, or does not answer.
        """
        self.ask("rack", "reload")

    def ask(self, *arguments: str) -> Any:
        """Run ``boot-resources ARGUMENTS --json`` for this unit and return its document.

        A check that found something (exit status 4), and a job of which something is left open
        (1), have a document, too; the caller reads it there.

        Raises:
            failures.CommandFailed: it refused; its words, cure and exit status.
        """
        return self._command().ask(*arguments)

    def follow(self, *arguments: str) -> Iterator[str]:
        """Run ``boot-resources ARGUMENTS`` and yield its lines, progress too, as they come.

        Raises:
            failures.CommandFailed: after the last line, where it did not exit with 0.
        """
        return self._command().follow(*arguments)

    def stop(self) -> None:
        """Stop the service and keep it from starting with the machine.

        Raises:
            failures.InstallFailed: systemd does not stop it.
        """
        self._service.stop()

    def remove(self) -> None:
        """Stop the service and remove all that is this unit's; its storage stays as it is.

        Raises:
            failures.InstallFailed: something of it could not be removed.
        """
        self._service.remove()
        onpath.remove(self.places)
        mine = (
            self.places.engines,
            self.places.runtime,
            self.places.state,
            self.places.settings_directory,
        )
        for directory in mine:
            with failures.installing(f"remove {directory}", "see that directory"):
                files.remove_tree(directory)
                files.remove_if_empty(directory.parent)
        self._host.remove_user(self.places.user)

    def state(self) -> State:
        """Return how the service is now."""
        seen = self._service.look()
        try:
            carried, failed = self._engines.carried, self._engines.failed
        except failures.InstallFailed as error:
            return State(seen.activity, seen.version, "", None, str(error), error.cure)
        why, cure = self._why(seen.activity)
        return State(seen.activity, seen.version, carried, failed, why, cure)

    def _why(self, activity: Activity) -> tuple[str, str]:
        """Return why the service is not as it should be, and the cure."""
        refusal = self._running.refusal
        why, cure = "", ""
        if refusal is not None:
            why, cure = str(refusal), refusal.cure
        elif activity in (Activity.FAILED, Activity.STARTING):
            why, cure = self._service.last_words()
        return why, self._adopting if _ANOTHERS in why else cure

    @property
    def _adopting(self) -> str:
        """What to do about a storage that a region before this one filled."""
        name = self.places.service.removesuffix(".service")
        return (
            f"to keep its images, on the machine: sudo systemctl stop {name}; sudo {name} store "
            f"adopt; sudo systemctl start {name}"
        )

    def _command(self) -> command.Command:
        try:
            return self._running.command()
        except failures.InstallFailed as error:
            raise failures.CommandFailed(str(error), error.cure) from None

    def _ensure_file(self, path: pathlib.Path, file: File | None) -> bool:
        if file is None:
            return files.ensure_absent(path)
        if file.is_secret:
            owner = self._host.owner(self.places.user)
            return files.ensure(path, file.content, files.SECRET, owner)
        return files.ensure(path, file.content, files.SHARED, self._shared)

    @property
    def _shared(self) -> files.Owner:
        """Root, and the unit's group."""
        return files.Owner(self._host.root.uid, self._host.owner(self.places.user).gid)
