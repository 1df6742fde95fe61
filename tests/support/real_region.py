"""The real region controller in the tests' own process, and members that ask its plane port."""

import asyncio
import contextlib
import dataclasses
import datetime
import http.client
import pathlib
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Self

import uvloop

from boot_resources import units
from boot_resources.demo import origin, signed_source
from boot_resources.plane import tls
from boot_resources.region import controller
from boot_resources.settings import region as region_settings
from support import cloud, on_thread, plane_region

SIZE = 2 * 1024 * 1024
"""Bytes of the source that these regions read."""


class RealRegion(on_thread.OnThread):
    """A region; it can be stopped and started again."""

    loop_factory = staticmethod(uvloop.new_event_loop)

    def __init__(self, settings: region_settings.RegionSettings) -> None:
        super().__init__("region", settings.control.socket)
        self.settings = settings
        self.port = settings.plane.port

    async def serve(self, stop: asyncio.Event) -> None:
        await controller.RegionController(self.settings).run(stop)

    @property
    def store(self) -> pathlib.Path:
        """Its image-storage."""
        return self.settings.storage.path

    def store_names(self) -> set[str]:
        """Return the names of the whole objects on its disk."""
        return {path.name for path in (self.store / "objects").iterdir()}

    def sync(self) -> dict[str, Any]:
        """Do what ``boot-resources sync`` does, and return the end of it."""
        return list(self.local.follow("/sync"))[-1]

    def wait_for_images(self, count: int) -> None:
        """Wait until it offers as many images."""
        on_thread.wait_until(lambda: self.status()["images"] >= count)


def settings(
    directory: pathlib.Path,
    cluster: plane_region.Cluster,
    source_url: str,
    keyring: pathlib.Path,
    catalog_url: str | None = None,
    *,
    declared: bool = True,
    scrub_period: str = "7d",
) -> region_settings.RegionSettings:
    """Return the settings of a region below ``directory``.

    Where they are ``declared``, it reads the source and wants all of it.
    """
    identity = cluster.region()
    plane_port, metrics_port = on_thread.free_ports(2)
    catalog = directory / "catalog.db"
    values = {
        "controller": "region",
        "name": "region-0",
        "storage": {
            "path": directory / "storage",
            "reserve": "1M",
            "scrub-period": scrub_period,
        },
        "catalog": {"url": catalog_url or f"sqlite:///{catalog}"},
        "source": {"url": source_url, "keyring": keyring},
        "selections": [{"os": "*", "release": "*"}],
        "plane": {
            "certificate": identity.certificate,
            "key": identity.key,
            "authority": identity.authority,
            "members": cluster.list_path,
            "listen": "127.0.0.1",
            "port": plane_port,
            "address": f"127.0.0.1:{plane_port}",
        },
        "metrics": {"port": metrics_port},
        "control": {"socket": directory / "region.sock"},
    }
    if not declared:
        del values["source"], values["selections"]
    return region_settings.RegionSettings.model_validate(values)


def objects_of(source: signed_source.SignedSource) -> dict[str, bytes]:
    """Return the bytes of each object of a source, read from the source's own files."""
    wanted = {truth.sha256 for truth in source.truth}
    files = (path for path in source.directory.rglob("*") if path.is_file())
    content = {cloud.name_of(path.read_bytes()): path.read_bytes() for path in files}
    return {sha256: data for sha256, data in content.items() if sha256 in wanted}


class Member:
    """One connection to a plane port, with the certificate of ``identity``; None shows none."""

    def __init__(
        self, port: int, identity: tls.Identity | None, trust: pathlib.Path | None = None
    ) -> None:
        if identity is not None:
            context = tls.client_context(identity)
        else:
            context = ssl.create_default_context(cafile=trust)
        self._connection = http.client.HTTPSConnection(
            "127.0.0.1", port, context=context, timeout=on_thread.PATIENCE
        )

    def get(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> cloud.Got:
        """Ask once; the connection is kept open."""
        self._connection.request(method, path, headers=dict(headers or {}))
        response = self._connection.getresponse()
        return cloud.Got(response.status, dict(response.getheaders()), response.read())

    def send(self, path: str) -> None:
        """Ask, and do not wait for the answer."""
        self._connection.request("GET", path)

    def wait_for_the_end(self) -> None:
        """Wait until the other side closes the connection."""
        assert self._connection.sock is not None
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            assert self._connection.sock.recv(1) == b""

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def use(self, context: ssl.SSLContext) -> None:
        """Connect with another context than the product's own."""
        host, port = self._connection.host, self._connection.port
        self._connection = http.client.HTTPSConnection(
            host, port, context=context, timeout=on_thread.PATIENCE
        )


@dataclasses.dataclass
class World:
    """A source, its server, an authority, and a region that holds all of the source."""

    source: signed_source.SignedSource
    origin: origin.Origin
    cluster: plane_region.Cluster
    region: RealRegion
    objects: dict[str, bytes]

    def publish(self, version: str = "20250801") -> None:
        """Let the source offer a newer version of everything."""
        signed_source.add_version(self.source, version, SIZE, seed=9)
        # Dates have seconds: in the same second the new documents would be refused.
        self.source.publish(units.utc_now() + datetime.timedelta(minutes=1))

    def member(self, name: str = "rack-0") -> Member:
        """Connect as a rack."""
        return Member(self.region.port, self.cluster.rack(name))


@contextlib.contextmanager
def begin(
    directory: pathlib.Path,
    url: str | None = None,
    *,
    declared: bool = True,
    scrub_period: str = "7d",
) -> Iterator[World]:
    """Yield a world in which the region has brought all that its settings declare."""
    with signed_source.small_cloud(directory / "source", SIZE) as source:
        with origin.Origin(source.directory) as served:
            cluster = plane_region.Cluster(directory / "cluster")
            chosen = settings(
                directory,
                cluster,
                served.url,
                source.keyring,
                url,
                declared=declared,
                scrub_period=scrub_period,
            )
            region = RealRegion(chosen)
            region.start()
            try:
                images = {(t.os, t.subarch, t.release) for t in source.truth}
                region.wait_for_images(len(images) if declared else 0)
                objects = objects_of(source)
                yield World(source, served, cluster, region, objects)
            finally:
                served.on_request = None
                region.stop()
