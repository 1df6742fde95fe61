"""Fixtures of the migration's tests: MAAS databases that nothing may change."""

from collections.abc import Iterator

import pytest

from support import maas, postgres


@pytest.fixture(params=maas.KINDS)
def any_maas(
    request: pytest.FixtureRequest, postgresql_server: postgres.Server
) -> Iterator[maas.MaasDatabase]:
    """Give an empty MAAS database, of each kind."""
    yield from maas.made(postgresql_server, request.param)


@pytest.fixture
def maas_3_4(postgresql_server: postgres.Server) -> Iterator[maas.MaasDatabase]:
    """Give an empty database of a MAAS 3.4."""
    yield from maas.made(postgresql_server, maas.V3_4)


@pytest.fixture
def maas_3_5(postgresql_server: postgres.Server) -> Iterator[maas.MaasDatabase]:
    """Give an empty database of a MAAS 3.5 before its own export."""
    yield from maas.made(postgresql_server, maas.V3_5)
