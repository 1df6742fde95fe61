"""A process that is killed in the middle of its writes, again and again, on one real disk."""

import os
import pathlib
import random
import signal
import subprocess
import sys

from support import endurance, stores

WRITER = """
import pathlib, sys
from support import stores
store = stores.storage_at(pathlib.Path(sys.argv[1]))
number = int(sys.argv[2])
print("started", flush=True)
while True:
    content = stores.noise(1_500_000 + number % 7 * 300_000, seed=number)
    stores.put(store, content)
    print(stores.name_of(content), flush=True)
    if number % 3 == 0:
        store.tidy(set(store.held()) - {stores.name_of(content)})
    number += 1
"""


def test_however_often_it_is_killed_what_was_said_to_be_held_is_held(
    tmp_path: pathlib.Path,
) -> None:
    kills, seed = endurance.kills(8), endurance.seed("store killed")
    dice = random.Random(seed)
    root = tmp_path / "store"
    tests = pathlib.Path(stores.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(tests)}
    for kill in range(kills):
        words = [sys.executable, "-c", WRITER, str(root), str(1000 * kill)]
        said = []
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"started\n"
            said += [writer.stdout.readline().decode().strip() for _ in range(dice.randrange(4))]
            # Somewhere in the next object: one takes a few hundredths of a second.
            signal.sigtimedwait([], dice.random() * 0.05)
            writer.send_signal(signal.SIGKILL)
            said += writer.stdout.read().decode().split()
        after = stores.storage_at(root)
        held = after.held()
        for sha256 in held:
            assert stores.name_of(stores.read(after, sha256)) == sha256
        gone = {path.name for path in (root / "removed").iterdir()}
        assert set(said) <= held.keys() | gone
        assert list((root / "damaged").iterdir()) == []
        beside = {path.name for path in (root / "facts").iterdir()}
        assert beside == held.keys()
        after.tidy(set(list(held)[:2]))
        for path in (root / "removed").iterdir():
            path.unlink()
        after.stop()
    endurance.tally("store killed", kills=kills, seed=seed)
