#!/usr/bin/env -S python3 -I
"""Put a packed charm into a unit's charm directory, over the one that is there.

As Juju's agent does it: files of the charm before that the new one lacks go, what the charm itself
has made there stays. Run on the unit's machine. Python 3.11, standard library only.

    unpack.py CHARM DIRECTORY
"""

import json
import pathlib
import sys
import zipfile


def main(charm: str, directory: str) -> None:
    """Unpack; note beside the directory which files came from the charm."""
    target = pathlib.Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    manifest = target.parent / "manifest.json"
    before = set(json.loads(manifest.read_text())) if manifest.exists() else set()
    with zipfile.ZipFile(charm) as archive:
        files = [entry for entry in archive.infolist() if not entry.is_dir()]
        for name in before - {entry.filename for entry in files}:
            (target / name).unlink(missing_ok=True)
        archive.extractall(target)
        for entry in files:
            (target / entry.filename).chmod(entry.external_attr >> 16 & 0o777 or 0o644)
    manifest.write_text(json.dumps([entry.filename for entry in files]))


if __name__ == "__main__":
    main(*sys.argv[1:])
