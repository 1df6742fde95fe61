"""A small vocabulary for tests that fill a catalog: regions join, a source offers, regions prove.

The bytes of a file are its text here: files with the same text are the same object.
"""

import hashlib
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from boot_resources.catalog import (
    availability,
    cluster,
    holdings,
    names,
    planning,
    sources,
    wanting,
)

SOURCE = sources.Source("https://images.example.com/stable/", b"keys")
NOBLE_1 = "ubuntu/amd64/ga-24.04/noble/stable/20250701"
NOBLE_2 = "ubuntu/amd64/ga-24.04/noble/stable/20250801"
NOBLE_HWE = "ubuntu/amd64/hwe-24.04/noble/stable/20250701"
JAMMY = "ubuntu/amd64/ga-22.04/jammy/stable/20250701"
SHIM = "grub-efi-signed/amd64/generic/uefi/stable/20250711.0"


def name(text: str) -> names.ImageName:
    return names.ImageName.parse(text)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def image(
    text: str, files: Mapping[str, str] | None = None, **said: object
) -> planning.WantedImage:
    """Return an image of this name; ``files`` are texts by file name, by default two."""
    files = files if files is not None else {"boot-kernel": f"k {text}", "squashfs": f"s {text}"}
    items = tuple(
        planning.WantedItem(
            filename=filename,
            ftype=filename,
            path=f"{text}/{filename}",
            sha256=sha256(content),
            size=len(content),
            extra={"kpackage": "linux-generic"},
        )
        for filename, content in files.items()
    )
    told = {"product": f"com.example:{text}", "title": "A title", "extra": {"krel": "noble"}}
    return planning.WantedImage(name(text), items, **(told | said))  # type: ignore[arg-type]


def everything(product: names.ProductName, bootloader_type: str | None) -> bool:
    """Select whatever there is."""
    return True


def join(conn: sa.Connection, *regions: str) -> None:
    for region in regions:
        cluster.join(conn, region, f"{region}.example.com:5290", same_host=True)


def offer(
    conn: sa.Connection,
    *images: planning.WantedImage,
    besides: Iterable[names.ProductName] = (),
    selected: planning.Selected = everything,
) -> planning.Plan:
    """Have the source offer these images, all wanted, and ``besides`` products that are not."""
    sources.set_source(conn, SOURCE)
    source = sources.get_source(conn)
    assert source is not None
    offered = {each.name.product for each in images} | set(besides)
    return wanting.want(conn, source.id, images, offered, selected)


def proofs(*images: planning.WantedImage) -> list[holdings.Proof]:
    return [proof(item.sha256, item.size) for image in images for item in image.items]


def proof(object_name: str, size: int) -> holdings.Proof:
    return holdings.Proof(object_name, size, sha256(f"map of {object_name}"))


def prove(conn: sa.Connection, region: str, *images: planning.WantedImage) -> availability.Changes:
    """Have the region prove all objects of these images."""
    holdings.record(conn, region, proofs(*images))
    return availability.refresh(conn)


def available_names(conn: sa.Connection) -> list[str]:
    return [str(each.name) for each in availability.available(conn).images]
