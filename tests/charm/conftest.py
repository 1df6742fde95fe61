"""A machine in place of the real one, for every charm that a test runs."""

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
