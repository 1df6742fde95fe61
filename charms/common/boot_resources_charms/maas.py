"""Whether MAAS itself is on this machine: it and we would contend for ports and images."""

import pathlib

from . import debian

_SNAP = ("snap/maas", "var/snap/maas")
_PACKAGES = ("maas", "maas-region*", "maas-rack*")


def installed(root: pathlib.Path) -> str | None:
    """Return what of MAAS is installed, for example ``the snap maas``; None for nothing."""
    if any((root / place).exists() for place in _SNAP):
        return "the snap maas"
    found = debian.installed(_PACKAGES)
    if not found:
        return None
    return f"the package {found[0]}" if len(found) == 1 else f"the packages {', '.join(found)}"
