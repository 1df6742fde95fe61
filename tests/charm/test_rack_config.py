"""A rack's options: what follows from each, and what each refuses. Nothing bad is an error."""

from typing import Any

import ops
import pytest

from boot_resources_charms import failures, problems
from rack import settings, state
from support import stages, workloads

ACTIVE = ops.ActiveStatus("3 images available; cache 1.0 MiB of 4.0 GiB")


@pytest.fixture
def regions() -> stages.Regions:
    return stages.Regions()


@pytest.fixture
def stage(machine: workloads.FakeWorkload, regions: stages.Regions) -> stages.Stage:
    """Return a rack that is related, and to which nothing has happened yet."""
    return stages.rack(machine, regions.relation)


@pytest.fixture
def serving(stage: stages.Stage, regions: stages.Regions) -> stages.Stage:
    """Return a rack that serves."""
    return stages.answered(stage, regions)


def test_the_cache_is_as_large_as_the_regions_say(serving: stages.Stage) -> None:
    assert serving.machine.settings()["cache"]["size"] == 4 << 30


def test_what_the_regions_say_anew_takes_effect_live(
    serving: stages.Stage, regions: stages.Regions
) -> None:
    regions.answer(serving, cache_size=8 << 30)
    serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
    assert serving.machine.settings()["cache"]["size"] == 8 << 30
    assert (serving.machine.starts, serving.machine.reloads) == (1, 1)


@pytest.mark.parametrize("size", ["512M", " 512M "])
def test_its_own_size_stands_above_theirs_and_takes_effect_live(
    serving: stages.Stage, size: str
) -> None:
    assert serving.configure(cache_size=size) == ACTIVE
    assert serving.machine.settings()["cache"]["size"] == 512 << 20
    assert (serving.machine.starts, serving.machine.reloads) == (1, 1)


def test_without_any_size_the_engine_decides(stage: stages.Stage, regions: stages.Regions) -> None:
    stages.answered(stage, regions, cache_size=None)
    assert "size" not in stage.machine.settings()["cache"]
    assert stage.status == ACTIVE


def test_the_log_level_takes_effect_live(serving: stages.Stage) -> None:
    serving.configure(log_level="debug")
    assert serving.machine.settings()["log-level"] == "debug"
    assert (serving.machine.starts, serving.machine.reloads) == (1, 1)


def test_a_reload_that_a_hook_did_not_live_to_see_comes_with_the_next(
    serving: stages.Stage,
) -> None:
    serving.machine.reload_error = failures.CommandFailed("it is busy", "wait", 1)
    assert serving.configure(cache_size="1G") == ops.BlockedStatus("it is busy; wait")
    serving.machine.reload_error = None
    serving.run(serving.on.update_status())
    assert serving.machine.reloads == 1
    assert serving.status == ACTIVE


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (
            {"cache_size": "4GG"},
            "cache-size: '4GG' is not a size; write for example 512M, 4G or 1.5T",
        ),
        ({"cache_size": "0"}, "cache-size: it must be greater than or equal to 1"),
        (
            {"log_level": "loud"},
            "log-level: it must be 'debug', 'info', 'warning' or 'error'",
        ),
    ],
)
def test_a_bad_value_blocks_and_changes_nothing(
    serving: stages.Stage, options: dict[str, Any], status: str
) -> None:
    before = serving.machine.read("rack.toml")
    (option,) = (name.replace("_", "-") for name in options)
    assert serving.configure(**options) == ops.BlockedStatus(
        f"the option {status}; juju config rack {option}=..."
    )
    assert serving.machine.read("rack.toml") == before
    assert serving.machine.starts == 1


def test_a_bad_value_is_said_before_the_regions_answer(stage: stages.Stage) -> None:
    assert stage.configure(log_level="loud") == ops.BlockedStatus(
        "the option log-level: it must be 'debug', 'info', 'warning' or 'error'; "
        "juju config rack log-level=..."
    )


def test_a_bad_value_does_not_hold_back_a_renewed_certificate(
    serving: stages.Stage, regions: stages.Regions
) -> None:
    settings, *before = stages.written(serving)
    serving.configure(cache_size="4GG")
    regions.forget()
    regions.answer(serving)
    serving.run(serving.on.relation_changed(serving.relation(stages.PLANE)))
    unchanged, *after = stages.written(serving)
    assert isinstance(serving.status, ops.BlockedStatus)
    assert unchanged == settings
    assert after[0] != before[0]
    assert serving.machine.starts == 2, "it is read at a start"


def test_settings_that_the_engine_would_refuse_are_not_rendered(serving: stages.Stage) -> None:
    unheard_of = state.RackState(
        "rack-0", ("nonsense",), None, "info", serving.machine.places.state
    )
    with pytest.raises(problems.Problem) as refused:
        settings.rendered(unheard_of, serving.machine.places, "rack")
    assert refused.value.sentence.startswith(
        "the engine cannot run with these settings: regions: "
    )
    assert refused.value.sentence.endswith("; see juju config rack")
