"""What a document may cost: a GiB that somebody sends must not become a GiB of memory."""

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.demo import origin, signed_source
from boot_resources.source import fetch

LIMIT = fetch.Limits().document
MOST = 192 * units.MIB
"""Bytes of memory that a whole reading may take, the interpreter and its modules included."""
_HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n"
_TAIL = b"-----BEGIN PGP SIGNATURE-----\n\nAAAA\n-----END PGP SIGNATURE-----\n"

READ = """
import datetime, pathlib, re, sys
from boot_resources.source import fetch, keyring, reading, retrying

url, keys = sys.argv[1:]
source = reading.BootSource(url, keyring.Keyring.from_file(pathlib.Path(keys)))
with fetch.Fetcher(policy=retrying.Policy(attempts=1)) as fetcher:
    found = reading.read(source, fetcher, {}, datetime.datetime.now(datetime.UTC))
print(type(found.errors[0]).__name__, found.errors[0])
# Of this program alone: what getrusage tells includes the tests' own process, which it came from.
status = pathlib.Path("/proc/self/status").read_text()
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024)
"""


def a_gibibyte() -> Iterator[bytes]:
    yield _HEAD
    yield from itertools.repeat(b"[]\n" * 87_382, units.GIB // (3 * 87_382))
    yield _TAIL


def full_of(line: bytes) -> bytes:
    """Return a document of many short lines, as large as one may be, in a frame that is right."""
    room = LIMIT - len(_HEAD) - len(_TAIL)
    return _HEAD + line * (room // len(line)) + _TAIL


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (a_gibibyte, f"it has more than {LIMIT} bytes"),
        (lambda: [full_of(b"\n")], "no signature"),
        (lambda: [full_of(b"[]\n")], "no signature"),
        (lambda: [full_of(b"-----\n")], "is not one signed text"),
        (lambda: [_HEAD[:-1] + full_of(b"Hash: x\n")[len(_HEAD) :]], "something stands before"),
    ],
    ids=["a GiB", "empty lines", "short lines", "marks", "headers"],
)
def test_a_document_takes_little_memory_whatever_it_holds(
    tmp_path: Path, body: object, why: str
) -> None:
    assert callable(body)
    with (
        signed_source.SignedSource(tmp_path / "source") as source,
        origin.Origin(source.directory, lambda _: origin.Reply(body=body())) as server,
    ):
        done = subprocess.run(
            [sys.executable, "-c", READ, server.url, str(source.keyring)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    said, peak = done.stdout.splitlines()
    assert "streams/v1/index.sjson" in said
    assert why in said
    assert int(peak) < MOST
