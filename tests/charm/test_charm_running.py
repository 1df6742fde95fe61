"""An engine is tried; where it does not work, the one before it runs again by itself."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources.plane import members
from boot_resources_charms import templates, workload
from support import fake_machine

SERVICE = "boot-resources-region-0.service"
SETTINGS = {"region.toml": workload.File(b"old words\n")}
NEW_SETTINGS = {"region.toml": workload.File(b"new words\n")}


class Site:
    """A machine with one unit on it, and the charm as it was last refreshed."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.machine = fake_machine.FakeMachine(path / "root", monkeypatch)
        self.storage = path / "storage"
        self.storage.mkdir()
        self.charm = path / "charm"
        self._templates = path / "templates"
        shutil.copytree(Path(templates.__file__).with_name("templates"), self._templates)
        monkeypatch.setattr(templates, "_DIRECTORY", self._templates)
        self.refresh("0.1.0")

    def refresh(self, release: str, novelty: str = "", unit: str = "") -> None:
        """Refresh the charm to one with that engine, whose unit file says ``unit``, too."""
        fake_machine.pack(self.charm, release, novelty=novelty)
        template = self._templates / "service.j2"
        template.write_text(template.read_text().replace("[Install]\n", f"{unit}[Install]\n"))
        self.unit = self.hook()
        self.unit.retry_upgrade()

    def hook(self) -> workload.Workload:
        """Return the machine as a new hook sees it."""
        return workload.Workload(
            "region-0", members.Role.REGION, self.charm, self.machine.path, self.machine
        )

    def reconcile(
        self, settings: dict[str, workload.File] = SETTINGS, reads: str = "r"
    ) -> workload.Outcome:
        self.unit = self.hook()
        self.unit.install()
        self.unit.ensure_key()
        self.unit.ensure_files(settings)
        return self.unit.ensure_running(reads, [self.storage])

    def release(self) -> str | None:
        """Return the release that runs."""
        running = self.unit.state().running
        return running and running.rpartition("-")[0]

    def link(self, name: str) -> str:
        return (self.unit.places.engines / name).readlink().name.rpartition("-")[0]

    def versions(self) -> set[str]:
        found = self.unit.places.engines.iterdir()
        return {p.name.rpartition("-")[0] for p in found if p.is_dir() and not p.is_symlink()}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_a_new_machine_runs_what_the_charm_carries(site: Site) -> None:
    assert site.reconcile() is workload.Outcome.RESTARTED
    state = site.unit.state()
    assert state.activity is workload.Activity.ACTIVE
    assert state.running == state.carried
    assert (state.failed_upgrade, state.why) == (None, "")
    assert site.machine.units[SERVICE].enabled
    assert site.link("current") == "0.1.0"
    assert "gpg" in site.machine.debian


def test_a_second_run_changes_nothing_and_restarts_nothing(site: Site) -> None:
    site.reconcile()
    before = {p: p.lstat().st_mtime_ns for p in site.machine.path.rglob("*")}
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.restarts() == 1
    assert {p: p.lstat().st_mtime_ns for p in site.machine.path.rglob("*")} == before


def test_what_it_reads_at_the_start_is_a_restart(site: Site) -> None:
    site.reconcile()
    assert site.reconcile(reads="another certificate") is workload.Outcome.RESTARTED
    assert site.reconcile(reads="another certificate") is workload.Outcome.UNCHANGED


def test_other_directories_are_a_restart(site: Site) -> None:
    site.reconcile()
    other = site.path / "other"
    other.mkdir()
    assert site.unit.ensure_running("r", [other]) is workload.Outcome.RESTARTED


def test_a_service_that_was_stopped_is_started_again(site: Site) -> None:
    site.reconcile()
    site.machine.end(SERVICE)
    assert site.unit.state().activity is workload.Activity.STOPPED
    assert site.reconcile() is workload.Outcome.RESTARTED


def test_a_service_that_is_not_ready_is_not_taken_for_one_that_serves(site: Site) -> None:
    site.reconcile()
    site.machine.units[SERVICE].failed = True
    assert site.unit.state().activity is workload.Activity.STARTING
    assert site.reconcile() is workload.Outcome.RESTARTED


def test_a_service_that_was_disabled_is_enabled_without_a_restart(site: Site) -> None:
    site.reconcile()
    site.machine.units[SERVICE].enabled = False
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.units[SERVICE].enabled


def test_an_edited_unit_file_is_mended_without_a_restart(site: Site) -> None:
    site.reconcile()
    unit_file = site.unit.places.unit_file
    wanted = unit_file.read_text()
    unit_file.write_text("[Service]\n")
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert unit_file.read_text() == wanted


def test_an_upgrade_that_works_is_current_and_the_one_before_is_kept(site: Site) -> None:
    site.reconcile()
    site.refresh("0.2.0")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert site.release() == "0.2.0"
    assert (site.link("current"), site.link("previous")) == ("0.2.0", "0.1.0")


def test_of_three_versions_the_oldest_goes(site: Site) -> None:
    for release in ("0.1.0", "0.2.0", "0.3.0"):
        site.refresh(release)
        site.reconcile()
    assert site.versions() == {"0.2.0", "0.3.0"}


def test_the_same_release_with_another_content_is_another_version(site: Site) -> None:
    site.reconcile()
    site.refresh("0.1.0", novelty="mended")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert site.unit.state().running == site.unit.state().carried


def test_going_back_by_a_refresh_works(site: Site) -> None:
    site.reconcile()
    site.refresh("0.2.0")
    site.reconcile()
    site.refresh("0.1.0")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert (site.link("current"), site.link("previous")) == ("0.1.0", "0.2.0")


@pytest.mark.parametrize(
    "broken",
    [
        fake_machine.Engine(starts=False),
        fake_machine.Engine(answers="0.0.9"),
        fake_machine.Engine(accepts=lambda _: False),
    ],
    ids=["does not start", "answers as another", "accepts no settings"],
)
def test_a_broken_upgrade_goes_back_by_itself_and_says_so(
    site: Site, broken: fake_machine.Engine
) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = broken
    site.refresh("0.2.0")
    site.reconcile()
    assert site.machine.running(SERVICE)
    state = site.unit.state()
    assert site.release() == "0.1.0"
    assert state.failed_upgrade is not None
    assert state.failed_upgrade.version == state.carried
    assert state.failed_upgrade.why
    assert state.why == ""
    assert site.link("current") == "0.1.0"


def test_an_engine_that_accepts_no_settings_costs_no_moment_of_service(site: Site) -> None:
    site.reconcile()
    process = site.machine.units[SERVICE].process
    site.machine.engines["0.2.0"] = fake_machine.Engine(accepts=lambda _: False)
    site.refresh("0.2.0")
    assert site.reconcile() is workload.Outcome.WENT_BACK
    assert site.machine.units[SERVICE].process == process


@pytest.mark.parametrize(
    "unit", ["# a word of the newer charm\n", "ReadWritePaths=/nowhere/new\n"]
)
def test_what_a_newer_charm_asks_of_systemd_is_not_asked_for_an_older_engine(
    site: Site, unit: str
) -> None:
    site.reconcile()
    before, process = site.unit.places.unit_file.read_text(), site.machine.units[SERVICE].process
    site.machine.engines["0.2.0"] = fake_machine.Engine(accepts=lambda _: False)
    site.refresh("0.2.0", unit=unit)
    assert site.reconcile() is workload.Outcome.WENT_BACK
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.units[SERVICE].process == process
    assert site.unit.places.unit_file.read_text() == before


def test_an_engine_that_goes_back_starts_by_its_own_unit_file(site: Site) -> None:
    site.reconcile()
    before = site.unit.places.unit_file.read_text()
    site.refresh("0.2.0", unit="ReadWritePaths=/nowhere/new\n")
    assert site.reconcile() is workload.Outcome.WENT_BACK
    assert site.release() == "0.1.0"
    assert site.unit.places.unit_file.read_text() == before


def test_where_only_the_new_engine_accepts_the_settings_the_old_one_is_left_running(
    site: Site,
) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(accepts=lambda text: "new" not in text)
    site.reconcile()
    process = site.machine.units[SERVICE].process
    site.machine.engines["0.2.0"] = fake_machine.Engine(accepts=lambda _: False)
    site.refresh("0.2.0")
    assert site.reconcile(NEW_SETTINGS, reads="new") is workload.Outcome.WENT_BACK
    assert site.reconcile(NEW_SETTINGS, reads="new") is workload.Outcome.UNCHANGED
    assert site.machine.units[SERVICE].process == process
    # Started again by systemd, it finds settings that it accepts.
    command = site.unit.places.unit_file.read_text().partition("ExecStart=")[2].split()
    assert Path(command[4]).read_text() == "old words\n"


def test_an_old_engine_that_accepts_the_new_settings_and_dies_of_them_runs_with_its_own(
    site: Site,
) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(dies_of=lambda text: "new" in text)
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile(NEW_SETTINGS, reads="new") is workload.Outcome.WENT_BACK
    assert site.release() == "0.1.0"


def test_the_reason_is_the_engines_own(site: Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile() is workload.Outcome.WENT_BACK
    failed = site.unit.state().failed_upgrade
    assert failed is not None
    assert failed.why == "port 5290 is taken by nginx"


def test_what_failed_is_not_tried_again_at_each_hook(site: Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    restarts = site.machine.restarts()
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.restarts() == restarts
    assert site.unit.state().failed_upgrade is not None


def test_what_failed_is_tried_again_with_other_settings(site: Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    site.machine.engines["0.2.0"].starts = True
    assert site.reconcile(reads="another port") is workload.Outcome.RESTARTED
    assert site.release() == "0.2.0"
    assert site.unit.state().failed_upgrade is None


def test_what_failed_is_tried_again_after_a_refresh(site: Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    site.machine.engines["0.2.0"].starts = True
    site.refresh("0.2.0")
    site.reconcile()
    assert site.release() == "0.2.0"


def test_a_better_version_ends_the_failure(site: Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    site.refresh("0.2.1")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert site.unit.state().failed_upgrade is None
    assert site.versions() == {"0.1.0", "0.2.1"}


def test_an_old_engine_runs_with_its_own_settings_where_it_refuses_the_new(site: Site) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(accepts=lambda text: "new" not in text)
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile(NEW_SETTINGS) is workload.Outcome.WENT_BACK
    assert site.machine.running(SERVICE)
    command = site.machine.units[SERVICE].values("ExecStart")[0].split()
    assert Path(command[-1]).read_text() == "old words\n"


def test_an_old_engine_runs_with_the_new_settings_where_it_accepts_them(site: Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile(NEW_SETTINGS) is workload.Outcome.WENT_BACK
    command = site.machine.units[SERVICE].values("ExecStart")[0].split()
    assert Path(command[-1]).read_text() == "new words\n"


def test_settings_that_the_engine_refuses_leave_the_service_running(site: Site) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(accepts=lambda text: "new" not in text)
    site.reconcile()
    process = site.machine.units[SERVICE].process
    assert site.reconcile(NEW_SETTINGS, reads="new") is workload.Outcome.FAILED
    assert site.machine.units[SERVICE].process == process
    state = site.unit.state()
    assert "unknown key" in state.why
    assert state.cure == "take it out"
    assert state.failed_upgrade is None


def test_a_first_engine_that_does_not_start_says_why_and_is_tried_again(site: Site) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(starts=False)
    assert site.reconcile() is workload.Outcome.FAILED
    state = site.unit.state()
    assert (state.why, state.cure) == ("port 5290 is taken by nginx", "stop that process")
    site.machine.engines["0.1.0"].starts = True
    assert site.reconcile() is workload.Outcome.RESTARTED


def test_a_service_that_dies_later_says_why_at_the_next_hook(site: Site) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(starts=False)
    site.reconcile()
    state = site.hook().state()
    assert state.activity is workload.Activity.STARTING
    assert state.why == "port 5290 is taken by nginx"


@pytest.mark.parametrize(
    ("wrote", "why"),
    [
        ("Traceback (most recent call last):\nImportError: no uvloop", "ImportError: no uvloop"),
        ("serving\nreading", "the service does not run (exit-code): reading"),
    ],
)
def test_what_ends_without_a_refusal_is_said_in_its_last_line(
    site: Site, wrote: str, why: str
) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(starts=False, dies_with=wrote)
    site.reconcile()
    assert site.hook().state().why == why


def _all_that_lasts(site: Site) -> dict[str, bytes | str]:
    """Return what is on the disk, but for what differs by chance: keys, and compiled Python."""
    found: dict[str, bytes | str] = {}
    for path in sorted(site.machine.path.rglob("*")):
        name = str(path.relative_to(site.machine.path))
        if name.startswith("proc/") or "__pycache__" in name or "controller." in name:
            continue
        found[name] = str(path.readlink()) if path.is_symlink() else "directory"
        if path.is_file() and not path.is_symlink():
            # The digests are keyed with the private key, which is another each time.
            found[name] = re.sub(rb"/[0-9a-f]{16}\b", b"/DIGEST", path.read_bytes())
    return found


@pytest.mark.parametrize(
    "carried",
    [
        fake_machine.Engine(),
        fake_machine.Engine(starts=False),
        fake_machine.Engine(answers="0.0.9"),
    ],
    ids=["works", "does not start", "answers as another"],
)
def test_an_upgrade_that_is_killed_anywhere_is_put_right_by_the_next_hook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carried: fake_machine.Engine
) -> None:
    # The same path each time: it is part of what is written.
    place = tmp_path / "machine"

    @contextlib.contextmanager
    def about_to_upgrade() -> Iterator[Site]:
        place.mkdir()
        with monkeypatch.context() as patch:
            found = Site(place, patch)
            found.reconcile()
            found.machine.engines["0.2.0"] = carried
            found.refresh("0.2.0")
            found.machine.steps = 0
            yield found
        shutil.rmtree(place)

    with about_to_upgrade() as site:
        site.reconcile()
        steps, wanted = site.machine.steps, _all_that_lasts(site)
    assert steps > 20
    for step in range(steps):
        with about_to_upgrade() as site:
            site.machine.kill_at = step
            with pytest.raises(fake_machine.Killed):
                site.reconcile()
            site.machine.kill_at = None
            site.reconcile()
            assert site.machine.running(SERVICE), step
            assert _all_that_lasts(site) == wanted, step
            assert site.reconcile() is workload.Outcome.UNCHANGED, step
