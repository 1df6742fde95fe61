"""What ``make charms`` packs, and that it leaves nothing behind."""

import dataclasses
import functools
import os
import pathlib
import subprocess
import zipfile
from typing import Any

import pytest
import yaml

from support import packing

EVERY_CHARM = pytest.mark.parametrize("name", ["region", "rack"])
PACKAGES = "venv/lib/python3.12/site-packages"
CHECKED_HASH = 0b11
"""The flags of byte code that is held against the digest of its source (PEP 552)."""


@functools.cache
def files() -> dict[str, pathlib.Path]:
    return dataclasses.asdict(packing.packed())


def charm(name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(files()[name])


def declared(name: str) -> dict[str, Any]:
    """Return what the recipe of a charm declares."""
    text = (packing.ROOT / f"charms/{name}/charmcraft.yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@EVERY_CHARM
def test_a_charm_carries_the_engine_and_all_that_the_charms_share(name: str) -> None:
    carried = set(charm(name).namelist())
    for package, folder in {
        "boot_resources": packing.ROOT / "lib/boot_resources",
        "boot_resources_charms": packing.ROOT / "charms/common/boot_resources_charms",
    }.items():
        sources = {path for path in folder.rglob("*") if path.suffix in {".py", ".j2", ".mako"}}
        assert {f"{PACKAGES}/{package}/{path.relative_to(folder)}" for path in sources} <= carried
    source = packing.ROOT / f"charms/{name}/src"
    assert {f"src/{path.relative_to(source)}" for path in source.rglob("*.py")} <= carried
    assert {"LICENSE", "README.md", "icon.svg", "version", "manifest.yaml"} <= carried


@EVERY_CHARM
def test_a_charm_declares_what_its_recipe_declares(name: str) -> None:
    recipe, archive = declared(name), charm(name)
    metadata = yaml.safe_load(archive.read("metadata.yaml"))
    for key in ("name", "assumes", "peers", "provides", "requires", "storage"):
        assert metadata.get(key) == recipe.get(key)
    assert yaml.safe_load(archive.read("config.yaml")) == recipe["config"]
    assert yaml.safe_load(archive.read("actions.yaml")) == recipe["actions"]
    (base,) = yaml.safe_load(archive.read("manifest.yaml"))["bases"]
    assert f"{base['name']}@{base['channel']}" == recipe["base"]


def test_a_rack_s_charm_carries_no_database() -> None:
    carried = {path.removeprefix(f"{PACKAGES}/").partition("/")[0] for path in names("rack")}
    assert carried & {"alembic", "psycopg", "psycopg_binary", "sqlalchemy", "gnupg.py"} == set()
    assert "aiohttp" in carried


@EVERY_CHARM
def test_nothing_is_carried_that_is_true_only_where_it_was_packed(name: str) -> None:
    archive = charm(name)
    assert "home = /usr/bin\n" in archive.read("venv/pyvenv.cfg").decode()
    notes = ("direct_url.json", "uv_build.json", "uv_cache.json")
    assert [path for path in archive.namelist() if path.endswith(notes)] == []
    compiled = [path for path in archive.namelist() if path.endswith(".pyc")]
    assert compiled
    for path in compiled:
        assert int.from_bytes(archive.read(path)[4:8], "little") == CHECKED_HASH, path


@EVERY_CHARM
def test_the_version_is_that_of_the_engine_and_the_commit(name: str) -> None:
    commit = git("rev-parse", "--short=12", "HEAD")
    assert charm(name).read("version").decode().strip() in {
        f"0.1.0-{commit}",
        f"0.1.0-{commit}-dirty",
    }


@EVERY_CHARM
def test_the_charm_can_be_imported_as_its_dispatch_does(name: str, tmp_path: pathlib.Path) -> None:
    archive = charm(name)
    archive.extractall(tmp_path)
    (tmp_path / "venv/bin/python").symlink_to(python())
    code = "import charm, boot_resources_charms.workload as w; print(charm.__file__, w.__file__)"
    ran = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", code],
        env={"PYTHONPATH": f"{tmp_path}/lib:{tmp_path}/src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stderr == ""
    here = [
        f"{tmp_path}/src/charm.py",
        f"{tmp_path}/{PACKAGES}/boot_resources_charms/workload.py",
    ]
    assert ran.stdout.split() == here


def test_packing_leaves_nothing_behind_and_packs_nothing_twice() -> None:
    before = {path: path.stat().st_mtime_ns for path in files().values()}
    there = git("status", "--porcelain", "--ignored=no")
    again = run("make", "charms")
    assert again.stderr.count("is as the sources are") == len(files())
    assert {path: path.stat().st_mtime_ns for path in files().values()} == before
    assert git("status", "--porcelain", "--ignored=no") == there
    assert list((packing.ROOT / "charms").glob("*/parts")) == []


def names(name: str) -> list[str]:
    return charm(name).namelist()


def git(*arguments: str) -> str:
    return run("git", "-c", "safe.directory=*", *arguments).stdout.strip()


def python() -> str:
    """Return a Python of the version that charms run on."""
    return run("tools/preflight.sh", "charmlint").stdout.strip()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as if no make were running these tests."""
    env = {"VENV": "none"} | {name: os.environ[name] for name in ("HOME", "PATH")}
    return subprocess.run(
        command, cwd=packing.ROOT, env=env, capture_output=True, text=True, check=True
    )
