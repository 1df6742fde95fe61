"""A real region and a real rack beside it, in the tests' own process, for stories of outages.

The rack's cache holds less than the region has, so that what machines ask for comes from the
region again and again.
"""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from boot_resources import units
from support import cloud, real_region

CACHE = units.MIB


@dataclasses.dataclass
class Outpost:
    """What a story cuts off.

    Attributes:
        world: the source and the region.
        rack: the region's only rack.
    """

    world: real_region.World
    rack: cloud.Rack

    @property
    def region(self) -> real_region.RealRegion:
        """The region."""
        return self.world.region

    @property
    def catalog(self) -> pathlib.Path:
        """The SQLite file."""
        return pathlib.Path(self.database)

    @property
    def database(self) -> str:
        """The name of the database, or the path of the file."""
        return str(sa.make_url(self.region.settings.catalog.url).database)

    def smallest(self) -> str:
        """Return the smallest object that the region has."""
        return min(self.world.objects, key=lambda sha256: len(self.world.objects[sha256]))

    def serves_all(self) -> bool:
        """Return whether a machine gets every file that was there at the beginning, right."""
        return self.serves_all_but("")

    def serves_all_but(self, lost: str) -> bool:
        """Return the same for all files but those of one object."""
        for truth in self.world.source.truth:
            if truth.sha256 not in self.world.objects or truth.sha256 == lost:
                continue
            name = (truth.os, truth.arch, truth.subarch, truth.release, truth.label)
            path = "/".join(("/images", *name, truth.version, truth.filename))
            got = cloud.get(self.rack, path)
            if (got.status, hashlib.sha256(got.body).hexdigest()) != (200, truth.sha256):
                return False
        return True

    def notices(self, scope: str) -> list[dict[str, Any]]:
        """Return what the region's status says in a scope."""
        return [each for each in self.region.status()["notices"] if each["scope"] == scope]

    def wait_for_notice(self, scope: str) -> dict[str, Any]:
        """Wait until the region's status says something in a scope; return it."""
        cloud.wait_until(lambda: self.notices(scope))
        found = self.notices(scope)
        assert all(each["cure"] for each in found)
        return found[0]

    def wait_until_all_is_well(self) -> None:
        """Wait until the region has nothing to say, nor the rack of it; nobody does anything."""
        cloud.wait_until(lambda: not self.region.status()["notices"])
        # That the cache is too small for all is so by intention.
        cloud.wait_until(
            lambda: all(each["scope"] != "names" for each in self.rack.status()["notices"])
        )

    def has_all_of_the_source(self) -> bool:
        """Return whether the region holds every object that the source lists."""
        return {truth.sha256 for truth in self.world.source.truth} <= self.region.store_names()

    def brings_a_new_version(self) -> None:
        """Have the source publish, and hold that the region follows."""
        self.world.publish()
        ended = self.region.sync()
        assert (ended["last_error"], ended["notices"]) == ("", [])
        assert self.has_all_of_the_source()


@contextlib.contextmanager
def begin(
    directory: pathlib.Path, url: str | None = None, cache: int = CACHE
) -> Iterator[Outpost]:
    """Yield a region that has brought all of its source, and a rack that knows of it.

    Args:
        directory: where all of it lies.
        url: of the catalog; a SQLite file by default.
        cache: bytes of the rack's cache.
    """
    with real_region.begin(directory, url) as world:
        with cloud.Cloud(directory, world.cluster) as racks:
            rack = racks.rack_of([f"127.0.0.1:{world.region.port}"], cache)
            rack.wait_for_epoch(world.region.status()["epoch"])
            yield Outpost(world, rack)
