"""An engine that does not work: the one before it runs again by itself, as it ran before."""

from pathlib import Path

import pytest

from boot_resources_charms import workload
from support import fake_machine, sites


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sites.Site:
    return sites.Site(tmp_path, monkeypatch)


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
    site: sites.Site, broken: fake_machine.Engine
) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = broken
    site.refresh("0.2.0")
    site.reconcile()
    assert site.machine.running(sites.SERVICE)
    state = site.unit.state()
    assert site.release() == "0.1.0"
    assert state.failed_upgrade is not None
    assert state.failed_upgrade.version == state.carried
    assert state.failed_upgrade.why
    assert state.why == ""
    assert site.link("current") == "0.1.0"


def test_an_engine_that_accepts_no_settings_costs_no_moment_of_service(site: sites.Site) -> None:
    site.reconcile()
    process = site.machine.units[sites.SERVICE].process
    site.machine.engines["0.2.0"] = fake_machine.Engine(accepts=lambda _: False)
    site.refresh("0.2.0")
    assert site.reconcile() is workload.Outcome.WENT_BACK
    assert site.machine.units[sites.SERVICE].process == process


@pytest.mark.parametrize(
    "unit", ["# a word of the newer charm\n", "ReadWritePaths=/nowhere/new\n"]
)
def test_what_a_newer_charm_asks_of_systemd_is_not_asked_for_an_older_engine(
    site: sites.Site, unit: str
) -> None:
    site.reconcile()
    before, process = (
        site.unit.places.unit_file.read_text(),
        site.machine.units[sites.SERVICE].process,
    )
    site.machine.engines["0.2.0"] = fake_machine.Engine(accepts=lambda _: False)
    site.refresh("0.2.0", unit=unit)
    assert site.reconcile() is workload.Outcome.WENT_BACK
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.units[sites.SERVICE].process == process
    assert site.unit.places.unit_file.read_text() == before


def test_an_engine_that_goes_back_starts_by_its_own_unit_file(site: sites.Site) -> None:
    site.reconcile()
    before = site.unit.places.unit_file.read_text()
    site.refresh("0.2.0", unit="ReadWritePaths=/nowhere/new\n")
    assert site.reconcile() is workload.Outcome.WENT_BACK
    assert site.release() == "0.1.0"
    assert site.unit.places.unit_file.read_text() == before


def test_where_only_the_new_engine_accepts_the_settings_the_old_one_is_left_running(
    site: sites.Site,
) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(accepts=lambda text: "new" not in text)
    site.reconcile()
    process = site.machine.units[sites.SERVICE].process
    site.machine.engines["0.2.0"] = fake_machine.Engine(accepts=lambda _: False)
    site.refresh("0.2.0")
    assert site.reconcile(sites.NEW_SETTINGS, reads="new") is workload.Outcome.WENT_BACK
    assert site.reconcile(sites.NEW_SETTINGS, reads="new") is workload.Outcome.UNCHANGED
    assert site.machine.units[sites.SERVICE].process == process
    # Started again by systemd, it finds settings that it accepts.
    command = site.unit.places.unit_file.read_text().partition("ExecStart=")[2].split()
    assert Path(command[4]).read_text() == "old words\n"


def test_an_old_engine_that_accepts_the_new_settings_and_dies_of_them_runs_with_its_own(
    site: sites.Site,
) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(dies_of=lambda text: "new" in text)
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile(sites.NEW_SETTINGS, reads="new") is workload.Outcome.WENT_BACK
    assert site.release() == "0.1.0"


def test_the_reason_is_the_engines_own(site: sites.Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile() is workload.Outcome.WENT_BACK
    failed = site.unit.state().failed_upgrade
    assert failed is not None
    assert failed.why == "port 5290 is taken by nginx"


def test_what_failed_is_not_tried_again_at_each_hook(site: sites.Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    restarts = site.machine.restarts()
    assert site.reconcile() is workload.Outcome.UNCHANGED
    assert site.machine.restarts() == restarts
    assert site.unit.state().failed_upgrade is not None


def test_what_failed_is_tried_again_with_other_settings(site: sites.Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    site.machine.engines["0.2.0"].starts = True
    assert site.reconcile(reads="another port") is workload.Outcome.RESTARTED
    assert site.release() == "0.2.0"
    assert site.unit.state().failed_upgrade is None


def test_what_failed_is_tried_again_after_a_refresh(site: sites.Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    site.machine.engines["0.2.0"].starts = True
    site.refresh("0.2.0")
    site.reconcile()
    assert site.release() == "0.2.0"


def test_a_better_version_ends_the_failure(site: sites.Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    site.reconcile()
    site.refresh("0.2.1")
    assert site.reconcile() is workload.Outcome.RESTARTED
    assert site.unit.state().failed_upgrade is None
    assert site.versions() == {"0.1.0", "0.2.1"}


def test_an_old_engine_runs_with_its_own_settings_where_it_refuses_the_new(
    site: sites.Site,
) -> None:
    site.machine.engines["0.1.0"] = fake_machine.Engine(accepts=lambda text: "new" not in text)
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile(sites.NEW_SETTINGS) is workload.Outcome.WENT_BACK
    assert site.machine.running(sites.SERVICE)
    command = site.machine.units[sites.SERVICE].values("ExecStart")[0].split()
    assert Path(command[-1]).read_text() == "old words\n"


def test_an_old_engine_runs_with_the_new_settings_where_it_accepts_them(site: sites.Site) -> None:
    site.reconcile()
    site.machine.engines["0.2.0"] = fake_machine.Engine(starts=False)
    site.refresh("0.2.0")
    assert site.reconcile(sites.NEW_SETTINGS) is workload.Outcome.WENT_BACK
    command = site.machine.units[sites.SERVICE].values("ExecStart")[0].split()
    assert Path(command[-1]).read_text() == "new words\n"
