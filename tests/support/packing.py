"""The packed charms: exactly the files that ``make charms`` writes, and others made of them."""

import dataclasses
import fcntl
import os
import pathlib
import re
import subprocess
import zipfile
from collections.abc import Mapping

from support import tiers

ROOT = pathlib.Path(__file__).resolve().parents[2]
_OF_MAKE = {"PYTHON", "VENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
"""What the make that runs these tests would tell the one that packs, and must not."""
_VERSION = re.compile(r"^Version: .*$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Packed:
    """Both ``.charm`` files."""

    region: pathlib.Path
    rack: pathlib.Path


def packed() -> Packed:
    """Return the charms as the tree has them now, packed where they are not.

    The test ends here, by ``tiers.missing``, where this machine cannot pack.
    """
    env = {name: value for name, value in os.environ.items() if name not in _OF_MAKE}
    (ROOT / ".cache").mkdir(exist_ok=True)
    with (ROOT / ".cache" / "packing.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = _run("tools/preflight.sh", "charms", env=env)
        if ready.returncode:
            tiers.missing(ready.stderr.strip())
        made = _run("make", "charms", env=env)
    if made.returncode:
        raise RuntimeError(f"make charms: {made.stdout}{made.stderr}")
    region, rack = (_newest(role) for role in ("region", "rack"))
    return Packed(region, rack)


def remade(
    charm: pathlib.Path, to: pathlib.Path, version: str, added: Mapping[str, str] | None = None
) -> pathlib.Path:
    """Write a charm that carries another version of the engine; return its path.

    Args:
        charm: what it is made of.
        to: the directory to write it to.
        version: of the engine that it carries.
        added: what is added to the ends of modules, by path: ``boot_resources/units.py``.
    """
    made = to / f"{charm.stem}-{version}.charm"
    left = dict(added or {})
    with zipfile.ZipFile(charm) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            module = entry.filename.partition("/site-packages/")[2]
            if re.fullmatch(r"boot_resources-[^/]*\.dist-info/METADATA", module):
                content = _VERSION.sub(f"Version: {version}", content.decode(), count=1).encode()
            if module in left:
                content += left.pop(module).encode()
            new.writestr(entry, content, zipfile.ZIP_STORED)
    assert not left, f"{charm} has no {list(left)}"
    return made


def _newest(role: str) -> pathlib.Path:
    found = (ROOT / "dist").glob(f"boot-resources-{role}_*.charm")
    return max(found, key=lambda path: path.stat().st_mtime)


def _run(*command: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
