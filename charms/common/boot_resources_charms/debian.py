"""Which Debian packages are on this machine."""

import subprocess
from collections.abc import Iterable


def installed(patterns: Iterable[str]) -> list[str]:
    """Return the packages that are installed, of those with such names; ``*`` stands for anything.

    A package of which only the configuration is left is not installed.
    """
    line = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${Package}\\n", *patterns]
    try:
        # It ends with 1 where a pattern has no package; what it found it says all the same.
        said = subprocess.run(line, capture_output=True, text=True, check=False).stdout
    except OSError:
        return []
    states = (line.split(" ", 1) for line in said.splitlines() if " " in line)
    return sorted(name for state, name in states if state == "installed")
