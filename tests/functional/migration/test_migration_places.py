"""A store's place that cannot be one stands in the way of the check, and never breaks it."""

import functools
import pathlib
from collections.abc import Iterator

import pytest

from boot_resources import errors
from boot_resources.demo import origin, signed_source
from boot_resources.migration import database, preflight
from support import command, exporting, maas, nobody, plane_region, postgres, settled, stores


@pytest.fixture
def found(maas_3_5: maas.MaasDatabase) -> maas.MaasDatabase:
    exporting.scene(maas_3_5, stores.noise(5000))
    return maas_3_5


@pytest.fixture
def house(tmp_path: pathlib.Path) -> Iterator[settled.House]:
    with signed_source.small_cloud(tmp_path / "source", 2_000_000) as source:
        with origin.Origin(source.directory) as served:
            cluster = plane_region.Cluster(tmp_path / "cluster")
            yield settled.House(tmp_path, source, served, cluster)


@pytest.mark.parametrize("below", ["", "image-storage"])
def test_a_file_is_no_place(found: maas.MaasDatabase, tmp_path: pathlib.Path, below: str) -> None:
    (tmp_path / "file").touch()
    place = tmp_path / "file" / below
    looked = preflight.check(database.Database(found.url()), place, 0, set())
    (blocker,) = looked.blockers
    assert blocker.text == f"storage.path {place} cannot be used: Not a directory"
    assert looked.room.free > 0


def test_neither_is_one_that_may_not_be_read(tmp_path: pathlib.Path) -> None:
    closed = tmp_path / "closed"
    place = closed / "image-storage"
    closed.mkdir()
    stores.tree_at(place)
    closed.chmod(0)
    with postgres.running_server(loopback=True) as server:
        for found in maas.made(server, maas.V3_5):
            found.leave()
            url = f"postgresql://{maas.MAAS}@127.0.0.1:{server.port}/{found.name}"
            check = functools.partial(preflight.check, database.Database(url), place, 0, set())
            looked = nobody.do(check)
    closed.chmod(0o700)
    (blocker,) = looked.blockers
    assert "cannot be used: Permission denied" in blocker.text


def test_the_command_says_so(found: maas.MaasDatabase, house: settled.House) -> None:
    with house.region(found.url()) as region:
        place = region.settings.storage.path
        region.wait_for_images(house.images)
    place.rename(place.parent / "elsewhere")
    place.touch()
    done = command.run("migrate", "--check", "--settings", house.file)
    assert (done.status, done.err) == (errors.EXIT_FAILED, "")
    assert f"in the way: storage.path {place} cannot be used" in done.out
