"""A model of plain processes on this host, and charms of a few lines to deploy on it."""

import pathlib
import tempfile
from collections.abc import Iterator

import pytest

from support import small_charms


@pytest.fixture
def directory() -> Iterator[pathlib.Path]:
    # A socket's path is short; the one that pytest would give is not.
    with tempfile.TemporaryDirectory(prefix="model-") as made:
        yield pathlib.Path(made)


@pytest.fixture(scope="module")
def shared_cloud() -> Iterator[small_charms.Cloud]:
    """Make a Juju 3.6 for all tests of a file: for those that only look."""
    with tempfile.TemporaryDirectory(prefix="model-") as made:
        with small_charms.Cloud(pathlib.Path(made)) as cloud:
            yield cloud


@pytest.fixture
def cloud(directory: pathlib.Path) -> Iterator[small_charms.Cloud]:
    """Make a Juju 3.6."""
    with small_charms.Cloud(directory) as made:
        yield made


@pytest.fixture
def cloud_4(directory: pathlib.Path) -> Iterator[small_charms.Cloud]:
    """Make a Juju 4.0."""
    with small_charms.Cloud(directory, "4.0.2") as made:
        yield made
