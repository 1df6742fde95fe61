"""Which bytes of an object does a request ask for: pure decisions after RFC 9110.

The entity tag of an object is its sha256, so it is strong, and the same on every controller. One
range is understood; several in one request are answered with the whole object, as the RFC allows.
"""

import dataclasses
import re
from collections.abc import Mapping

_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)


@dataclasses.dataclass(frozen=True)
class Answer:
    """What to answer: a status, the bytes [start, stop) of the object, and the headers."""

    status: int
    start: int
    stop: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int:
        """Bytes of the body of a GET."""
        return self.stop - self.start


def answer(headers: Mapping[str, str], sha256: str, size: int, method: str = "GET") -> Answer:
    """Decide the answer to a GET or HEAD of an object.

    Args:
        headers: the request's, by case-insensitive name.
        sha256: the object.
        size: bytes of the object.
        method: ``GET`` or ``HEAD``; a range is understood in a GET only (RFC 9110, 14.2).
    """
    tag = f'"{sha256}"'
    common = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream",
        # An object never changes under its name; a machine may still ask again after an error.
        "Cache-Control": "public, max-age=31536000, immutable",
    }
    if _matches(headers.get("If-None-Match"), tag):
        return Answer(304, 0, 0, common)
    asked = headers.get("Range") if method == "GET" else None
    if asked is None or headers.get("If-Range", tag) != tag:
        return _whole(size, common)
    match = _RANGE.fullmatch(asked)
    if match is None or not _is_valid(match[1], match[2]):
        # An invalid range is as if it were not there (RFC 9110, 14.2).
        return _whole(size, common)
    part = _part(match[1], match[2], size)
    if part is None:
        return Answer(416, 0, 0, common | {"Content-Range": f"bytes */{size}"})
    start, stop = part
    placed = {
        "Content-Range": f"bytes {start}-{stop - 1}/{size}",
        "Content-Length": str(stop - start),
    }
    return Answer(206, start, stop, common | placed)


def _whole(size: int, common: Mapping[str, str]) -> Answer:
    return Answer(200, 0, size, {**common, "Content-Length": str(size)})


def _matches(condition: str | None, tag: str) -> bool:
    if condition is None:
        return False
    tags = [part.strip().removeprefix("W/") for part in condition.split(",")]
    return tag in tags or condition.strip() == "*"


def _is_valid(first: str, last: str) -> bool:
    if first and last:
        return int(first) <= int(last)
    return bool(first or last)


def _part(first: str, last: str, size: int) -> tuple[int, int] | None:
    if not first:
        length = min(int(last), size)
        return (size - length, size) if length else None
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    return (start, stop) if start < size else None
