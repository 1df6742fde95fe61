"""A machine in place of the real one, for every charm that a test runs."""

import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources.settings import region
from boot_resources_charms import workload
from support import workloads


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> workloads.FakeWorkload:
    """Return the machine on which the unit of a charm is."""
    fake = workloads.FakeWorkload(tmp_path)
    monkeypatch.setattr(workload, "Workload", fake)
    return fake


@pytest.fixture(autouse=True)
def ubuntu_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the keyring that an Ubuntu machine brings with it."""
    path = tmp_path / "ubuntu-cloudimage-keyring.gpg"
    path.write_bytes(b"a keyring")
    monkeypatch.setattr(region, "UBUNTU_KEYRING", path)
    return path


@pytest.fixture(autouse=True)
def _no_proxies_of_this_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("HTTP", "HTTPS", "NO"):
        monkeypatch.delenv(f"JUJU_CHARM_{kind}_PROXY", raising=False)


@pytest.fixture(autouse=True)
def _what_ops_changes_is_put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep what ops does to a charm's process from the tests that come after in this one."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in [each for each in root.handlers if each not in handlers]:
        root.removeHandler(handler)
