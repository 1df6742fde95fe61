"""The pages of a large object, as they lie in ``pg_largeobject``, become blocks of the store.

A large object is rows: page numbers, and at most 2,048 bytes each (a quarter of the server's block
size). A page that is missing, or the missing end of one that is short, reads as zeros. The server
hands over the pages of one block at a time, joined, and beside them the number and the length of
each. Always true: a page goes where its number says, whatever the order it came in. Source:
https://www.postgresql.org/docs/current/catalog-pg-largeobject.html.
"""

import dataclasses
import struct

from boot_resources.migration import copystream
from boot_resources.store import blocks

_WORD = struct.Struct(">I")


@dataclasses.dataclass(frozen=True)
class Pages:
    """Pages of one block.

    Attributes:
        numbers: the number of each within its large object, four bytes each.
        lengths: the bytes of each, four bytes each.
        data: the bytes of all, joined.
    """

    numbers: copystream.Buffer = b""
    lengths: copystream.Buffer = b""
    data: copystream.Buffer = b""


def block(pages: Pages, page_size: int, index: int, size: int) -> copystream.Buffer:
    """Return a block, with zeros where no page is.

    Args:
        pages: those of this block; bytes beyond the object's size are passed over.
        page_size: bytes of a whole page; a block is a multiple of it.
        index: which block.
        size: bytes of the object.
    """
    first = blocks.block_start(index) // page_size
    length = blocks.block_length(index, size)
    if _is_block(pages, page_size, first, length):
        return pages.data
    found = bytearray(length)
    position = 0
    for (number,), (stored,) in zip(
        _WORD.iter_unpack(pages.numbers), _WORD.iter_unpack(pages.lengths), strict=True
    ):
        start = (number - first) * page_size
        wanted = max(0, min(stored, length - start))
        found[start : start + wanted] = pages.data[position : position + wanted]
        position += stored
    return found


def _is_block(pages: Pages, page_size: int, first: int, length: int) -> bool:
    """Return whether the pages as they are joined are the block: no hole, none short or beyond."""
    count = -(-length // page_size)
    numbers = struct.pack(f">{count}I", *range(first, first + count))
    lengths = _WORD.pack(page_size) * (count - 1) + _WORD.pack(length - (count - 1) * page_size)
    return bytes(pages.numbers) == numbers and bytes(pages.lengths) == lengths
