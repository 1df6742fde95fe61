"""What an image-storage of MAAS 3.5 or later looks like, so that ours keeps out of it.

All files lie in one directory, each under the first 7 digits of its sha256, or more where two
would have the same name; up to September 2024, under all 64. The bootloaders are unpacked below
``bootloaders``. When it starts, MAAS removes from that directory what it does not know, whole
directories included (all of this: MAAS's ``utils/bootresource.py`` and ``bootresources.py``).
"""

import pathlib
import re

_NAME = re.compile(r"[0-9a-f]{7,64}")


def is_name(name: str) -> bool:
    """Return whether MAAS may have given a file this name."""
    return _NAME.fullmatch(name) is not None


def is_storage(path: pathlib.Path) -> bool:
    """Return whether a directory looks like an image-storage of MAAS."""
    if not (path / "bootloaders").is_dir():
        return False
    return any(is_name(entry.name) for entry in path.iterdir())
