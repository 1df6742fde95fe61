"""A signed source, and a region and a rack as real processes that can be stopped and killed."""

import datetime
import tomllib
from pathlib import Path
from typing import Self

from boot_resources import units
from boot_resources.demo import origin, signed_source, site
from boot_resources.plane import tls
from boot_resources.service import local
from support import cloud, real_region


class Town:
    """The processes of ``demo.site.Site`` beside a source; a context manager that ends them.

    Attributes:
        source: the source; ``publish`` gives it another version.
        origin: serves it.
        site: starts, stops and kills ``region`` and ``rack``.
        plane_port: of the region.
        rack_port: for machines.
        cache: the rack's cache directory.
    """

    def __init__(
        self, directory: Path, size: int = real_region.SIZE, cache_size: int = units.GIB
    ) -> None:
        self._place = directory / "site"
        self._size = size
        self._published = 0
        self.source = signed_source.small_cloud(directory / "source", size)
        self.origin = origin.Origin(self.source.directory)
        self._place.mkdir()
        self.cache = self._place / "cache"
        self._cache_size = cache_size

    def __enter__(self) -> Self:
        self.origin.__enter__()
        everything = [("*", "*", "*")]
        wishes = site.Wishes(self.origin.url, self.source.keyring, everything, self._cache_size)
        self.site = site.Site(self._place, wishes)
        settings = tomllib.loads(self.site.settings("region").read_text())
        self.plane_port: int = settings["plane"]["port"]
        self.rack_port = int(self.site.rack_url.rpartition(":")[2])
        return self

    def __exit__(self, *_: object) -> None:
        self.site.__exit__()
        self.origin.on_request = None
        self.origin.__exit__()
        self.source.close()

    def publish(self, version: str) -> None:
        """Let the source offer a newer version of everything."""
        self._published += 1
        signed_source.add_version(self.source, version, self._size, seed=self._published)
        # Dates have seconds: in the same second the new documents would be refused.
        later = datetime.timedelta(minutes=self._published)
        self.source.publish(units.utc_now() + later)

    def log(self, controller: str) -> str:
        """Return what a controller wrote to its log."""
        return (self._place / f"{controller}.log").read_text()

    def redirect_log(self, controller: str, target: Path) -> None:
        """Have a controller that does not run yet write its log elsewhere."""
        (self._place / f"{controller}.log").symlink_to(target)

    def member(self) -> real_region.Member:
        """Connect to the region as the rack."""
        names = ("rack-0.crt", "rack-0.key", "authority.crt")
        identity = tls.Identity(*(self._place / name for name in names))
        return real_region.Member(self.plane_port, identity)

    def scrub_all_the_time(self) -> None:
        """Have region and rack read what they hold round and round, from their next start on."""
        for controller, table in (("region", "[storage]"), ("rack", "[cache]")):
            file = self.site.settings(controller)
            with_scrub = f'{table}\nscrub-period = "2s"'
            file.write_text(file.read_text().replace(table, with_scrub))

    @property
    def store(self) -> Path:
        """The region's image-storage."""
        return self._place / "image-storage"

    def wait_until_the_source_rests(self) -> None:
        """Wait, after the region was killed, until all that the source sent it is counted."""
        # Connections are taken in turn, so whatever the region had opened comes before this one.
        cloud.get(int(self.origin.url.rstrip("/").rpartition(":")[2]), "/nothing")
        cloud.wait_until(lambda: self.origin.connections == 0)

    def answers(self, controller: str) -> bool:
        """Return whether a controller answers its control socket."""
        asked = self.site.rack if controller == "rack" else self.site.region
        try:
            asked.get("/status")
        except local.Unreachable:
            return False
        return True

    def wait_for_images(self) -> None:
        """Wait until the region offers every version of everything."""
        images = {(t.os, t.arch, t.subarch, t.release, t.version) for t in self.source.truth}
        cloud.wait_until(lambda: self.site.region.get("/status")["images"] >= len(images))
