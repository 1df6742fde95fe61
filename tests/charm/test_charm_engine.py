"""The engine's versions: named for their content, whole on the disk, apart from the machine."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from boot_resources.plane import members
from boot_resources_charms import engine, failures, files, places
from support import fake_machine

real_run = subprocess.run


@pytest.fixture(autouse=True)
def only_the_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(line: list[str], **_: object) -> None:
        assert line[:2] == ["sync", "--file-system"]
        assert Path(line[2]).is_dir()

    monkeypatch.setattr(subprocess, "run", run)


@pytest.fixture
def charm(tmp_path: Path) -> Path:
    return fake_machine.pack(tmp_path / "charm", "0.1.0")


def _engines(charm: Path, monkeypatch: pytest.MonkeyPatch) -> engine.Engines:
    monkeypatch.setattr(engine, "INTERPRETER", Path(sys.executable))
    where = places.Places("rack-0", members.Role.RACK, charm.parent / "root")
    return engine.Engines(where, charm, fake_machine.US)


def test_a_version_is_the_release_and_a_digest_of_its_content(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = _engines(charm, monkeypatch).carried
    assert engine.release(version) == "0.1.0"
    fake_machine.pack(charm, "0.1.0", novelty="one line")
    other = _engines(charm, monkeypatch).carried
    assert engine.release(other) == "0.1.0"
    assert other != version


def test_unpacking_the_same_charm_again_is_the_same_version(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = _engines(charm, monkeypatch).carried
    for path in charm.rglob("*"):
        os.utime(path, (1, 1))
    compiled = charm / "venv/lib/python3.12/site-packages/boot_resources/__pycache__"
    compiled.mkdir()
    (compiled / "main.cpython-312.pyc").write_bytes(b"by a hook")
    assert _engines(charm, monkeypatch).carried == version


def test_a_renamed_file_is_another_version(charm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = _engines(charm, monkeypatch).carried
    package = charm / "venv/lib/python3.12/site-packages/boot_resources"
    (package / "__init__.py").rename(package / "other.py")
    assert _engines(charm, monkeypatch).carried != version


def test_the_command_runs_the_staged_engine_and_nothing_of_the_machine(
    charm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)
    engines.stage()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/json.py").write_text("raise SystemExit('the machine took part')")
    said = real_run(
        [engines.launcher(engines.carried), "status", "--json"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path / "elsewhere",
        env={"PYTHONPATH": str(tmp_path / "elsewhere"), "PYTHONHOME": "/nowhere"},
    ).stdout
    found = json.loads(said)
    packages = engines.directory(engines.carried) / "site-packages"
    assert found["arguments"] == ["status", "--json"]
    assert Path(found["here"]) == packages / "boot_resources/cli/main.py"
    assert found["path"][0] == str(packages)
    assert not any(
        "site-packages" in each or "dist-packages" in each for each in found["path"][1:]
    )


def test_what_is_staged_is_readable_by_all_and_writable_by_its_owner_only(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in charm.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    engines = _engines(charm, monkeypatch)
    before = os.umask(0o077)
    try:
        engines.stage()
    finally:
        os.umask(before)
    for path in (engines.directory("."), engines.directory("..")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o755, path
    for path in engines.directory(engines.carried).rglob("*"):
        wanted = 0o755 if path.is_dir() or path.parent.name == "bin" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_what_is_staged_is_compiled_under_its_final_name(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)
    engines.stage()
    package = engines.directory(engines.carried) / "site-packages/boot_resources/cli"
    compiled = list((package / "__pycache__").glob("main.*.pyc"))
    assert len(compiled) == 1
    assert str(package / "main.py").encode() in compiled[0].read_bytes()


def test_a_file_that_is_no_python_is_staged_as_it_is(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "venv/lib/python3.12/site-packages/boot_resources/template.py"
    (charm / odd).write_text("{{ this is a template }} of Python")
    engines = _engines(charm, monkeypatch)
    assert engines.stage()
    staged = engines.directory(engines.carried) / "site-packages/boot_resources/template.py"
    assert staged.read_text() == (charm / odd).read_text()


def test_staging_again_does_nothing(charm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = _engines(charm, monkeypatch)
    assert engines.stage()
    assert not engines.stage()


def test_what_an_interrupted_staging_left_is_replaced(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)
    half = engines.directory(f".{engines.carried}.tmp")
    (half / "site-packages").mkdir(parents=True)
    (half / "site-packages/half.py").write_text("hal")
    engines.stage()
    assert not half.exists()
    assert not (engines.directory(engines.carried) / "site-packages/half.py").exists()


def test_a_version_that_is_half_removed_has_lost_its_name(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)
    engines.stage()
    version = engines.directory(engines.carried)

    def killed(_: Path) -> None:
        raise fake_machine.Killed

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", killed)
        with pytest.raises(fake_machine.Killed):
            files.remove_tree(version)
    assert not version.exists()
    assert not files.remove_tree(version)
    assert [path for path in version.parent.iterdir() if path.is_dir()] == []


def test_a_full_disk_is_a_refusal_and_leaves_no_version(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "/opt")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(failures.InstallFailed, match="No space left") as refused:
        engines.stage()
    assert "make room" in refused.value.cure
    assert not engines.directory(engines.carried).exists()


def test_a_charm_without_an_engine_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "charm/venv/lib/python3.12/site-packages").mkdir(parents=True)
    for directory in (tmp_path / "charm", tmp_path / "nothing"):
        with pytest.raises(failures.InstallFailed, match="carries no engine") as refused:
            _engines(directory, monkeypatch).stage()
        assert "make charms" in refused.value.cure


def test_a_record_of_a_failure_that_cannot_be_read_is_none(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)
    engines.stage()
    engines.reject(engine.FailedUpgrade(engines.carried, "it did not start"))
    assert engines.failed is not None
    engines.directory("failed.json").write_text("{half")
    assert engines.failed is None


def test_a_failure_of_another_version_says_nothing_of_this_one(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)
    engines.stage()
    engines.reject(engine.FailedUpgrade("0.0.9-77c01b9e", "it did not start"))
    assert engines.failed is None


def test_a_link_that_leads_nowhere_is_no_current_version(
    charm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = _engines(charm, monkeypatch)
    engines.stage()
    engines.accept(engines.carried)
    assert engines.current == engines.carried
    engines.directory(engines.carried).rename(engines.directory("gone"))
    assert engines.current is None
