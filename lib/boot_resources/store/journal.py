"""The block journal of a partial object: which blocks were written, and with what hash.

A header line says which object this is; then one record of 40 bytes a block follows. The journal
is never made durable by itself: what it claims is rehashed at restart before it counts, so a
record that outlived its block does no harm, and a block that outlived its record is fetched again.
A record that is torn or damaged is passed over.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import struct
import zlib
from collections.abc import Iterator

from boot_resources.store import disk as disks

_RECORD = struct.Struct(">I32sI")
_FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Header:
    """What a partial object is part of.

    Attributes:
        sha256: the object.
        size: bytes of the whole object.
    """

    sha256: str
    size: int

    def to_bytes(self) -> bytes:
        """Return the header's line."""
        return json.dumps({"format": _FORMAT} | dataclasses.asdict(self)).encode() + b"\n"


class Journal:
    """Appends the records of one partial object. The caller serialises the calls."""

    def __init__(self, disk: disks.Disk, path: pathlib.Path, header: Header) -> None:
        """Open the journal of ``header``'s object; one of another object is started anew."""
        self._disk = disk
        self._fd = disk.create(path)
        first_line = header.to_bytes()
        try:
            data = self._read_or_begin(first_line)
        except OSError:
            self.close()
            raise
        records = (len(data) - len(first_line)) // _RECORD.size
        self._end = len(first_line) + records * _RECORD.size
        self.claims = dict(_parse(data[len(first_line) : self._end]))

    def _read_or_begin(self, first_line: bytes) -> bytes:
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        if data[: len(first_line)] == first_line:
            return data
        self._disk.truncate(self._fd)
        self._disk.write(self._fd, first_line, 0)
        return first_line

    def append(self, index: int, digest: bytes) -> None:
        """Record that block ``index`` was written and has this sha256 (32 bytes)."""
        body = _RECORD.pack(index, digest, zlib.crc32(digest, index))
        self._disk.write(self._fd, body, self._end)
        self._end += _RECORD.size

    def close(self) -> None:
        """Give the descriptor back."""
        self._disk.release(self._fd)


def read_header(path: pathlib.Path) -> Header | None:
    """Return the header of the journal at ``path``, or None where it has none that is whole."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        with path.open("rb") as stream:
            values = json.loads(stream.readline(4096))
        if values["format"] == _FORMAT:
            return Header(sha256=str(values["sha256"]), size=int(values["size"]))
    return None


def _parse(data: bytes) -> Iterator[tuple[int, bytes]]:
    for index, digest, checksum in _RECORD.iter_unpack(data):
        if checksum == zlib.crc32(digest, index):
            yield index, digest
