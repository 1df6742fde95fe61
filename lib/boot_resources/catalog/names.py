"""How an image is called: ``os/arch/subarch/release/label/version``.

The words are MAAS's and the stream's: ``ubuntu/amd64/ga-24.04/noble/stable/20250725``,
``grub-efi-signed/amd64/generic/uefi/stable/20250711.0``. Without its version it is the name of a
product; of a product there may be several versions.
"""

import dataclasses
from typing import Any

from boot_resources import errors

COLUMNS = ("os", "arch", "subarch", "release", "label", "version")
"""The parts of an image's name, in order; the catalog's columns are called so."""

UPLOADED = "uploaded"
"""The label, MAAS's own, of what an operator made: no boot source has a say in such an image."""


class BadImageName(errors.BootResourcesError):
    """What was given is not the name of an image."""

    exit_status = errors.EXIT_USAGE


@dataclasses.dataclass(frozen=True, order=True)
class ProductName:
    """What an image is, whatever its version."""

    os: str
    arch: str
    subarch: str
    release: str
    label: str

    def __str__(self) -> str:
        return "/".join(dataclasses.astuple(self))


@dataclasses.dataclass(frozen=True, order=True)
class ImageName:
    """One version of a product."""

    product: ProductName
    version: str

    def __str__(self) -> str:
        return f"{self.product}/{self.version}"

    @classmethod
    def parse(cls, text: str) -> "ImageName":
        """Return the name that ``text`` writes.

        Raises:
            BadImageName: where it has not six parts.
        """
        parts = text.strip("/").split("/")
        if len(parts) != len(COLUMNS) or not all(parts):
            raise BadImageName(
                f"{text!r} is not the name of an image",
                "write os/arch/subarch/release/label/version, as 'images list' shows it",
            )
        *product, version = parts
        return cls(ProductName(*product), version)

    @classmethod
    def of(cls, row: Any) -> "ImageName":
        """Return the name in a row of the catalog that has all of ``COLUMNS``."""
        *product, version = (getattr(row, column) for column in COLUMNS)
        return cls(ProductName(*product), version)

    def columns(self) -> dict[str, str]:
        """Return the parts by ``COLUMNS``."""
        parts = (*dataclasses.astuple(self.product), self.version)
        return dict(zip(COLUMNS, parts, strict=True))
