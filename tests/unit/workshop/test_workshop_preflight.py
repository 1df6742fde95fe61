"""What tools/preflight.sh tells an ordinary user of a host that lacks something.

The script runs as it is, on a PATH of our own that holds exactly what each test says, so that no
answer depends on what this host has.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

PREFLIGHT = Path(__file__).parents[3] / "tools/preflight.sh"
EVERYTHING = (
    "apt-get",
    "cpio",
    "dpkg-query",
    "faketime",
    "gpg",
    "gpg-agent",
    "mksquashfs",
    "openssl",
    "postgres",
)

Preflight = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def preflight(tmp_path: Path) -> Preflight:
    """Return a function that runs the script on a host of our own.

    ``lacks`` names commands that the host does not have, ``scripts`` what others do there.
    """

    def command(name: str, script: str = "exit 0") -> None:
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(
        target: str,
        *,
        lacks: tuple[str, ...] = (),
        scripts: Mapping[str, str] = MappingProxyType({}),
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "bin").mkdir()
        for name in EVERYTHING:
            command(name)
        command("id", "echo 1000")
        command("python3", "exit 127  # a version manager's placeholder")
        command("python3.12", f'exec "{sys.executable}" "$@"')
        for name, script in scripts.items():
            command(name, script)
        for name in lacks:
            (tmp_path / "bin" / name).unlink()
        return subprocess.run(
            [shutil.which("bash") or "bash", str(PREFLIGHT), target],
            env={"PATH": str(tmp_path / "bin"), "VENV": str(tmp_path / "none"), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_host_with_everything_is_told_only_which_python(
    preflight: Preflight, tmp_path: Path
) -> None:
    done = preflight("test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(tmp_path / "bin/python3.12")


def test_what_is_missing_is_offered_as_one_apt_line(preflight: Preflight) -> None:
    done = preflight("demo", lacks=("gpg", "gpg-agent"))
    lines = [line for line in done.stderr.splitlines() if "apt-get install" in line]
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(lines) == 1
    assert lines[0].endswith(" --no-install-recommends gpg gpg-agent")


def test_the_demo_needs_nothing_that_only_tests_need(preflight: Preflight) -> None:
    assert preflight("demo", lacks=("openssl", "cpio", "mksquashfs")).returncode == 0


def test_the_migration_s_benchmark_needs_postgresql_alone(preflight: Preflight) -> None:
    lacks = ("gpg", "gpg-agent", "openssl", "cpio", "mksquashfs")
    assert preflight("bench-migrate", lacks=lacks).returncode == 0


def test_what_only_some_tests_need_stops_unless_told_to_skip(preflight: Preflight) -> None:
    done = preflight("test", lacks=("mksquashfs",))
    assert done.returncode == 2
    assert "SKIP_MISSING=1" in done.stderr


def test_told_to_skip_what_is_missing_it_goes_on(preflight: Preflight) -> None:
    assert preflight("test", lacks=("mksquashfs",), SKIP_MISSING="1").returncode == 0


def test_told_to_skip_it_still_stops_where_nothing_would_work(preflight: Preflight) -> None:
    done = preflight("test", lacks=("gpg", "mksquashfs"), SKIP_MISSING="1")
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(" gpg")


def test_a_python_that_was_asked_for_and_is_not_ours_is_refused(preflight: Preflight) -> None:
    done = preflight("demo", PYTHON="python3")
    assert done.returncode == 2
    assert "PYTHON=python3 is not Python 3.11 or 3.12" in done.stderr


def test_the_python_that_was_asked_for_is_used(preflight: Preflight, tmp_path: Path) -> None:
    done = preflight("demo", PYTHON="python3.12")
    assert done.stdout.strip() == str(tmp_path / "bin/python3.12")


def test_a_host_without_apt_is_told_the_names(preflight: Preflight) -> None:
    done = preflight("demo", lacks=("apt-get", "gpg"))
    assert done.returncode == 2
    assert done.stderr.strip().endswith("gpg")
    assert "apt-get" not in done.stderr


ROOT = {"id": "echo 0", "python3.12": "exit 0  # one of 3.12"}


def test_charms_need_python_3_12_and_say_so_in_one_line(preflight: Preflight) -> None:
    done = preflight("charms", scripts=ROOT | {"python3.12": "exit 1  # one of 3.11"})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Python 3.12" in done.stderr


def test_charms_are_packed_with_a_python_that_pyenv_keeps(
    preflight: Preflight, tmp_path: Path
) -> None:
    kept = tmp_path / ".pyenv/versions/3.12.1/bin/python3.12"
    kept.parent.mkdir(parents=True)
    kept.write_text("#!/bin/sh\nexit 0\n")
    kept.chmod(0o755)
    scripts = ROOT | {"python3.12": "exit 127", "dpkg-query": "echo installed"}
    done = preflight("charms", scripts=scripts, HOME=str(tmp_path))
    assert (done.returncode, done.stdout.strip()) == (0, str(kept))


def test_only_root_packs_charms_where_charmcraft_is_not_installed(preflight: Preflight) -> None:
    done = preflight("charms", scripts={"python3.12": "exit 0"})
    assert done.returncode == 2
    assert "needs root" in done.stderr


def test_what_charmcraft_runs_on_is_installed_before_the_charms_are_packed(
    preflight: Preflight, tmp_path: Path
) -> None:
    said, there = tmp_path / "said", tmp_path / "there"
    scripts = {
        "dpkg-query": f"test -e {there} && echo installed",
        "apt-get": f'echo "$@" >>{said}; case "$*" in *install*) : >{there};; esac',
    }
    done = preflight("charms", scripts=ROOT | scripts)
    assert done.returncode == 0, done.stderr
    assert said.read_text().splitlines()[-1].endswith("python3-apt python3-dev python3-venv")


def test_to_look_at_charms_needs_python_3_12_and_nothing_else(
    preflight: Preflight, tmp_path: Path
) -> None:
    done = preflight("charmlint", scripts={"python3.12": "exit 0"}, lacks=("gpg", "dpkg-query"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(tmp_path / "bin/python3.12")


def test_the_scripts_can_be_run() -> None:
    root = PREFLIGHT.parents[1]
    scripts = ("charmlint", "environment", "pack_charms", "preflight")
    for script in (*(f"tools/{name}.sh" for name in scripts), ".ci/run"):
        assert os.access(root / script, os.X_OK), script
        subprocess.run(["bash", "-n", root / script], check=True)
