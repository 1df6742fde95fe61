"""docs/http-protocol.md against the ports that serve it."""

import hashlib
import pathlib
import re
from typing import Any

import prometheus_client
import pytest
from aiohttp import web

import boot_resources
from boot_resources.plane import messages
from boot_resources.rack import serving as machine_port
from boot_resources.region import serving as plane_port
from boot_resources.service import monitoring
from boot_resources.store import blocks
from support import documents

CHAPTERS = documents.sections(documents.read("docs/http-protocol.md"), 2)
# Only the routes are looked at; none of what stands behind them is needed for that.
NOTHING: Any = None


def _routes(application: web.Application) -> set[str]:
    return {
        f"{route.method} {route.resource.canonical}"
        for route in application.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }


APPLICATIONS = {
    "Machine port": machine_port.MachinePort(NOTHING, NOTHING).application(),
    "Plane port": plane_port.PlanePort(NOTHING, NOTHING, NOTHING, NOTHING).application(),
    "Metrics port": monitoring.application(prometheus_client.CollectorRegistry(), dict),
}


@pytest.mark.parametrize("port", APPLICATIONS)
def test_every_path_of_a_port_is_documented_and_no_other(port: str) -> None:
    documented = {documents.code(title) for title in documents.sections(CHAPTERS[port], 3)}
    assert documented == _routes(APPLICATIONS[port])


@pytest.mark.parametrize(
    "message", [messages.AvailableImages, messages.AvailableImage, messages.AvailableItem]
)
def test_every_field_of_the_list_of_images_is_explained(message: type[messages.Message]) -> None:
    listing = documents.sections(CHAPTERS["Plane port"], 3)["`GET /v1/images`"]
    explained = {
        word for row in documents.rows(listing) for word in re.findall(r"`(\w+)`", row[0])
    }
    assert set(message.model_fields) <= explained


def test_every_field_of_the_health_of_a_region_is_explained() -> None:
    health = documents.sections(CHAPTERS["Plane port"], 3)["`GET /v1/health`"]
    assert set(messages.Health.model_fields) <= set(re.findall(r"`(\w+)`", health))


def test_the_examples_of_messages_are_messages() -> None:
    listed, health = documents.blocks(CHAPTERS["Plane port"], "json")
    parsed = messages.AvailableImages.model_validate_json(listed)
    assert parsed.images[0].items[0].size > 0
    assert messages.Health.model_validate_json(health).serving


def test_the_example_of_a_block_map_is_the_map_of_that_object() -> None:
    shown = "".join(documents.blocks(CHAPTERS["Plane port"], "text"))
    content = b"hello\n"
    block_map = blocks.BlockMap(len(content), hashlib.sha256(content).digest())
    assert bytes.fromhex(shown) == block_map.to_bytes()
    assert f"`{block_map.digest}`" in CHAPTERS["Plane port"]


@pytest.mark.parametrize("controller", ["region", "rack"])
def test_every_metric_is_documented_and_no_other(controller: str) -> None:
    listing = documents.sections(CHAPTERS["Metrics port"], 3)["`GET /metrics`"]
    of_region, _, of_rack = listing.partition("A rack:")
    table = of_region if controller == "region" else of_rack
    documented = {
        documents.code(row[0]).removesuffix("_total"): row[1] for row in documents.rows(table)
    }
    room = pathlib.Path(boot_resources.__file__).parent / controller
    source = "".join(path.read_text() for path in room.glob("*.py"))
    known = set(re.findall(r'"(boot_resources_[a-z_]+)"', source))
    assert set(documented) == known


def test_the_longest_wait_of_a_long_poll_is_documented() -> None:
    assert f"{plane_port.LONGEST_WAIT:.0f} at most" in CHAPTERS["Plane port"]
