"""The two ports that strangers reach, each of a real controller, as ``wire.Door``."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

from boot_resources.plane import tls
from support import cloud, real_region, wire

SIZE = 20_000
"""Bytes of the object behind each door: more than one request, less than one block."""


@contextlib.contextmanager
def machine_port(directory: Path) -> Iterator[tuple[wire.Door, cloud.Rack]]:
    """Give the port for machines of a rack that has an object in its cache."""
    content = cloud.noise(SIZE)
    image = cloud.Image({"boot-kernel": content})
    with cloud.Cloud(directory) as here:
        rack = here.rack(here.region(image))
        door = wire.Door(
            lambda: cloud.raw_connection(rack),
            image.path("boot-kernel"),
            content,
            f'"{cloud.name_of(content)}"',
        )
        assert [answer.body for answer in door.fetch()] == [content]
        yield door, rack


@contextlib.contextmanager
def plane_port(directory: Path) -> Iterator[tuple[wire.Door, real_region.World]]:
    """Give the plane port of a region that holds a source's objects; a rack connects."""
    with real_region.begin(directory) as world:
        context = tls.client_context(world.cluster.rack())
        name, content = min(world.objects.items(), key=lambda each: len(each[1]))

        def connect() -> socket.socket:
            plain = cloud.raw_connection(world.region.port)
            # Else the request waits until the end of the handshake is acknowledged.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return context.wrap_socket(plain, server_hostname="127.0.0.1")

        yield wire.Door(connect, f"/v1/objects/{name}", content, f'"{name}"'), world
