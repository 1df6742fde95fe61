"""The block journal: a torn or damaged record is passed over, the others count."""

import errno
import pathlib

import pytest

from boot_resources.store import disk, journal
from support import disks

HEADER = journal.Header("ab" * 32, 5_000_000)
CLAIMS = {0: b"a" * 32, 3: b"b" * 32, 1: b"c" * 32}


def reopen(path: pathlib.Path, header: journal.Header = HEADER) -> dict[int, bytes]:
    opened = journal.Journal(disk.Disk(), path, header)
    opened.close()
    return opened.claims


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    written = journal.Journal(disk.Disk(), tmp_path / "journal", HEADER)
    for index, digest in CLAIMS.items():
        written.append(index, digest)
    written.close()
    return tmp_path / "journal"


def test_what_was_recorded_is_claimed_again(path: pathlib.Path) -> None:
    assert reopen(path) == CLAIMS
    assert journal.read_header(path) == HEADER


def test_torn_at_any_byte_it_claims_what_is_whole_and_goes_on(path: pathlib.Path) -> None:
    whole = path.read_bytes()
    start = len(HEADER.to_bytes())
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        records = max(0, length - start) // 40
        assert reopen(path) == dict(list(CLAIMS.items())[:records])
        going_on = journal.Journal(disk.Disk(), path, HEADER)
        going_on.append(7, b"d" * 32)
        going_on.close()
        assert reopen(path)[7] == b"d" * 32


def test_a_damaged_record_is_passed_over_and_those_after_it_count(path: pathlib.Path) -> None:
    whole = path.read_bytes()
    start = len(HEADER.to_bytes())
    for at in range(start, start + 40):
        data = bytearray(whole)
        data[at] ^= 1
        path.write_bytes(bytes(data))
        claimed = reopen(path)
        assert claimed == {index: CLAIMS[index] for index in (3, 1)}


def test_the_later_record_of_a_block_counts(path: pathlib.Path) -> None:
    going_on = journal.Journal(disk.Disk(), path, HEADER)
    going_on.append(3, b"e" * 32)
    going_on.close()
    assert reopen(path)[3] == b"e" * 32


@pytest.mark.parametrize(
    "other", [journal.Header("cd" * 32, HEADER.size), journal.Header(HEADER.sha256, 1)]
)
def test_the_journal_of_another_object_claims_nothing(
    path: pathlib.Path, other: journal.Header
) -> None:
    assert reopen(path, other) == {}
    assert journal.read_header(path) == other


@pytest.mark.parametrize("content", [b"", b"{", b"5\n", b"{}\n", b"\xff\n", b'{"format": 2}\n'])
def test_what_is_no_journal_has_no_header(tmp_path: pathlib.Path, content: bytes) -> None:
    (tmp_path / "journal").write_bytes(content)
    assert journal.read_header(tmp_path / "journal") is None
    assert journal.read_header(tmp_path / "absent") is None
    assert reopen(tmp_path / "journal") == {}


def test_a_journal_that_cannot_be_begun_keeps_no_descriptor(tmp_path: pathlib.Path) -> None:
    descriptors = pathlib.Path("/proc/self/fd")
    for nth in (1, 2):
        before = len(list(descriptors.iterdir()))
        with pytest.raises(OSError, match="No space left"):
            journal.Journal(disks.Refusing(nth, errno.ENOSPC), tmp_path / str(nth), HEADER)
        assert len(list(descriptors.iterdir())) == before
