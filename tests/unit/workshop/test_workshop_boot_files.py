"""What the helper for real boot files says where it cannot make any."""

from pathlib import Path

import pytest

from support import debian_boot_files


def test_a_host_without_the_tools_is_told_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(debian_boot_files.UnavailableError, match="cpio, mksquashfs"):
        debian_boot_files.boot_files(tmp_path)


def test_another_architecture_is_refused_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(debian_boot_files.UnavailableError, match="riscv64"):
        debian_boot_files.boot_files(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_built_once_is_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.freedesktop_os_release", lambda: {"ID": "x", "VERSION_ID": "1"})
    (tmp_path / "boot-files-x-1").mkdir()
    files = debian_boot_files.boot_files(tmp_path)
    assert files.kernel == tmp_path / "boot-files-x-1/vmlinuz"
