"""An object on its way in: what counts, what does not, and what a restart finds."""

import errno
import os
import pathlib
import random
import threading

import pytest

from boot_resources import digests, units
from boot_resources.store import blocks, disk, journal, partial
from support import stores

CONTENT = stores.noise()
NAME = stores.name_of(CONTENT)
MAP = stores.map_of(CONTENT)


@pytest.fixture
def paths(tmp_path: pathlib.Path) -> partial.Paths:
    return partial.Paths(tmp_path / "data", tmp_path / "journal")


def begin(
    paths: partial.Paths,
    content: bytes = CONTENT,
    block_map: blocks.BlockMap | None = None,
    kind: type[partial.Partial] = partial.Partial,
) -> partial.Partial:
    header = journal.Header(stores.name_of(content), len(content))
    return kind(disk.Disk(), paths, header, block_map)


def descriptors() -> int:
    return len(list(pathlib.Path("/proc/self/fd").iterdir()))


def missing(incoming: partial.Partial) -> list[int]:
    return [index for run in incoming.missing() for index in run]


def test_the_space_of_all_of_it_is_really_reserved(paths: partial.Paths) -> None:
    content = stores.noise(20 * units.MIB + 1)
    incoming = begin(paths, content)
    found = os.fstat(incoming.fd)
    assert found.st_size == len(content)
    assert found.st_blocks * 512 >= len(content)
    assert incoming.held_bytes == 0
    incoming.close()


def test_blocks_may_come_in_any_order(paths: partial.Paths) -> None:
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]):
        incoming = begin(paths)
        for index in order:
            assert index not in incoming
            incoming.write(index, stores.block_of(CONTENT, index))
            assert index in incoming
            assert incoming.read(index) == stores.block_of(CONTENT, index)
        assert incoming.whole
        assert incoming.prove() == MAP
        incoming.discard()


def test_it_knows_how_many_bytes_are_here(paths: partial.Paths) -> None:
    incoming = begin(paths)
    incoming.write(2, stores.block_of(CONTENT, 2))
    assert incoming.held_bytes == 100_001
    incoming.write(0, stores.block_of(CONTENT, 0))
    assert incoming.held_bytes == 100_001 + units.MIB
    assert list(incoming.missing()) == [range(1, 2)]
    assert not incoming.whole
    incoming.close()


def test_a_restart_goes_on_with_the_blocks_that_are_here(paths: partial.Paths) -> None:
    incoming = begin(paths)
    incoming.write(1, stores.block_of(CONTENT, 1))
    incoming.close()
    again = begin(paths)
    assert missing(again) == [0, 2]
    stores.fill(again, CONTENT)
    assert again.prove() == MAP
    again.close()


def test_what_the_journal_claims_and_the_disk_does_not_have_does_not_count(
    paths: partial.Paths,
) -> None:
    incoming = begin(paths)
    stores.fill(incoming, CONTENT)
    incoming.close()
    stores.damage(paths.data, blocks.block_start(1) + 77)
    again = begin(paths)
    assert missing(again) == [1]
    again.close()


def test_claims_beyond_the_end_of_the_object_do_not_count(paths: partial.Paths) -> None:
    begin(paths).close()
    lying = journal.Journal(disk.Disk(), paths.journal, journal.Header(NAME, len(CONTENT)))
    for index in (0, 3, 2**32 - 1):
        lying.append(index, b"x" * 32)
    lying.close()
    again = begin(paths)
    assert missing(again) == [0, 1, 2]
    again.close()


def test_claims_that_the_block_map_does_not_name_do_not_count(paths: partial.Paths) -> None:
    incoming = begin(paths)
    incoming.write(0, stores.block_of(CONTENT, 0))
    incoming.write(1, bytes(units.MIB))
    incoming.close()
    again = begin(paths, block_map=MAP)
    assert missing(again) == [1, 2]
    again.close()


class _BadSector(partial.Partial):
    """A partial object of which the disk cannot read block 1 back."""

    def read(self, index: int) -> bytes:
        if index == 1:
            raise OSError(errno.EIO, "a bad sector")
        return super().read(index)


def test_a_block_that_cannot_be_read_back_is_fetched_again(paths: partial.Paths) -> None:
    incoming = begin(paths)
    stores.fill(incoming, CONTENT)
    incoming.close()
    again = begin(paths, kind=_BadSector)
    assert missing(again) == [1]
    again.close()


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_block_of_another_length_is_refused(
    paths: partial.Paths, index: int, change: int
) -> None:
    incoming = begin(paths)
    wrong = (stores.block_of(CONTENT, index) + b"x")[: blocks.block_length(index, len(CONTENT))]
    with pytest.raises(partial.WrongBlock):
        incoming.write(index, wrong[:-1] if change < 0 else wrong + b"y")
    assert index not in incoming
    incoming.close()


def test_a_block_that_the_map_does_not_name_is_refused_before_it_is_written(
    paths: partial.Paths,
) -> None:
    incoming = begin(paths, block_map=MAP)
    incoming.write(0, stores.block_of(CONTENT, 0))
    with pytest.raises(partial.WrongBlock, match="not what its map names"):
        incoming.write(0, bytes(units.MIB))
    assert incoming.read(0) == stores.block_of(CONTENT, 0)
    assert 0 in incoming
    with pytest.raises(partial.WrongBlock):
        incoming.write(1, bytes(units.MIB))
    assert 1 not in incoming
    incoming.close()


def test_an_object_that_lacks_a_block_is_not_proved(paths: partial.Paths) -> None:
    incoming = begin(paths)
    incoming.write(0, stores.block_of(CONTENT, 0))
    incoming.write(2, stores.block_of(CONTENT, 2))
    with pytest.raises(partial.WrongObject, match="lacks block 1"):
        incoming.prove()
    incoming.close()


def test_bytes_that_are_not_the_object_are_not_proved(paths: partial.Paths) -> None:
    incoming = begin(paths)
    stores.fill(incoming, CONTENT)
    incoming.close()
    wrong = begin(paths, CONTENT[:-1] + b"!")
    stores.fill(wrong, CONTENT)
    with pytest.raises(partial.WrongObject, match="have the sha256"):
        wrong.prove()
    wrong.close()


def test_the_proof_is_of_the_bytes_in_the_file_though_a_block_was_written_again(
    paths: partial.Paths,
) -> None:
    incoming = begin(paths)
    stores.fill(incoming, CONTENT)
    incoming.write(0, bytes(units.MIB))
    with pytest.raises(partial.WrongObject):
        incoming.prove()
    incoming.write(0, stores.block_of(CONTENT, 0))
    assert incoming.prove() == MAP
    incoming.close()
    assert paths.data.read_bytes() == CONTENT
    again = begin(paths)
    assert again.whole
    again.close()


def test_a_block_that_comes_twice_is_written_once(paths: partial.Paths) -> None:
    incoming = begin(paths)
    for _ in range(3):
        stores.fill(incoming, CONTENT)
        incoming.write(1, stores.block_of(CONTENT, 1))
    assert incoming.held_bytes == len(CONTENT)
    incoming.close()
    records = paths.journal.stat().st_size - len(journal.Header(NAME, len(CONTENT)).to_bytes())
    assert records == 3 * 40


def test_several_threads_may_write_at_once(paths: partial.Paths) -> None:
    content = stores.noise(12 * units.MIB + 5)
    incoming = begin(paths, content, stores.map_of(content))

    def work(seed: int) -> None:
        order = list(range(13))
        random.Random(seed).shuffle(order)
        for index in order:
            incoming.write(index, stores.block_of(content, index))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert incoming.whole
    assert incoming.held_bytes == len(content)
    assert incoming.prove() == stores.map_of(content)
    incoming.close()
    again = begin(paths, content)
    assert again.whole
    again.close()


def test_an_object_without_bytes_is_whole_at_once(paths: partial.Paths) -> None:
    incoming = begin(paths, b"")
    assert incoming.sha256 == digests.EMPTY_SHA256
    assert incoming.whole
    assert incoming.held_bytes == 0
    assert list(incoming.missing()) == []
    assert incoming.prove() == blocks.BlockMap(0, b"")
    incoming.close()


def test_a_file_that_was_longer_gets_the_size_of_the_object(paths: partial.Paths) -> None:
    paths.data.write_bytes(CONTENT + b"more")
    incoming = begin(paths)
    assert os.fstat(incoming.fd).st_size == len(CONTENT)
    incoming.close()


def test_what_is_discarded_is_gone_and_no_descriptor_stays(paths: partial.Paths) -> None:
    before = descriptors()
    incoming = begin(paths)
    incoming.write(0, stores.block_of(CONTENT, 0))
    incoming.discard()
    assert not paths.data.exists()
    assert not paths.journal.exists()
    assert descriptors() == before


def test_no_descriptor_stays_where_it_cannot_be_opened(paths: partial.Paths) -> None:
    before = descriptors()
    paths.journal.mkdir()
    with pytest.raises(IsADirectoryError):
        begin(paths)
    assert descriptors() == before
