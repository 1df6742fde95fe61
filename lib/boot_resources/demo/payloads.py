"""Payloads that are made from a seed: the same bytes on every machine, at every run.

Nothing is kept in memory: a payload is written 1 MiB at a time, and any block of it can be made
again without the others.
"""

import dataclasses
import hashlib
import io
import lzma
import pathlib
import tarfile
from collections.abc import Iterator, Mapping

from boot_resources import units

BLOCK = units.MIB


@dataclasses.dataclass(frozen=True)
class Payload:
    """``size`` bytes that look like noise and follow from ``seed``."""

    seed: str
    size: int

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes, a block at a time; the last may be shorter."""
        for start in range(0, self.size, BLOCK):
            yield self.block(start // BLOCK)

    def block(self, index: int) -> bytes:
        """Return one block."""
        length = min(BLOCK, self.size - index * BLOCK)
        return hashlib.shake_128(f"{self.seed}/{index}".encode()).digest(length)

    def read(self) -> bytes:
        """Return all bytes; for small payloads."""
        return b"".join(self.blocks())


def write(path: pathlib.Path, content: bytes | Payload) -> tuple[str, int]:
    """Write ``content`` to ``path`` and return its sha256 and its size in bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = content.blocks() if isinstance(content, Payload) else [content]
    digest = hashlib.sha256()
    size = 0
    with path.open("wb") as file:
        for block in blocks:
            digest.update(block)
            size += len(block)
            file.write(block)
    return digest.hexdigest(), size


def archive(members: Mapping[str, bytes]) -> bytes:
    """Return a ``.tar.xz`` of ``members``, the same bytes for the same members."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o644
            tar.addfile(info, io.BytesIO(content))
    # Noise does not compress: the lowest effort gives the same size in a tenth of the time.
    return lzma.compress(packed.getvalue(), preset=0)
