"""A region that is told of a MAAS database, with its settings as values and as a file."""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import requests

from boot_resources.demo import origin, signed_source
from boot_resources.settings import region as region_settings
from support import on_thread, plane_region, real_region


@dataclasses.dataclass
class House:
    """A directory with a region, beside the source that it reads."""

    directory: pathlib.Path
    source: signed_source.SignedSource
    served: origin.Origin
    cluster: plane_region.Cluster

    def __post_init__(self) -> None:
        self._settings = real_region.settings(
            self.directory, self.cluster, self.served.url, self.source.keyring
        )

    @property
    def file(self) -> pathlib.Path:
        """The settings file, for the command."""
        return self.directory / "region.toml"

    @property
    def images(self) -> int:
        """How many images the source has."""
        return len({(each.os, each.subarch, each.release) for each in self.source.truth})

    @contextlib.contextmanager
    def region(self, url: str | None) -> Iterator[real_region.RealRegion]:
        """Run the region for the length of the block, told of that database or of none."""
        told = region_settings.Migration.model_validate({"url": url}) if url else None
        settings = self._settings.model_copy(update={"migration": told})
        self._write(settings, url)
        region = real_region.RealRegion(settings)
        region.start()
        try:
            yield region
        finally:
            region.stop()

    def _write(self, settings: region_settings.RegionSettings, url: str | None) -> None:
        plane = settings.plane
        self.file.write_text(f"""
controller = "region"
name = "{settings.name}"
storage = {{path = "{settings.storage.path}", reserve = "1M"}}
catalog = {{url = "{settings.catalog.url}"}}
{f'migration = {{url = "{url}"}}' if url else ""}
control = {{socket = "{settings.control.socket}"}}
[plane]
certificate = "{plane.certificate}"
key = "{plane.key}"
authority = "{plane.authority}"
members = "{plane.members}"
""")


def says_that_it_serves(region: real_region.RealRegion, house: House) -> set[bool]:
    """Return what the region says of that: by command, to its members, and on its metrics port."""
    with real_region.Member(region.port, house.cluster.rack("rack-9")) as member:
        of_plane = json.loads(member.get("/v1/health").body)["serving"]
        of_list = json.loads(member.get("/v1/images").body)["withheld"]
    metrics = requests.get(f"http://127.0.0.1:{region.settings.metrics.port}/health", timeout=30)
    return {region.status()["serving"], of_plane, not of_list, metrics.json()["serving"]}


def about_migration(status: dict[str, Any]) -> list[dict[str, str]]:
    """Return the notices about the migration."""
    return [each for each in status["notices"] if each["scope"] == "migration"]


def wait_for_notice(region: real_region.RealRegion, key: str) -> None:
    """Wait until the region says that of its migration."""
    on_thread.wait_until(lambda: key in {each["key"] for each in about_migration(region.status())})
