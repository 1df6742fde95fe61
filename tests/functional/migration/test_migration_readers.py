"""Both readers give any run of an object's blocks, and nothing beyond its size."""

import pytest

from boot_resources import units
from boot_resources.migration import database, readers
from support import maas, stores

WAYS = {readers.Way.COPY: maas.READER, readers.Way.LO: maas.MAAS}
BODY = stores.noise(3 * units.MIB + 5)


@pytest.fixture(params=readers.Way)
def way(request: pytest.FixtureRequest) -> readers.Way:
    found: readers.Way = request.param
    return found


def read(
    found: maas.MaasDatabase, way: readers.Way, oid: int, size: int, run: range
) -> list[tuple[int, bytes]]:
    with database.Database(found.url(WAYS[way])).snapshot() as conn:
        reader = readers.reader(readers.probe(conn), way)
        return [(index, bytes(data)) for index, data in reader.read(conn, oid, size, run)]


@pytest.mark.parametrize("run", [range(4), range(1, 3), range(3, 4)])
def test_a_run_is_its_blocks_in_order(
    maas_3_5: maas.MaasDatabase, way: readers.Way, run: range
) -> None:
    oid = maas_3_5.large_object(BODY)
    blocks = [(index, stores.block_of(BODY, index)) for index in run]
    assert read(maas_3_5, way, oid, len(BODY), run) == blocks


def test_bytes_beyond_the_size_are_not_given(
    maas_3_5: maas.MaasDatabase, way: readers.Way
) -> None:
    oid = maas_3_5.large_object(BODY)
    size = units.MIB + 7
    blocks = [(0, BODY[: units.MIB]), (1, BODY[units.MIB : size])]
    assert read(maas_3_5, way, oid, size, range(2)) == blocks


def test_a_large_object_that_is_too_short_is_told_by_lo(maas_3_5: maas.MaasDatabase) -> None:
    oid = maas_3_5.large_object(BODY[:-1])
    with pytest.raises(readers.NotThere, match="ends within its block 3"):
        read(maas_3_5, readers.Way.LO, oid, len(BODY), range(4))


def test_what_is_too_short_reads_as_zeros_by_copy(maas_3_5: maas.MaasDatabase) -> None:
    oid = maas_3_5.large_object(BODY[:-1])
    found = read(maas_3_5, readers.Way.COPY, oid, len(BODY), range(3, 4))
    assert found == [(3, BODY[3 * units.MIB : -1] + b"\0")]
