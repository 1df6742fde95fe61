"""A power cut in a migration: what the catalog says is here is here, whatever the disk kept."""

import pathlib
import random
from collections.abc import Iterator
from typing import Any

import pytest

from boot_resources import units
from boot_resources.catalog import cluster
from boot_resources.migration import arrival, database
from support import (
    databases,
    endurance,
    exporting,
    maas,
    postgres,
    power,
    power_explorer,
    power_recording,
    stores,
    syncing,
)


@pytest.fixture
def found(postgresql_server: postgres.Server) -> Iterator[maas.MaasDatabase]:
    yield from maas.made(postgresql_server, maas.V3_5)


def test_no_power_cut_takes_anything_of_what_has_arrived(
    found: maas.MaasDatabase, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = endurance.seed("migration power cuts")
    bodies = [stores.noise(size, size) for size in (0, 5000, units.MIB + 1)]
    exporting.scene(found, *bodies)
    catalog = databases.migrated(f"sqlite:///{tmp_path}/catalog.sqlite")
    with catalog.write() as conn:
        cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
    with power_explorer.ground() as ground:
        ground.clear()
        disk = power_recording.Recording(ground.lived, ground.pool)
        arrive, said = arrival.arrive, []

        def note(*words: Any) -> arrival.Arrived:
            said.append(len(disk.log))
            return arrive(*words)

        monkeypatch.setattr(arrival, "arrive", note)
        with syncing.Region(catalog, ground.lived / "root", disk=disk) as region:
            exporting.migrated(database.Database(found.url()), catalog, region.store)
        log = disk.log
    catalog.close()
    (arrived,) = said
    wanted = {f"root/objects/{stores.name_of(body)}": body for body in bodies}
    lots = power_explorer.Lots(random.Random(seed))
    draws = max(1, endurance.states(400) // (len(log) + 1))
    states = 0
    for cut in range(len(log) + 1):
        for _ in range(draws):
            files = dict(power.after_cut(log[:cut], lots).files)
            there = {path: files[path].content for path in wanted if path in files}
            assert there.items() <= wanted.items(), "an object has its name before its bytes"
            assert cut < arrived or there == wanted
            states += 1
    endurance.tally("migration power cuts", seed=seed, states=states)
