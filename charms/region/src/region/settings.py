"""The settings that follow from a region's state: a pure function of plain values."""

from collections.abc import Mapping
from typing import Any

from boot_resources.settings import region as region_settings
from boot_resources_charms import configuration, enrolment, failures, places, toml_text, workload

from . import state as states

_KEYRING = "keyring.asc"
_MAAS = "maas-database"


def rendered(
    state: states.RegionState, where: places.Places, application: str
) -> Mapping[str, workload.File | None]:
    """Return the files that hold the settings, by name, beside those of its enrolment.

    Those whose value is None must not be there.

    Raises:
        problems.Problem: the engine could not run with them.
    """
    told = _settings(state, where)
    config, url = state.config, state.migration_url
    # What lies in files of its own is not there yet, and is checked as what it will hold.
    source = told["source"] | {"keyring": None, "keyring-data": config.source_keyring or None}
    inline = {"source": source, "migration": {"url": url} if url else None}
    configuration.check(application, region_settings.RegionSettings, told | inline)
    return {
        where.settings.name: workload.File(toml_text.written(told).encode(), is_secret=True),
        _KEYRING: _file(config.source_keyring, is_secret=False),
        _MAAS: _file(url, is_secret=True),
    }


def read_at_start(where: places.Places) -> str:
    """Return what a region reads only when it starts, of the files that are there.

    Raises:
        failures.InstallFailed: they cannot be read.
    """
    keyring = where.settings_directory / _KEYRING
    with failures.installing(f"read {where.settings}", "see that file"):
        keys = keyring.read_text("utf-8", "replace") if keyring.exists() else ""
        text = where.settings.read_text("utf-8", "replace")
    return text + keys + enrolment.read_at_start(where)


def _file(text: str | None, *, is_secret: bool) -> workload.File | None:
    return workload.File(f"{text}\n".encode(), is_secret) if text else None


def _settings(state: states.RegionState, where: places.Places) -> dict[str, Any]:
    config, directory = state.config, where.settings_directory
    return {
        "controller": "region",
        "name": state.name,
        "log-level": config.log_level,
        "storage": {"path": str(state.storage)},
        "catalog": {"url": f"sqlite:///{where.state / 'catalog.db'}"},
        "source": {
            "url": config.source_url,
            "keyring": str(directory / _KEYRING) if config.source_keyring else None,
            "allow-unsigned": config.source_allow_unsigned,
        },
        "download": {
            "proxy": state.proxy.url,
            "no-proxy": state.proxy.exceptions,
            "sync-interval": config.sync_interval,
        },
        "migration": {"url-file": str(directory / _MAAS)} if state.migration_url else None,
        "plane": enrolment.plane_table(where) | {"port": states.PORT, "address": state.address},
        "control": {"socket": str(where.socket)},
        "selections": [each.model_dump(mode="json", by_alias=True) for each in config.selections],
    }
