"""What the tests of the region share: one signed source, and regions that read it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import real_region


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[real_region.World]:
    """Give a world that tests look at; what one changes it puts back."""
    with real_region.begin(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[real_region.World]:
    """Give a world that the test may break."""
    with real_region.begin(tmp_path) as world:
        yield world
