"""What the stories of the rack share: a cloud of their own each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources.rack import regions
from support import cloud as clouds


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[clouds.Cloud]:
    """Give an empty cloud, and end what a story started in it."""
    with clouds.Cloud(tmp_path) as cloud:
        yield cloud


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let racks give up soon where no region gives anything."""
    monkeypatch.setattr(regions, "PATIENCE", 0.3)
