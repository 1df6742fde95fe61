"""The settings that follow from a rack's state: a pure function of plain values."""

from collections.abc import Mapping
from typing import Any

from boot_resources.settings import rack as rack_settings
from boot_resources_charms import configuration, enrolment, failures, places, toml_text, workload

from . import state as states

_METRICS_PORT = 5292
"""Not the engine's own, which a region on the same machine has; on loopback."""
_LIVE = ("log-level = ", "size = ")
"""How the lines begin that take effect at a reload."""


def rendered(
    state: states.RackState, where: places.Places, application: str
) -> Mapping[str, workload.File | None]:
    """Return the files that hold the settings, by name, beside those of its enrolment.

    Raises:
        problems.Problem: the engine could not run with them.
    """
    told = _settings(state, where)
    configuration.check(application, rack_settings.RackSettings, told)
    return {where.settings.name: workload.File(toml_text.written(told).encode())}


def read_at_start(where: places.Places) -> str:
    """Return what a rack reads only when it starts, of the files that are there.

    Raises:
        failures.InstallFailed: they cannot be read.
    """
    with failures.installing(f"read {where.settings}", "see that file"):
        lines = where.settings.read_text("utf-8", "replace").split("\n")
    at_start = "\n".join(line for line in lines if not line.startswith(_LIVE))
    return at_start + enrolment.read_at_start(where)


def _settings(state: states.RackState, where: places.Places) -> dict[str, Any]:
    cache: dict[str, Any] = {"path": str(state.storage)}
    if state.cache_size is not None:
        cache["size"] = state.cache_size
    return {
        "controller": "rack",
        "name": state.name,
        "log-level": state.log_level,
        "regions": state.regions,
        "cache": cache,
        "http": {"port": states.PORT},
        "plane": enrolment.plane_table(where),
        "metrics": {"port": _METRICS_PORT},
        "control": {"socket": str(where.socket)},
    }
