"""The pages of a large object: from PostgreSQL's COPY stream to blocks of the store.

A large object is rows of ``pg_largeobject``: page numbers, and at most 2,048 bytes each (a quarter
of the server's block size). A page that is missing, or the missing end of one that is short, reads
as zeros. Always true: the stream is read by its own lengths, never by how it was cut into
messages. Source: https://www.postgresql.org/docs/current/sql-copy.html (binary format) and
https://www.postgresql.org/docs/current/catalog-pg-largeobject.html.
"""

import struct
from collections.abc import Iterable, Iterator

from boot_resources import errors
from boot_resources.store import blocks

Buffer = bytes | bytearray | memoryview

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = struct.Struct(">11sII")
# Two fields: an int4 of four bytes, and bytes.
_ROW = struct.Struct(">hiiI")
_FIELDS = struct.Struct(">h")
_END = -1


class BadStream(errors.BootResourcesError):
    """What the server sent is not what COPY sends."""


def parse(messages: Iterable[Buffer]) -> Iterator[tuple[int, Buffer]]:
    """Yield the number and the bytes of each page of a COPY of ``pageno, data``.

    Raises:
        BadStream: it is not such a stream, or not all of one.
    """
    rest = bytearray()
    begun = False
    for message in messages:
        data: Buffer = message
        if rest or not begun:
            rest += message
            data = rest
        position = 0
        if not begun:
            if len(data) < _HEADER.size:
                continue
            position = _skip_header(data)
            begun = True
        while len(data) - position >= _ROW.size:
            fields, width, page, length = _ROW.unpack_from(data, position)
            if fields == _END:
                return
            if (fields, width) != (2, 4):
                raise BadStream("the server sent rows that are no pages of a large object")
            start = position + _ROW.size
            if len(data) < start + length:
                break
            # A copy of its own: what it lies in may be the next message soon.
            yield page, bytes(data[start : start + length])
            position = start + length
        if len(data) - position == _FIELDS.size and _FIELDS.unpack_from(data, position)[0] == _END:
            return
        rest = bytearray(data[position:])
    raise BadStream("the server ended the pages of a large object too early")


def _skip_header(data: Buffer) -> int:
    signature, _, extension = _HEADER.unpack_from(data)
    if signature != _SIGNATURE or extension:
        raise BadStream("the server sent something else than pages of a large object")
    return _HEADER.size


def assemble(
    pages: Iterable[tuple[int, Buffer]], page_size: int, run: range, size: int
) -> Iterator[tuple[int, Buffer]]:
    """Yield each block of ``run`` of an object of ``size`` bytes, with zeros where no page is.

    Args:
        pages: ascending; those outside of the run and bytes beyond the size are passed over.
        page_size: bytes of a whole page; a block is a multiple of it.
        run: indexes of blocks.
        size: bytes of the object.
    """
    index = run.start
    block = _empty(index, run, size)
    per_block = blocks.BLOCK_SIZE // page_size
    for number, data in pages:
        while index in run and number // per_block > index:
            yield index, block
            index += 1
            block = _empty(index, run, size)
        if number // per_block == index and index in run:
            start = number % per_block * page_size
            length = min(len(data), len(block) - start)
            if length > 0:
                block[start : start + length] = data[:length]
    while index in run:
        yield index, block
        index += 1
        block = _empty(index, run, size)


def _empty(index: int, run: range, size: int) -> bytearray:
    return bytearray(blocks.block_length(index, size) if index in run else 0)
