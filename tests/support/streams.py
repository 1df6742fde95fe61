"""Small stream documents for tests, and where the real ones are."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

DATE = "Fri, 18 Jul 2025 12:00:00 +0000"
KEY = "com.example:v3:boot:24.04:amd64:ga-24.04"
PATH = "noble/amd64/20250718"
REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "streams"

_PRODUCTS: dict[str, Any] = {
    "content_id": "com.example:v3:download",
    "datatype": "image-ids",
    "format": "products:1.0",
    "updated": DATE,
    "products": {
        KEY: {
            "os": "ubuntu",
            "arch": "amd64",
            "subarch": "ga-24.04",
            "subarches": "generic, ga-24.04",
            "kflavor": "generic",
            "release": "noble",
            "release_title": "24.04 LTS",
            "label": "stable",
            "versions": {
                "20250718": {
                    "items": {
                        "squashfs": {
                            "ftype": "squashfs",
                            "path": f"{PATH}/squashfs",
                            "sha256": "5" * 64,
                            "size": 5000,
                        },
                        "boot-kernel": {
                            "ftype": "boot-kernel",
                            "kpackage": "linux-generic",
                            "path": f"{PATH}/boot-kernel",
                            "sha256": "b" * 64,
                            "size": 70,
                        },
                    }
                }
            },
        }
    },
}


def products() -> dict[str, Any]:
    """Return a good product document, to be spoilt at will."""
    return copy.deepcopy(_PRODUCTS)


def product(document: dict[str, Any]) -> dict[str, Any]:
    """Return its one product."""
    found: dict[str, Any] = document["products"][KEY]
    return found


def items(document: dict[str, Any]) -> dict[str, Any]:
    """Return the items of its one version."""
    found: dict[str, Any] = product(document)["versions"]["20250718"]["items"]
    return found


def encode(document: Any) -> bytes:
    """Return the document's JSON."""
    return json.dumps(document).encode()


def real(name: str) -> bytes:
    """Return one of the four real documents, or end the test where they are not at hand."""
    path = REAL / f"{name}.json"
    if not path.is_file():
        # Not a tier that a machine lacks: these documents are not ours to ship.
        pytest.skip("the real stream documents are not beside this repository")
    return path.read_bytes()


def real_documents() -> dict[str, dict[str, Any]]:
    """Return all of them, by the paths that the index gives them."""
    index = json.loads(real("index"))
    documents = {"streams/v1/index.json": index}
    for name in ("bootloaders", "centos", "ubuntu"):
        document = json.loads(real(name))
        documents[index["index"][document["content_id"]]["path"]] = document
    return documents
