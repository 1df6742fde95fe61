"""Desks for the tests of the command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources.settings import region as region_settings
from support import desks


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[desks.Desk]:
    """Give a region whose source and selections the settings file declares; do not change it."""
    yield from desks.sit_down(tmp_path_factory.mktemp("desk"), declared=True)


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[desks.Desk]:
    """Give the same to a test that breaks it."""
    yield from desks.sit_down(tmp_path, declared=True)


@pytest.fixture
def free_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[desks.Desk]:
    """Give a region that is told its source and selections by command; at first it has none."""
    monkeypatch.setattr(region_settings, "UBUNTU_KEYRING", tmp_path / "none.gpg")
    yield from desks.sit_down(tmp_path, declared=False)
