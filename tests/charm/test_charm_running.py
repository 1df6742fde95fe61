"""An engine is tried; where it does not work, the one before it runs again by itself."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources.store import identity
from boot_resources_charms import workload
from support import fake_machine, sites


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sites.Site:
    return sites.Site(tmp_path, monkeypatch)


def test_a_new_machine_runs_what_the_charm_carries(site: sites.Site) -> None:
    assert site.reconcile() is workload.Outcome.RESTARTED
    state = site.unit.state()
    assert state.activity is workload.Activity.ACTIVE
    assert state.running == state.carried
    assert (state.failed_upgrade, state.why) == (None, "")
    assert site.machine.units[sites.SERVICE].enabled
    assert site.link("current") == "0.1.0"
    assert "gpg" in site.machine.debian


def test_a_second_run_changes_nothing_and_restarts_nothing(site: sites.Site) -> None:
    site.reconcile()
    before = {p: p.lstat().st_mtime_ns for p in site.machine.path.rglob("*")}
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.restarts() == 1
    assert {p: p.lstat().st_mtime_ns for p in site.machine.path.rglob("*")} == before


def test_what_it_reads_at_the_start_is_a_restart(site: sites.Site) -> None:
    site.reconcile()
    assert site.reconcile(reads="another certificate") is workload.Outcome.RESTARTED
    assert site.reconcile(reads="another certificate") is workload.Outcome.UNCHANGED


def test_other_directories_are_a_restart(site: sites.Site) -> None:
    site.reconcile()
    other = site.path / "other"
    other.mkdir()
    assert site.unit.ensure_running("r", [other]) is workload.Outcome.RESTARTED


def test_a_service_that_was_stopped_is_started_again(site: sites.Site) -> None:
    site.reconcile()
    site.machine.end(sites.SERVICE)
    assert site.unit.state().activity is workload.Activity.STOPPED
    assert site.reconcile() is workload.Outcome.RESTARTED


def test_a_service_that_is_not_ready_is_not_taken_for_one_that_serves(site: sites.Site) -> None:
    site.reconcile()
    site.machine.units[sites.SERVICE].failed = True
    assert site.unit.state().activity is workload.Activity.STARTING
    assert site.reconcile() is workload.Outcome.RESTARTED


def test_a_service_that_was_disabled_is_enabled_without_a_restart(site: sites.Site) -> None:
    site.reconcile()
    site.machine.units[sites.SERVICE].enabled = False
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.units[sites.SERVICE].enabled


def test_an_edited_unit_file_is_mended_without_a_restart(site: sites.Site) -> None:
    site.reconcile()
    unit_file = site.unit.places.unit_file
    wanted = unit_file.read_text()
    unit_file.write_text("[Service]\n")
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert unit_file.read_text() == wanted


def test_an_upgrade_that_works_is_current_and_the_one_before_is_kept(site: sites.Site) -> None:
    site.reconcile()
    site.refresh("0.2.0")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert site.release() == "0.2.0"
    assert (site.link("current"), site.link("previous")) == ("0.2.0", "0.1.0")


def test_of_three_versions_the_oldest_goes(site: sites.Site) -> None:
    for release in ("0.1.0", "0.2.0", "0.3.0"):
        site.refresh(release)
        site.reconcile()
    assert site.versions() == {"0.2.0", "0.3.0"}


def test_the_same_release_with_another_content_is_another_version(site: sites.Site) -> None:
    site.reconcile()
    site.refresh("0.1.0", novelty="mended")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert site.unit.state().running == site.unit.state().carried


def test_going_back_by_a_refresh_works(site: sites.Site) -> None:
    site.reconcile()
    site.refresh("0.2.0")
    site.reconcile()
    site.refresh("0.1.0")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert (site.link("current"), site.link("previous")) == ("0.1.0", "0.2.0")


def test_settings_that_the_engine_refuses_leave_the_service_running(site: sites.Site) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(accepts=lambda text: "new" not in text)
    site.reconcile()
    process = site.machine.units[sites.SERVICE].process
    assert site.reconcile(sites.NEW_SETTINGS, reads="new") is workload.Outcome.FAILED
    assert site.machine.units[sites.SERVICE].process == process
    state = site.unit.state()
    assert "unknown key" in state.why
    assert state.cure == "take it out"
    assert state.failed_upgrade is None


def test_a_first_engine_that_does_not_start_says_why_and_is_tried_again(site: sites.Site) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(starts=False)
    assert site.reconcile() is workload.Outcome.FAILED
    state = site.unit.state()
    assert (state.why, state.cure) == ("port 5290 is taken by nginx", "stop that process")
    site.machine.engines["0.1.0"].starts = True
    assert site.reconcile() is workload.Outcome.RESTARTED


def test_a_storage_of_a_region_that_is_gone_is_told_in_the_terms_of_its_unit(
    site: sites.Site,
) -> None:
    refusal = identity.AnotherCluster(site.storage, "1f0e", "77c0")
    words = f"error: {refusal}\n  cure: {refusal.cure}"
    site.machine.engines["0.1.0"] = fake_machine.Engine(starts=False, dies_with=words)
    site.reconcile()
    for unit in (site.unit, site.hook()):
        state = unit.state()
        assert state.why == str(refusal)
        assert state.cure == (
            "to keep its images, on the machine: sudo systemctl stop boot-resources-region-0; "
            "sudo boot-resources-region-0 store adopt; sudo systemctl start "
            "boot-resources-region-0"
        )


def test_a_service_that_dies_later_says_why_at_the_next_hook(site: sites.Site) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(starts=False)
    site.reconcile()
    state = site.hook().state()
    assert state.activity is workload.Activity.STARTING
    assert state.why == "port 5290 is taken by nginx"


def test_a_service_that_is_about_to_be_ready_has_nothing_to_explain(site: sites.Site) -> None:
    site.reconcile()
    unit = site.machine.units[sites.SERVICE]
    unit.failed, unit.result = True, "success"
    state = site.hook().state()
    assert (state.activity, state.why) == (workload.Activity.STARTING, "")


@pytest.mark.parametrize(
    ("wrote", "why"),
    [
        ("Traceback (most recent call last):\nImportError: no uvloop", "ImportError: no uvloop"),
        ("serving\nreading", "the service does not run (exit-code): reading"),
    ],
)
def test_what_ends_without_a_refusal_is_said_in_its_last_line(
    site: sites.Site, wrote: str, why: str
) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(starts=False, dies_with=wrote)
    site.reconcile()
    assert site.hook().state().why == why


def _all_that_lasts(site: sites.Site) -> dict[str, bytes | str]:
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
    def about_to_upgrade() -> Iterator[sites.Site]:
        place.mkdir()
        with monkeypatch.context() as patch:
            found = sites.Site(place, patch)
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
            assert site.machine.running(sites.SERVICE), step
            assert _all_that_lasts(site) == wanted, step
            assert site.reconcile() is workload.Outcome.UNCHANGED, step
