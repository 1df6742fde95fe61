"""The systemd unit of a region or rack.

What a service was started with is asked of the process itself: its environment has a digest over
its unit file and over all that it reads only at the start. So a hook that is killed between the
writing of a file and the restart is put right by the next one, and a service that systemd started
again by itself meanwhile is not restarted for nothing.
"""

import contextlib
import dataclasses
import enum
import hmac
import pathlib
import subprocess
from collections.abc import Iterator

from charmlibs import systemd

from . import command, failures, files, places, templates

_VARIABLE = "BOOT_RESOURCES_DEPLOYMENT"
_PROPERTIES = "ActiveState,InvocationID,LoadState,MainPID,Result,UnitFileState"
_LAST_LINES = 50
"""How much of the log is read for the reason of an end."""


class Activity(enum.Enum):
    """What systemd says of the service."""

    ABSENT = "absent"
    """There is no such service."""
    ACTIVE = "active"
    """It serves: it has said that it is ready."""
    STARTING = "starting"
    """It has not said yet that it is ready, or it ended and is about to be started again."""
    STOPPED = "stopped"
    FAILED = "failed"


_ACTIVITIES = {
    "active": Activity.ACTIVE,
    "reloading": Activity.ACTIVE,
    "activating": Activity.STARTING,
    "deactivating": Activity.STOPPED,
    "inactive": Activity.STOPPED,
    "failed": Activity.FAILED,
}


@dataclasses.dataclass(frozen=True)
class Seen:
    """How a service is.

    Attributes:
        activity: what systemd says of it.
        version: of the engine that the process runs; None where there is no process.
    """

    activity: Activity
    version: str | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a service is to be started with.

    Attributes:
        version: of the engine.
        launcher: that version's command.
        template: of that version's unit file; see ``render``.
        settings: the settings file.
        reads: all that it reads only when it starts, in any form.
        directories: what it may write besides its own state.
    """

    version: str
    launcher: pathlib.Path
    template: str
    settings: pathlib.Path
    reads: str
    directories: tuple[pathlib.Path, ...]


class Service:
    """The service of one unit.

    Args:
        where: the unit's places.
        root: who owns the unit file; a test is not root.
    """

    def __init__(self, where: places.Places, root: files.Owner) -> None:
        self._where = where
        self._root = root

    def render(self, plan: Plan) -> str:
        """Return the unit file for a plan.

        The template may be of an older charm: each version goes on giving the values of
        ``_render`` under their names, and none is ever taken away.
        """
        return self._render(plan, self.deployment(plan))

    def deployment(self, plan: Plan) -> str:
        """Return the version in a plan, and a digest over all of it: ``0.2.0-1f0e9a7c/52c1…``.

        Everybody may read it in the unit file, and what is read has passwords. So the digest is
        keyed with the unit's private key: nobody can try passwords against it.
        """
        text = self._render(plan, "") + plan.reads
        digest = hmac.digest(self._key(), text.encode(), "sha256").hex()[:16]
        return f"{plan.version}/{digest}"

    def runs(self, plan: Plan) -> bool:
        """Return whether it serves, with exactly that plan."""
        found = self._show()
        serves = _activity(found) is Activity.ACTIVE
        return serves and self._started_with(found) == self.deployment(plan)

    def look(self) -> Seen:
        """Return how it is now."""
        found = self._show()
        started_with = self._started_with(found)
        version = started_with.partition("/")[0] if started_with else None
        return Seen(_activity(found), version)

    def ensure_unit(self, plan: Plan) -> bool:
        """Have the service's file say that plan, and systemd start it with the machine.

        Raises:
            failures.InstallFailed: the file cannot be written, or systemd does not take it.
        """
        with self._asking("set up"):
            text = self.render(plan).encode()
            changed = files.ensure(self._where.unit_file, text, files.PUBLIC, self._root)
            if self._show().get("UnitFileState") != "enabled":
                systemd.service_enable(self._where.service)
                changed = True
            return changed

    def restart(self) -> None:
        """Start it, or start it anew, and wait until it says that it is ready.

        Raises:
            failures.CommandFailed: it did not become ready; its last words and their cure.
            failures.InstallFailed: systemd does not answer.
        """
        with self._asking("restart"):
            # Always: a hook may have been killed after the file was written and before this.
            systemd.daemon_reload()
        try:
            systemd.service_restart(self._where.service)
        except systemd.SystemdError:
            why, cure = self.last_words()
            raise failures.CommandFailed(
                why or "the service did not become ready",
                cure or f"see journalctl -u {self._where.service}",
            ) from None

    def last_words(self) -> tuple[str, str]:
        """Return why it ended last, and the cure, in its own words; a sentence each.

        Both are empty where it is about to become ready, and did not end.
        """
        found = self._show()
        # What a process wrote last may not have reached the journal when systemd saw its end.
        _run("journalctl", "--sync")
        lines = _run(
            "journalctl",
            f"_SYSTEMD_INVOCATION_ID={found.get('InvocationID', '')}",
            f"--lines={_LAST_LINES}",
            "--output=cat",
            "--no-pager",
            "--quiet",
        ).splitlines()
        why, cure = command.refusal(lines)
        if why:
            return why, cure
        if _activity(found) is Activity.STARTING and found.get("Result") == "success":
            return "", ""
        said = lines[-1].strip()[: command.SHOWN] if lines else "it said nothing"
        return f"the service does not run ({found.get('Result') or 'unknown'}): {said}", ""

    def stop(self) -> bool:
        """Stop it, and keep it from starting with the machine.

        Raises:
            failures.InstallFailed: systemd does not stop it.
        """
        found = self._show()
        changed = False
        with self._asking("stop"):
            if _activity(found) in (Activity.ACTIVE, Activity.STARTING, Activity.FAILED):
                # Stopped, one that has failed is no longer about to be started again.
                systemd.service_stop(self._where.service)
                changed = True
            if found.get("UnitFileState") == "enabled":
                systemd.service_disable(self._where.service)
                changed = True
        return changed

    def remove(self) -> bool:
        """Stop it and have systemd forget it.

        Raises:
            failures.InstallFailed: systemd does not stop it, or the file cannot be removed.
        """
        changed = self.stop()
        with self._asking("remove"):
            changed = files.ensure_absent(self._where.unit_file) or changed
            # Always: a hook may have been killed after the file went and before this.
            systemd.daemon_reload()
        # That it failed once is remembered longer than its file is there.
        _run("systemctl", "reset-failed", self._where.service)
        return changed

    def _render(self, plan: Plan, deployment: str) -> str:
        return templates.render_text(
            plan.template,
            unit=self._where.unit,
            role=self._where.role.value,
            user=self._where.user,
            launcher=plan.launcher,
            settings=plan.settings,
            directories=plan.directories,
            variable=_VARIABLE,
            deployment=deployment,
        )

    def _key(self) -> bytes:
        """Return the unit's private key; nothing where it has none yet."""
        path = self._where.key
        with failures.installing(f"read {path}", f"see {path.parent}"):
            return path.read_bytes() if path.exists() else b""

    def _started_with(self, found: dict[str, str]) -> str | None:
        """Return the deployment of the process that runs now."""
        process = found.get("MainPID", "0")
        if process == "0":
            return None
        try:
            environment = (self._where.root / "proc" / process / "environ").read_bytes()
        except OSError:
            return None
        for pair in environment.decode(errors="replace").split("\0"):
            name, _, value = pair.partition("=")
            if name == _VARIABLE:
                return value
        return None

    def _show(self) -> dict[str, str]:
        """Return what systemd knows; nothing where it does not answer."""
        said = _run("systemctl", "show", self._where.service, f"--property={_PROPERTIES}")
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    @contextlib.contextmanager
    def _asking(self, to: str) -> Iterator[None]:
        """Turn what systemd refuses within the block into an ``InstallFailed``."""
        cure = f"see systemctl status {self._where.service} on the machine"
        with failures.installing(f"{to} {self._where.service}", cure):
            try:
                yield
            except systemd.SystemdError as error:
                last = str(error).strip().splitlines()[-1]
                raise failures.InstallFailed(
                    f"could not {to} {self._where.service}: {last}", cure
                ) from None


def _activity(found: dict[str, str]) -> Activity:
    if found.get("LoadState") == "not-found" and found.get("ActiveState") != "active":
        return Activity.ABSENT
    return _ACTIVITIES.get(found.get("ActiveState", ""), Activity.ABSENT)


def _run(*line: str) -> str:
    """Return what a command says, whatever its status; nothing where it cannot be run."""
    try:
        ended = subprocess.run(line, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return ended.stdout
