"""Names of objects: a full sha256 in 64 lower-case hexadecimal digits, and nothing else.

An object's name may reach us from a stream, a peer or a machine, and becomes a file name. So it
is checked here, once, before it is used: what is not 64 hexadecimal digits is refused.
"""

import re
from typing import TypeGuard

_SHA256 = re.compile(r"[0-9a-f]{64}")

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The object with no bytes; legal like any other."""


def is_sha256(text: object) -> TypeGuard[str]:
    """Return whether ``text`` is the name of an object."""
    return isinstance(text, str) and _SHA256.fullmatch(text) is not None


def check_sha256(text: object) -> str:
    """Return ``text`` if it is the name of an object.

    Raises:
        ValueError: otherwise.
    """
    if not is_sha256(text):
        raise ValueError(f"{str(text)[:80]!r} is not a sha256 in 64 lower-case hexadecimal digits")
    return text
