"""A mirror with the structure of MAAS's own stream goes all the way through.

The documents are the real ones; only sizes are scaled down and hashes replaced, because nobody can
ship the gigabytes that they describe.
"""

import json
import pathlib
from typing import Any

import pytest

from boot_resources.demo import payloads, signed_source
from boot_resources.source import select
from support import streams, through

SCALE = 20_000
Expected = dict[str, tuple[str, int]]


@pytest.fixture
def mirror(tmp_path: pathlib.Path) -> signed_source.SignedSource:
    source = signed_source.SignedSource(tmp_path / "source")
    for path, document in streams.real_documents().items():
        for version in _versions(document):
            for item in version["items"].values():
                payload = payloads.Payload(item["sha256"], max(1, item["size"] // SCALE))
                made = source.add_payload(item["path"], payload)
                item["sha256"], item["size"] = made.sha256, made.size
        source.add_document(path, json.dumps(document, indent=1).encode())
    source.publish()
    return source


def test_a_mirror_of_the_real_stream_goes_all_the_way_through(
    tmp_path: pathlib.Path, mirror: signed_source.SignedSource
) -> None:
    expected = _newest_files(mirror.directory)
    # 11 products: 5 bootloaders, 2 CentOS, 4 Ubuntu; of the newest versions 7, 4 and 16 files.
    assert len(expected) == 27
    everything = [("*", "*", "*")]
    through.fetch_everything(tmp_path / "site", mirror, everything, expected, images=11)


def test_a_selection_of_the_real_stream_brings_what_it_names_and_the_bootloaders(
    tmp_path: pathlib.Path, mirror: signed_source.SignedSource
) -> None:
    expected = {
        name: file
        for name, file in _newest_files(mirror.directory).items()
        if name.startswith("ubuntu/amd64/ga-24.04/noble/") or not name.startswith(("ubuntu", "ce"))
    }
    assert len(expected) == 4 + 7
    noble = [("ubuntu", "noble", "amd64")]
    through.fetch_everything(tmp_path / "site", mirror, noble, expected, images=6)


def _versions(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        version
        for product in document.get("products", {}).values()
        if isinstance(product, dict)
        for version in product["versions"].values()
    ]


def _newest_files(directory: pathlib.Path) -> Expected:
    """Read the published documents as a person would, without the product's parser."""
    expected: Expected = {}
    for path in sorted((directory / "streams/v1").glob("*.json")):
        for product in json.loads(path.read_text()).get("products", {}).values():
            loader = product.get("bootloader-type")
            subarch, release = (
                ("generic", loader) if loader else (product["subarch"], product["release"])
            )
            name = "/".join((product["os"], product["arch"], subarch, release, product["label"]))
            newest = product["versions"][max(product["versions"], key=select.natural_order)]
            for item in newest["items"].values():
                filename = pathlib.PurePosixPath(item["path"]).name
                expected[f"{name}/{filename}"] = (item["sha256"], item["size"])
    return expected
