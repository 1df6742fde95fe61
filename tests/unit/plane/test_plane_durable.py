"""Small files that must be whole."""

import os
import pathlib

import pytest

from boot_resources.plane import durable


def test_a_file_has_its_mode_whatever_the_umask(tmp_path: pathlib.Path) -> None:
    before = os.umask(0o077)
    try:
        durable.write(tmp_path / "public", b"x", mode=durable.PUBLIC)
        os.umask(0)
        durable.write(tmp_path / "key", b"x", mode=durable.PRIVATE)
    finally:
        os.umask(before)
    assert (tmp_path / "public").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("call", ["fsync", "fchmod"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    durable.write(path, b"old", mode=durable.PUBLIC)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(durable.NotWritten, match="No space left") as caught:
        durable.write(path, b"new", mode=durable.PUBLIC)
    assert caught.value.cure
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_is_at_no_moment_readable_by_others(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    really = os.open

    def watched(path: os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        fd = really(path, flags, mode)
        seen.append(os.fstat(fd).st_mode & 0o077)
        return fd

    old_mask = os.umask(0)
    monkeypatch.setattr(os, "open", watched)
    try:
        durable.write(tmp_path / "key", b"secret", mode=durable.PRIVATE)
    finally:
        os.umask(old_mask)
    assert seen[0] == 0


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(durable.NotWritten, match="cannot make the directory"):
        durable.make_directory(tmp_path / "file" / "below")
    with pytest.raises(durable.NotWritten, match="cannot make the directory"):
        durable.make_directory(tmp_path / "file")


def test_a_missing_directory_cannot_be_locked(tmp_path: pathlib.Path) -> None:
    with pytest.raises(durable.NotWritten, match="cannot open the directory"):
        with durable.locked(tmp_path / "none"):
            pass


def test_what_crashes_left_goes_after_an_hour_and_no_other_writer_is_disturbed(
    tmp_path: pathlib.Path,
) -> None:
    left, others, stranger = (
        tmp_path / name for name in (".key.0a.new", ".key.0b.new", ".other.0c.new")
    )
    for path in (left, others, stranger):
        path.write_text("a part of a key")
    for path in (left, stranger):
        os.utime(path, (0, 0))
    durable.write(tmp_path / "key", b"secret", mode=durable.PRIVATE)
    assert {path.name for path in tmp_path.iterdir()} == {"key", others.name, stranger.name}


def test_every_directory_that_is_made_has_a_durable_name(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(str(pathlib.Path(f"/proc/self/fd/{fd}").readlink()))
    )
    durable.make_directory(tmp_path / "a" / "b" / "c")
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o700
