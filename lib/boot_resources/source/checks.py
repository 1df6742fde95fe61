"""What a path, a name, a date, a hash and a size in a stream must be; pure.

Each function returns the value as we use it, or refuses the whole document: paths and names become
URLs and hashes become file names, so that one which is not what it claims says that the document
is broken, or not meant well.
"""

import datetime
import email.utils
import re
import unicodedata

from boot_resources import digests
from boot_resources.source import document, quoting

MAX_PATH = 1024
"""Bytes of a path in UTF-8; PostgreSQL can index no key of more than 2,704."""
MAX_NAME = 128
"""Characters of a name that becomes a segment of a URL."""
MAX_SIZE = 2**44
"""Bytes of an item: 16 TiB, beyond any image."""

OLDEST = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
"""No document is older; databases and time zones have trouble with the first centuries."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]*")
_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


def path_below(node: document.Node, path: object) -> str:
    """Return ``path`` if it stays below the source's URL; otherwise refuse the document."""
    if not isinstance(path, str):
        node.refuse("the path is not a text")
    length = len(path.encode())
    if not 1 <= length <= MAX_PATH:
        node.refuse(f"the path has {length} bytes, not 1 to {MAX_PATH}")
    if "\\" in path or not path.isprintable():
        node.refuse(f"the path {path!r} holds a character that no path may hold")
    # Otherwise two paths that look the same, and that nobody can tell apart, would be two.
    if not unicodedata.is_normalized("NFC", path):
        node.refuse(f"the path {path!r} is not in Unicode's normal form C")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        node.refuse(f"the path {path!r} is not a plain path below the source")
    return path


def url_segment(node: document.Node, what: str, name: str) -> str:
    """Return ``name`` if it can be a segment of a URL; otherwise refuse the document."""
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        node.refuse(f"{what} is {quoting.shown(name)!r}, which cannot be a name")
    return name


def date(node: document.Node, text: str) -> datetime.datetime:
    """Return the RFC 2822 date in UTC."""
    try:
        moment = email.utils.parsedate_to_datetime(text)
        # RFC 2822, 3.3: "-0000" is UTC of which the local time zone is not known.
        aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
        found = aware.astimezone(datetime.UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        node.refuse(f"is {text[:80]!r}, which is not an RFC 2822 date", "updated")
    if found < OLDEST:
        node.refuse(f"is {text[:80]!r}, before there were any streams", "updated")
    return found


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
