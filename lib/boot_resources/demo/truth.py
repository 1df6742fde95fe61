"""What is true of a source, told by the source itself and not by the product's catalog.

The demonstration holds what machines got against this, so it must not come from the region or the
rack: for the generated source it is what the generator wrote, for a real one what its signed
documents say.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from boot_resources import errors, units
from boot_resources.demo import machines, signed_source
from boot_resources.source import fetch, keyring, reading, select

BOOT_FILES = ("boot-kernel", "boot-initrd", "squashfs")
"""What a machine fetches, in this order, to boot an ephemeral system."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file that machines can ask for: its versionless path, sha256 and bytes."""

    image: str
    version: str
    filename: str
    sha256: str
    size: int


@dataclasses.dataclass(frozen=True)
class Truth:
    """All files that the region should hold, and what machines may boot of them."""

    files: tuple[File, ...]

    @property
    def images(self) -> int:
        """Number of images."""
        return len({(file.image, file.version) for file in self.files})

    @property
    def objects(self) -> dict[str, int]:
        """Bytes of each distinct object."""
        return {file.sha256: file.size for file in self.files}

    def menus(self, count: int) -> list[list[machines.Wanted]]:
        """Return what each of ``count`` machines fetches: the bootable images in turn.

        Where nothing boots (a source without kernels), machines fetch whole images.

        Raises:
            errors.BootResourcesError: there is nothing to fetch.
        """
        by_image: dict[str, dict[str, File]] = {}
        for file in self.files:
            by_image.setdefault(file.image, {})[file.filename] = file
        bootable = [
            [files[name] for name in BOOT_FILES]
            for files in by_image.values()
            if all(name in files for name in BOOT_FILES)
        ]
        dishes = bootable or [list(files.values()) for files in by_image.values()]
        if not dishes:
            raise errors.BootResourcesError(
                "the selections want nothing of this source",
                "choose with --select OS/RELEASE/ARCH",
            )
        menus = [[_wanted(file) for file in dish] for dish in dishes]
        return [menus[number % len(menus)] for number in range(count)]


def _wanted(file: File) -> machines.Wanted:
    return machines.Wanted(f"/images/{file.image}/{file.filename}", file.sha256, file.size)


def of_generated(source: signed_source.SignedSource) -> Truth:
    """Return what the generator wrote."""
    return Truth(
        tuple(
            File(
                "/".join((t.os, t.arch, t.subarch, t.release, t.label)),
                t.version,
                t.filename,
                t.sha256,
                t.size,
            )
            for t in source.truth
        )
    )


def of_real(url: str, keys: bytes | None, selections: Sequence[tuple[str, str, str]]) -> Truth:
    """Return what the documents of a source say, read as if for the first time.

    Raises:
        errors.BootResourcesError: a document is refused or cannot be had.
    """
    source = reading.BootSource(
        url, keyring.Keyring(keys) if keys is not None else None, allow_unsigned=keys is None
    )
    with fetch.Fetcher() as fetcher:
        found = reading.read(source, fetcher, {}, units.utc_now())
    for error in found.errors:
        raise error
    chosen = select.choose(
        found.products,
        [select.Selection(os, release, (arch,)) for os, release, arch in selections],
    )
    return Truth(tuple(_files(chosen.wanted)))


def _files(wanted: Iterable[select.Wanted]) -> Iterable[File]:
    for image in wanted:
        name = "/".join((image.os, image.arch, image.subarch, image.release, image.label))
        for item in image.items:
            yield File(name, image.version, item.filename, item.sha256, item.size)
