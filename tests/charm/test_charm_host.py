"""Packages and users: charmhelpers itself, on a machine that only answers what it was told.

charmhelpers imports on Ubuntu alone. Here it is told that this is Ubuntu: a test device. Real
hosts that look like Ubuntu run it in ``tests/functional/charms``.
"""

import grp
import pwd
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from boot_resources_charms import failures, host

APT = ("apt-get", "--assume-yes", "--option=DPkg::Lock::Timeout=300", "install")


class Commands:
    """Stands in for the programs that charmhelpers runs; fails on any other."""

    def __init__(self, *, archive: set[str], after_update: set[str] | None = None) -> None:
        self.archive = archive
        self.after_update = after_update or set()
        self.installed: set[str] = set()
        self.users: set[str] = set()
        self.groups: set[str] = set()
        self.refuses: str | None = None
        self.environment: str | None = "PATH=/usr/sbin:/usr/bin\n"
        self.ran: list[tuple[str, ...]] = []

    def run(self, line: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if line[0] == "dpkg-query":
            states = "".join(f"installed {name}\n" for name in self.installed & {*line[3:]})
            return subprocess.CompletedProcess(line, 1, states, "")
        self.call(line, **options)
        return subprocess.CompletedProcess(line, 0, "", "")

    def call(self, line: list[str], **options: Any) -> int:
        self.ran.append(tuple(line))
        match line:
            case ["apt-get", "update"]:
                self.archive |= self.after_update
            case [*start, package] if tuple(start) == APT:
                self.installed |= {package} & self.archive
            case ["addgroup", "--system", name]:
                self.groups.add(name)
            case ["useradd", "--home", "/var/lib/x", "--system", "-g", group, name]:
                assert group in self.groups
                self._refuse(line)
                self.users.add(name)
            case ["userdel", name]:
                assert options["check"]
                self._refuse(line)
                self.users.discard(name)
            case ["juju-log", *_]:
                pass
            case _:
                raise AssertionError(f"nobody told this machine about {line}")
        return 0

    def check_output(self, line: list[str], **_: Any) -> str:
        assert line[:2] == ["env", "-i"], f"nobody told this machine about {line}"
        if self.environment is None:
            raise subprocess.CalledProcessError(1, line, "")
        return self.environment

    def _refuse(self, line: list[str]) -> None:
        if self.refuses:
            raise subprocess.CalledProcessError(8, line, "", self.refuses)

    def getpwnam(self, name: str) -> pwd.struct_passwd:
        if name not in self.users:
            raise KeyError(name)
        return pwd.struct_passwd((name, "x", 900, 901, "", "/var/lib/x", "/bin/sh"))

    def getgrnam(self, name: str) -> grp.struct_group:
        if name not in self.groups:
            raise KeyError(name)
        return grp.struct_group((name, "x", 901, []))


@pytest.fixture
def ubuntu(monkeypatch: pytest.MonkeyPatch) -> Commands:
    from charmhelpers import osplatform

    monkeypatch.setattr(osplatform, "get_platform", lambda: "ubuntu")
    from charmhelpers import fetch  # noqa: F401 - imported under that name of the platform
    from charmhelpers.core import host as of_charmhelpers  # noqa: F401

    commands = Commands(archive={"gpg"})
    monkeypatch.setattr(subprocess, "run", commands.run)
    monkeypatch.setattr(subprocess, "call", commands.call)
    monkeypatch.setattr(subprocess, "check_call", commands.call)
    monkeypatch.setattr(subprocess, "check_output", commands.check_output)
    monkeypatch.setattr(pwd, "getpwnam", commands.getpwnam)
    monkeypatch.setattr(grp, "getgrnam", commands.getgrnam)
    return commands


def _apt(commands: Commands) -> list[tuple[str, ...]]:
    return [line for line in commands.ran if line[0] == "apt-get"]


def test_a_missing_package_is_installed_once(ubuntu: Commands) -> None:
    assert host.Host().ensure_packages(["gpg"])
    assert not host.Host().ensure_packages(["gpg"])
    assert _apt(ubuntu) == [(*APT, "gpg")]


def test_no_packages_are_no_work(ubuntu: Commands) -> None:
    assert not host.Host().ensure_packages([])
    assert _apt(ubuntu) == []


def test_package_lists_are_read_only_where_the_first_try_fails(ubuntu: Commands) -> None:
    ubuntu.archive, ubuntu.after_update = set(), {"gpg"}
    assert host.Host().ensure_packages(["gpg"])
    assert _apt(ubuntu) == [(*APT, "gpg"), ("apt-get", "update"), (*APT, "gpg")]


def test_a_package_that_cannot_be_had_is_a_refusal_with_a_cure(ubuntu: Commands) -> None:
    ubuntu.archive = set()
    with pytest.raises(failures.InstallFailed, match="could not install gpg") as refused:
        host.Host().ensure_packages(["gpg"])
    assert "apt-get install gpg" in refused.value.cure


def test_a_machine_without_an_environment_file_is_a_refusal(ubuntu: Commands) -> None:
    # charmhelpers reads /etc/environment before it runs apt-get, and insists on it.
    ubuntu.environment = None
    with pytest.raises(failures.InstallFailed, match="could not install gpg"):
        host.Host().ensure_packages(["gpg"])


def test_a_user_is_made_once_with_a_group_of_its_own(ubuntu: Commands) -> None:
    assert host.Host().ensure_user("boot-resources-rack-0", "/var/lib/x")
    assert not host.Host().ensure_user("boot-resources-rack-0", "/var/lib/x")
    assert host.Host().owner("boot-resources-rack-0") == (900, 901)


def test_a_user_that_cannot_be_made_is_a_refusal_with_useradds_words(ubuntu: Commands) -> None:
    ubuntu.refuses = "useradd: cannot lock /etc/passwd"
    with pytest.raises(failures.InstallFailed, match="cannot lock /etc/passwd"):
        host.Host().ensure_user("boot-resources-rack-0", "/var/lib/x")


def test_a_user_is_removed_once(ubuntu: Commands) -> None:
    host.Host().ensure_user("boot-resources-rack-0", "/var/lib/x")
    assert host.Host().remove_user("boot-resources-rack-0")
    assert not host.Host().remove_user("boot-resources-rack-0")


def test_a_user_at_work_is_not_removed(ubuntu: Commands) -> None:
    host.Host().ensure_user("boot-resources-rack-0", "/var/lib/x")
    ubuntu.refuses = "userdel: user is currently used by process 7"
    with pytest.raises(failures.InstallFailed, match="used by process 7") as refused:
        host.Host().remove_user("boot-resources-rack-0")
    assert refused.value.cure


def test_a_user_that_is_not_there_owns_nothing(ubuntu: Commands) -> None:
    with pytest.raises(failures.InstallFailed, match="is not on this machine"):
        host.Host().owner("boot-resources-rack-0")


def test_what_python_no_longer_brings_for_charmhelpers_is_named_and_locked() -> None:
    charms = Path(__file__).parents[2] / "charms"
    named = tomllib.loads((charms / "common/pyproject.toml").read_text())["project"]
    assert any(each.startswith("setuptools") for each in named["dependencies"])
    for charm in ("region", "rack"):
        locked = tomllib.loads((charms / charm / "uv.lock").read_text())["package"]
        (common,) = (each for each in locked if each["name"] == "boot-resources-charms")
        assert "setuptools" in {each["name"] for each in common["dependencies"]}
