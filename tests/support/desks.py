"""Where an operator sits: a region and a rack that run, and their settings files."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from support import cloud, real_region


@dataclasses.dataclass
class Desk:
    """Where an operator sits: a world, a rack beside it, and what ``--settings`` names."""

    world: real_region.World
    rack: cloud.Rack
    region_file: Path
    rack_file: Path


def name_controller(directory: Path, controller: str, socket: Path) -> Path:
    """Write a settings file that names a controller and its socket, for the command."""
    file = directory / f"{controller}.toml"
    file.write_text(f'controller = "{controller}"\n[control]\nsocket = "{socket}"\n')
    return file


def sit_down(directory: Path, *, declared: bool) -> Iterator[Desk]:
    with real_region.begin(directory, declared=declared) as world:
        with cloud.Cloud(directory, world.cluster) as around:
            rack = around.rack_of([world.region.settings.plane.address or ""])
            rack.wait_for_epoch(world.region.status()["epoch"] or 0)
            region_socket = world.region.settings.control.socket
            yield Desk(
                world,
                rack,
                name_controller(directory, "region", region_socket),
                name_controller(directory, "rack", rack.settings.control.socket),
            )
