"""Fixtures of the charms' tests on real hosts."""

from collections.abc import Iterator

import pytest

from support import hosts, packing


@pytest.fixture(scope="module")
def network() -> Iterator[hosts.Network]:
    """Give a bridge without hosts."""
    with hosts.network() as made:
        yield made


@pytest.fixture(scope="session")
def charms() -> packing.Packed:
    """Give both charms as ``make charms`` packs them."""
    return packing.packed()
