"""A small vocabulary for tests that put objects on a disk."""

import hashlib
import pathlib
import random
from collections.abc import Callable

from boot_resources import units
from boot_resources.store import audit, blocks, objects, partial, storage

CLUSTER = "7c9d5a4e-0000-4000-8000-000000000001"
Change = Callable[[pathlib.Path], None]
"""Something that happens to the file of an object."""
TreeChange = Callable[[objects.ObjectTree], None]
"""Something that happens to a tree."""
Check = Callable[[objects.ObjectTree], audit.Report]
"""A check of a whole tree."""
SIZE = 2 * units.MIB + 100_001
"""Two blocks and a part of one."""


def noise(size: int = SIZE, seed: int = 0) -> bytes:
    """Return ``size`` bytes that follow from ``seed``."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def name_of(content: bytes) -> str:
    """Return the object's name."""
    return hashlib.sha256(content).hexdigest()


def block_of(content: bytes, index: int) -> bytes:
    """Return the bytes of one block."""
    return content[index * blocks.BLOCK_SIZE :][: blocks.BLOCK_SIZE]


def map_of(content: bytes) -> blocks.BlockMap:
    """Return the block map of an object."""
    count = blocks.block_count(len(content))
    pieces = (hashlib.sha256(block_of(content, index)).digest() for index in range(count))
    return blocks.BlockMap(len(content), b"".join(pieces))


def tree_at(root: pathlib.Path) -> objects.ObjectTree:
    """Return a tree that is ready for use."""
    root.mkdir(exist_ok=True)
    tree = objects.ObjectTree(root)
    tree.prepare()
    return tree


_running: dict[pathlib.Path, storage.Storage] = {}


def start(store: storage.Storage) -> audit.Report:
    """Start a storage, as after a restart: whoever had the directory before has left it."""
    leave(store.root)
    report = store.start(CLUSTER)
    _running[store.root] = store
    return report


def leave(root: pathlib.Path) -> None:
    """Stop the storage that was started here last."""
    before = _running.pop(root, None)
    if before is not None:
        before.stop()


def storage_at(root: pathlib.Path, grace: float = 3600.0) -> storage.Storage:
    """Return a storage that was started."""
    store = storage.Storage(root, 0, grace)
    start(store)
    return store


def fill(incoming: partial.Partial, content: bytes) -> None:
    """Write every block that is missing."""
    for run in list(incoming.missing()):
        for index in run:
            incoming.write(index, block_of(content, index))


def put(store: objects.ObjectTree | storage.Storage, content: bytes) -> str:
    """Bring an object in, as the sync does; return its name."""
    sha256 = name_of(content)
    incoming = store.begin(sha256, len(content))
    fill(incoming, content)
    store.publish(incoming)
    incoming.close()
    return sha256


def read(store: objects.ObjectTree | storage.Storage, sha256: str) -> bytes:
    """Return all bytes of a whole object, as they are served."""
    with store.open(sha256) as opened, open(opened.fd, "rb", closefd=False) as stream:
        return stream.read()


def damage(path: pathlib.Path, at: int = 0) -> None:
    """Flip one bit of a file; its size stays."""
    with path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))
