"""Having the service run: by the engine that the charm carries, or by the one before it.

An engine that is new on this machine is tried in three steps. The first that fails ends it:

1. It must accept the settings (``boot-resources region check``). Nothing is touched before that,
   so an engine that cannot even start costs not a moment of service.
2. It must start: systemd waits until it says that it is ready.
3. It must answer, with its name and its version.

Then it is the current one. If it fails and there is a current one, that one runs again, by the
unit file that came with it: with the settings of today if it accepts them and starts with them,
else with those with which it last answered. Where it still runs and refuses the settings of today,
it is left alone. The failure is recorded; the same engine is not tried again with the same
settings.

A hook may be killed at any point: what is tried is decided each time from what is on the disk and
from what runs.
"""

import dataclasses
import enum
import pathlib

from . import command, engine, failures, files, places, service


class Outcome(enum.Enum):
    """What came of having the service run."""

    UNCHANGED = "unchanged"
    """It ran already with all that was asked for."""
    RESTARTED = "restarted"
    """It was started or restarted, and answers."""
    WENT_BACK = "went back"
    """The carried engine failed; the one before runs again. ``State.failed_upgrade`` says why."""
    FAILED = "failed"
    """It does not run as was asked; ``State.why`` says why. What ran before may still run."""


@dataclasses.dataclass(frozen=True)
class Demand:
    """What a service is to run with, whichever engine it is.

    Attributes:
        reads: all that it reads only when it starts, in any form.
        directories: what it may write.
        owner: root and the unit's group, who own the settings that are kept.
    """

    reads: str
    directories: tuple[pathlib.Path, ...]
    owner: files.Owner


class Running:
    """Runs a unit's service.

    Attributes:
        refusal: why the last ``ensure`` ended in ``FAILED``; None where it did not.
    """

    def __init__(
        self, where: places.Places, engines: engine.Engines, unit: service.Service
    ) -> None:
        self._where = where
        self._engines = engines
        self._service = unit
        self.refusal: failures.CommandFailed | None = None

    def ensure(self, demand: Demand) -> Outcome:
        """Have it run; see ``workload.Workload.ensure_running``.

        Raises:
            failures.InstallFailed: systemd or the disk refuses.
        """
        carried, current = self._engines.carried, self._engines.current
        tried = self._service.deployment(self._plan(carried, demand))
        failed = self._engines.failed
        if current is not None and failed is not None and failed.tried == tried:
            return self._have_before(current, demand)
        outcome = self._have(self._plan(carried, demand), demand.owner)
        if outcome is not Outcome.FAILED or current in (None, carried):
            return outcome
        self._engines.reject(engine.FailedUpgrade(carried, str(self.refusal), tried))
        back = self._have_before(str(current), demand)
        return Outcome.FAILED if back is Outcome.FAILED else Outcome.WENT_BACK

    def command(self) -> command.Command:
        """Return the command of the engine that runs, or else of the one that would."""
        version = self._service.look().version or self._engines.current or self._engines.carried
        return command.Command(self._engines.launcher(version), self._where.settings)

    def _have_before(self, version: str, demand: Demand) -> Outcome:
        """Have the version run that ran before the carried one."""
        plan = self._plan(version, demand)
        kept = dataclasses.replace(plan, settings=self._engines.kept_settings(version))
        if version == self._engines.carried or not kept.settings.exists():
            return self._have(plan, demand.owner)
        if self._accepts(plan):
            outcome = self._have(plan, demand.owner)
            if outcome is not Outcome.FAILED:
                return outcome
        elif self._service.look() == service.Seen(service.Activity.ACTIVE, version):
            # What it reads anew is what it refuses: a restart would bring nothing but a gap.
            self.refusal = None
            self._service.ensure_unit(kept)
            return Outcome.UNCHANGED
        return self._have(kept, demand.owner)

    def _have(self, plan: service.Plan, owner: files.Owner) -> Outcome:
        """Have one version run."""
        self.refusal = None
        try:
            restarted = self._try(plan)
        except failures.CommandFailed as refusal:
            self.refusal = refusal
            return Outcome.FAILED
        self._keep(plan, owner)
        return Outcome.RESTARTED if restarted else Outcome.UNCHANGED

    def _plan(self, version: str, demand: Demand) -> service.Plan:
        return service.Plan(
            version=version,
            launcher=self._engines.launcher(version),
            template=self._engines.unit_template(version),
            settings=self._where.settings,
            reads=demand.reads,
            directories=demand.directories,
        )

    def _accepts(self, plan: service.Plan) -> bool:
        """Return whether a version accepts the settings of its plan."""
        try:
            self._check(plan)
        except failures.CommandFailed:
            return False
        return True

    def _try(self, plan: service.Plan) -> bool:
        """Have the service run with a plan; return whether it was restarted.

        Raises:
            failures.CommandFailed: it does not work.
        """
        if self._service.runs(plan):
            self._service.ensure_unit(plan)
            if self._engines.current != plan.version:
                # A hook was killed after the restart: whether it answers was not seen.
                self._meet(plan)
            return False
        self._check(plan)
        self._service.ensure_unit(plan)
        self._service.restart()
        self._meet(plan)
        return True

    def _check(self, plan: service.Plan) -> None:
        """Return if a version accepts the settings; it starts nothing.

        Raises:
            failures.CommandFailed: it does not accept them, or cannot be run at all.
        """
        asked = command.Command(plan.launcher, plan.settings)
        asked.ask(self._where.role.value, "check")

    def _meet(self, plan: service.Plan) -> None:
        """Return if the service answers, and is the one that was started.

        Raises:
            failures.CommandFailed: it does not, or is another.
        """
        wanted = {"name": self._where.unit, "version": engine.release(plan.version)}
        status = command.Command(plan.launcher, plan.settings).ask("status")
        found = {key: status.get(key) for key in wanted}
        if found != wanted:
            raise failures.CommandFailed(
                f"{found['name']}, version {found['version']}, answers in place of "
                f"{wanted['name']}, version {wanted['version']}",
                f"see systemctl status {self._where.service} on the machine",
            )

    def _keep(self, plan: service.Plan, owner: files.Owner) -> None:
        """Remember that this version works, and with which settings."""
        self._engines.accept(plan.version)
        kept = self._engines.kept_settings(plan.version)
        if plan.settings != kept:
            with failures.installing("keep the settings that work", f"see {kept.parent}"):
                files.ensure(kept, plan.settings.read_bytes(), files.SHARED, owner)
