"""The stream of PostgreSQL's COPY in its binary format: rows of fields, out of messages.

Always true: the stream is read by its own lengths, never by how it was cut into messages. A row
that came in one message, which is how the server sends them, is not copied. Source:
https://www.postgresql.org/docs/current/sql-copy.html (binary format).
"""

import struct
from collections.abc import Iterable, Iterator

from boot_resources import errors

Buffer = bytes | bytearray | memoryview
Field = memoryview | None
"""The bytes of a field; None for NULL."""

_SIGNATURE = b"PGCOPY\n\xff\r\n\0"
_HEADER = struct.Struct(">11sII")
_COUNT = struct.Struct(">h")
_LENGTH = struct.Struct(">i")
_END, _NULL = -1, -1


class BadStream(errors.BootResourcesError):
    """What the server sent is not what COPY sends."""


def rows(messages: Iterable[Buffer], width: int) -> Iterator[tuple[Field, ...]]:
    """Yield the fields of each row; they are valid until the next row is asked for.

    Args:
        messages: the stream, however it was cut.
        width: how many fields a row is to have.

    Raises:
        BadStream: it is no such stream, or not all of one.
    """
    rest = b""
    begun = False
    for message in messages:
        data = memoryview(rest + bytes(message) if rest else message)
        position = 0
        if not begun and len(data) >= _HEADER.size:
            position = _skip_header(data)
            begun = True
        while begun and len(data) - position >= _COUNT.size:
            (count,) = _COUNT.unpack_from(data, position)
            if count == _END:
                return
            if count != width:
                raise BadStream(f"the server sent a row of {count} fields instead of {width}")
            found = _fields(data, position + _COUNT.size, width)
            if found is None:
                break
            fields, position = found
            yield fields
        rest = bytes(data[position:])
    raise BadStream("the server ended its rows too early")


def _skip_header(data: memoryview) -> int:
    signature, _, extension = _HEADER.unpack_from(data)
    if signature != _SIGNATURE or extension:
        raise BadStream("the server sent something else than rows in COPY's binary format")
    return _HEADER.size


def _fields(data: memoryview, position: int, width: int) -> tuple[tuple[Field, ...], int] | None:
    """Return the fields at ``position`` and where they end; None where not all of them came."""
    fields: list[Field] = []
    for _ in range(width):
        if len(data) - position < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if length == _NULL:
            fields.append(None)
            continue
        if length < 0:
            raise BadStream("the server sent a field of no possible length")
        if len(data) - position < length:
            return None
        fields.append(data[position : position + length])
        position += length
    return tuple(fields), position
