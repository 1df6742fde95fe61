"""What a path, a name, a date, a hash and a size in a stream must be; pure.

Each function returns the value as we use it, or refuses the whole document: paths and names become
URLs and hashes become file names, so that one which is not what it claims says that the document
is broken, or not meant well.
"""

import datetime
import email.utils
import re

from boot_resources import digests
from boot_resources.source import document

MAX_PATH = 1024
"""Characters of a path."""
MAX_NAME = 128
"""Characters of a name that becomes a segment of a URL."""
MAX_SIZE = 2**44
"""Bytes of an item: 16 TiB, beyond any image."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def path_below(node: document.Node, path: object) -> str:
    """Return ``path`` if it stays below the source's URL; otherwise refuse the document."""
    if not isinstance(path, str):
        node.refuse("the path is not a text")
    if not path or len(path) > MAX_PATH:
        node.refuse(f"the path has {len(path)} characters, not 1 to {MAX_PATH}")
    if "\\" in path or not path.isprintable():
        node.refuse(f"the path {path!r} holds a character that no path may hold")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        node.refuse(f"the path {path!r} is not a plain path below the source")
    return path


def url_segment(node: document.Node, what: str, name: str) -> str:
    """Return ``name`` if it can be a segment of a URL; otherwise refuse the document."""
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        node.refuse(f"{what} is {name[:200]!r}, which cannot be a name")
    return name


def date(node: document.Node, text: str) -> datetime.datetime:
    """Return the RFC 2822 date in UTC."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
        # RFC 2822, 3.3: "-0000" is UTC of which the local time zone is not known.
        aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        return aware.astimezone(datetime.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        node.refuse(f"is {text[:80]!r}, which is not an RFC 2822 date", "updated")


def sha256(node: document.Node, value: object) -> str | None:
    """Return the hash in lower case, or None where there is none."""
    if value is None:
        return None
    if not isinstance(value, str) or _SHA256.fullmatch(value) is None:
        node.refuse(f"the sha256 is {str(value)[:80]!r}, not 64 hexadecimal digits")
    return digests.check_sha256(value.lower())


def size(node: document.Node, value: object) -> int | None:
    """Return the number of bytes, or None where there is none."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        node.refuse(f"the size is {str(value)[:80]!r}, not a whole number of bytes")
    if not 0 <= value <= MAX_SIZE:
        node.refuse(f"the size is {str(value)[:80]} bytes, which no image has")
    return value
