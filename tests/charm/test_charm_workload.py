"""What a charm does on its machine: files, a key, commands, several units; and all of it gone."""

import contextlib
import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509

from boot_resources.plane import keys, members
from boot_resources_charms import failures, files, maas, places, templates, workload
from support import fake_machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fake_machine.FakeMachine:
    return fake_machine.FakeMachine(tmp_path / "root", monkeypatch)


def _unit(machine: fake_machine.FakeMachine, name: str = "rack-0") -> workload.Workload:
    role = members.Role(name.partition("-")[0])
    charm = fake_machine.pack(machine.path.parent / name, "0.1.0")
    made = workload.Workload(name, role, charm, machine.path, machine)
    made.install()
    return made


def _running(machine: fake_machine.FakeMachine, name: str = "rack-0") -> workload.Workload:
    made = _unit(machine, name)
    made.ensure_key()
    made.ensure_files({made.places.settings.name: workload.File(b"settings\n")})
    storage = machine.path.parent / f"storage-{name}"
    storage.mkdir(exist_ok=True)
    (storage / "object").write_bytes(b"image")
    assert made.ensure_running("r", [storage]) is workload.Outcome.RESTARTED
    return made


def _files(machine: fake_machine.FakeMachine) -> dict[Path, tuple[int, int]]:
    return {
        path: (path.lstat().st_ino, path.lstat().st_mtime_ns)
        for path in machine.path.rglob("*")
        if not path.is_relative_to(machine.path / "proc")
    }


# Files.


def test_a_file_is_written_once_with_its_mode(machine: fake_machine.FakeMachine) -> None:
    unit = _unit(machine)
    wanted = {
        "authority.crt": workload.File(b"public"),
        "maas-database": workload.File(b"secret", is_secret=True),
    }
    assert unit.ensure_files(wanted) == {"authority.crt", "maas-database"}
    assert unit.ensure_files(wanted) == set()
    directory = unit.places.settings_directory
    assert stat.S_IMODE((directory / "authority.crt").stat().st_mode) == 0o640
    assert stat.S_IMODE((directory / "maas-database").stat().st_mode) == 0o600
    assert stat.S_IMODE(directory.stat().st_mode) == 0o750


def test_only_what_is_different_is_named(machine: fake_machine.FakeMachine) -> None:
    unit = _unit(machine)
    unit.ensure_files({"a": workload.File(b"1"), "b": workload.File(b"1")})
    assert unit.ensure_files({"a": workload.File(b"1"), "b": workload.File(b"2")}) == {"b"}
    assert (unit.places.settings_directory / "b").read_bytes() == b"2"


def test_another_mode_is_a_difference(machine: fake_machine.FakeMachine) -> None:
    unit = _unit(machine)
    unit.ensure_files({"a": workload.File(b"1")})
    assert unit.ensure_files({"a": workload.File(b"1", is_secret=True)}) == {"a"}
    (unit.places.settings_directory / "a").chmod(0o644)
    assert unit.ensure_files({"a": workload.File(b"1", is_secret=True)}) == {"a"}


def test_a_file_that_must_not_be_there_goes(machine: fake_machine.FakeMachine) -> None:
    unit = _unit(machine)
    unit.ensure_files({"maas-database": workload.File(b"secret", is_secret=True)})
    assert unit.ensure_files({"maas-database": None}) == {"maas-database"}
    assert unit.ensure_files({"maas-database": None}) == set()
    assert not (unit.places.settings_directory / "maas-database").exists()


def test_a_link_in_the_place_of_a_file_is_replaced_and_not_followed(
    machine: fake_machine.FakeMachine, tmp_path: Path
) -> None:
    unit = _unit(machine)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"1")
    elsewhere.chmod(0o640)
    (unit.places.settings_directory / "a").symlink_to(elsewhere)
    assert unit.ensure_files({"a": workload.File(b"1")}) == {"a"}
    assert not (unit.places.settings_directory / "a").is_symlink()


def test_a_full_disk_is_a_refusal_and_the_old_file_stays(
    machine: fake_machine.FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = _unit(machine)
    unit.ensure_files({"a": workload.File(b"old")})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(failures.InstallFailed, match="No space left on device") as refused:
        unit.ensure_files({"a": workload.File(b"new")})
    assert refused.value.cure
    assert (unit.places.settings_directory / "a").read_bytes() == b"old"


# The key.


def test_the_key_is_made_once_and_its_request_stays_the_same(
    machine: fake_machine.FakeMachine,
) -> None:
    unit = _unit(machine)
    request = unit.ensure_key()
    assert unit.ensure_key() == request
    assert stat.S_IMODE(unit.places.key.stat().st_mode) == 0o600
    assert keys.read_public(request) == keys.load(unit.places.key).public_key()
    names = x509.load_pem_x509_csr(request).subject.rfc4514_string()
    assert names == "CN=rack-0"


def test_a_request_of_another_key_is_made_anew(machine: fake_machine.FakeMachine) -> None:
    unit = _unit(machine)
    request = unit.ensure_key()
    unit.places.key.unlink()
    assert unit.ensure_key() != request
    assert keys.read_public(unit.ensure_key()) == keys.load(unit.places.key).public_key()


def test_a_key_that_is_none_is_a_refusal_that_does_not_quote_it(
    machine: fake_machine.FakeMachine,
) -> None:
    unit = _unit(machine)
    unit.places.key.write_text("hunter2")
    with pytest.raises(failures.InstallFailed) as refused:
        unit.ensure_key()
    assert "hunter2" not in str(refused.value)
    assert str(unit.places.key) in refused.value.cure


# The commands on the path.


def test_a_unit_has_a_command_of_its_own(machine: fake_machine.FakeMachine) -> None:
    unit = _unit(machine)
    text = unit.places.unit_command.read_text()
    assert str(unit.places.settings) in text
    assert str(unit.places.engines / "current/bin/boot-resources") in text
    assert os.access(unit.places.unit_command, os.X_OK)


@pytest.mark.parametrize(
    ("uid", "ran"),
    [
        (0, "--reuid={user} --regid={user} --init-groups -- {launcher} store adopt --yes\n"),
        (1000, "launcher store adopt --yes\n"),
    ],
)
def test_what_root_calls_runs_as_the_user_of_the_service(
    machine: fake_machine.FakeMachine, tmp_path: Path, uid: int, ran: str
) -> None:
    unit = _unit(machine)
    launcher = unit.places.engines / "current/bin/boot-resources"
    path = tmp_path / "path"
    for program, script in {
        path / "id": f"echo {uid}",
        path / "setpriv": 'echo "$@"',
        launcher: 'echo launcher "$@"',
    }.items():
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    line = [str(unit.places.unit_command), "store", "adopt", "--yes"]
    environment = {"PATH": f"{path}:/usr/bin:/bin"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment) as called:
        said, _ = called.communicate()
    assert said == ran.format(user=unit.places.user, launcher=launcher)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_what_root_calls_leaves_nothing_of_roots(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for above in tmp_path.parents[:2]:
        above.chmod(above.stat().st_mode | 0o011)
    launcher, script = tmp_path / "launcher", tmp_path / "command"
    launcher.write_text("#!/bin/sh\nid -un; id -Gn\n")
    text = templates.render(
        "command.sh.j2", unit="region-0", settings="/etc/x", launcher=launcher, user="nobody"
    )
    script.write_text(text.replace("--regid=nobody", "--regid=nogroup"))
    for program in (launcher, script):
        program.chmod(0o755)
    done = subprocess.run([script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nobody", "nogroup"]


def test_the_short_command_is_the_first_units_and_is_handed_over(
    machine: fake_machine.FakeMachine,
) -> None:
    region, rack = _running(machine, "region-0"), _running(machine)
    short = region.places.command
    assert short.resolve() == region.places.unit_command
    region.remove()
    assert short.resolve() == rack.places.unit_command
    rack.remove()
    assert not os.path.lexists(short)


def test_a_command_that_somebody_else_put_there_stays(machine: fake_machine.FakeMachine) -> None:
    short = machine.path / "usr/local/bin/boot-resources"
    short.parent.mkdir(parents=True)
    short.write_text("an installation by hand")
    unit = _running(machine)
    assert short.read_text() == "an installation by hand"
    unit.remove()
    assert short.read_text() == "an installation by hand"


# Several units, and their end.


def test_a_region_and_a_rack_on_one_machine_touch_nothing_of_each_other(
    machine: fake_machine.FakeMachine,
) -> None:
    _running(machine, "region-0")
    of_region = _files(machine)
    rack = _running(machine)
    rack.ensure_files({"members.json": workload.File(b"{}")})
    rack.remove()
    shared = {machine.path / each for each in ("run", "opt", "etc", "var")}
    now = _files(machine)
    assert set(now) == set(of_region)
    directories = {path for path in now if path.is_dir()} | shared
    for path in set(now) - directories:
        assert now[path] == of_region[path], path
    assert machine.running("boot-resources-region-0.service")


def test_a_removed_unit_leaves_nothing_but_its_storage(
    machine: fake_machine.FakeMachine,
) -> None:
    before = {path for path in machine.path.rglob("*") if path.is_dir()}
    unit = _running(machine)
    unit.places.state.mkdir(parents=True)
    (unit.places.state / "catalog.db").write_bytes(b"catalog")
    unit.places.runtime.mkdir(parents=True)
    unit.remove()
    unit.remove()
    left = {path for path in machine.path.rglob("*") if path not in before}
    directories = {machine.path / each for each in ("opt", "run", "proc", "var", "var/lib")}
    assert left <= directories | {machine.path / "usr", *(machine.path / "usr").rglob("*")}
    assert not [path for path in left if path.is_file()]
    assert machine.users == set()
    assert machine.units == {}
    assert (machine.path.parent / "storage-rack-0/object").read_bytes() == b"image"
    assert unit.state().activity is workload.Activity.ABSENT


def test_a_removal_that_is_killed_anywhere_is_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = 0
    while True:
        with monkeypatch.context() as patch:
            machine = fake_machine.FakeMachine(tmp_path / str(step) / "root", patch)
            unit = _running(machine)
            machine.steps, machine.kill_at = 0, step
            killed = True
            with contextlib.suppress(fake_machine.Killed):
                unit.remove()
                killed = False
            machine.kill_at = None
            unit.remove()
            assert machine.units == {}, step
            assert machine.users == set(), step
            assert list(machine.path.rglob("*rack-0*")) == [], step
        if not killed:
            break
        step += 1
    assert step > 8


def test_a_stopped_unit_does_not_start_with_the_machine(
    machine: fake_machine.FakeMachine,
) -> None:
    unit = _running(machine)
    unit.stop()
    assert not machine.units[unit.places.service].enabled
    assert unit.state().activity is workload.Activity.STOPPED
    unit.stop()


def test_a_unit_that_was_never_installed_can_be_stopped_and_removed(
    machine: fake_machine.FakeMachine,
) -> None:
    unit = workload.Workload(
        "rack-0", members.Role.RACK, machine.path.parent / "charm", machine.path, machine
    )
    unit.stop()
    unit.remove()
    assert unit.state().activity is workload.Activity.ABSENT


def test_without_an_engine_a_question_is_a_refusal(machine: fake_machine.FakeMachine) -> None:
    unit = workload.Workload(
        "rack-0", members.Role.RACK, machine.path.parent / "charm", machine.path, machine
    )
    with pytest.raises(failures.CommandFailed, match="carries no engine"):
        unit.ask("status")
    assert "carries no engine" in unit.state().why


def test_only_a_region_needs_gpg(machine: fake_machine.FakeMachine) -> None:
    _unit(machine)
    assert machine.debian == set()
    _unit(machine, "region-0")
    assert machine.debian == {"gpg"}


def test_storage_of_another_user_becomes_the_units_own_but_what_fsck_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "storage"
    for name in ("objects/ab", "lost+found"):
        (storage / name).mkdir(parents=True)
        (storage / name / "file").touch()
    (storage / "link").symlink_to("/etc/passwd")
    owned: list[Path] = []

    def chown(path: Path, uid: int, gid: int, *, follow_symlinks: bool = True) -> None:
        assert (uid, gid) == (7, 8)
        assert not follow_symlinks or path == storage
        owned.append(path.relative_to(storage))

    monkeypatch.setattr(os, "chown", chown)
    assert files.ensure_owned(storage, files.Owner(7, 8))
    within = ("objects", "objects/ab", "objects/ab/file", "link")
    # The directory itself is last: until then another run begins anew.
    assert (set(owned[:-1]), owned[-1]) == (set(map(Path, within)), Path())
    assert not files.ensure_owned(storage, fake_machine.US)


# Names.


def test_a_long_units_user_is_short_enough_and_its_own() -> None:
    first, second = (
        places.Places(f"{'a-long-application-name'}-{number}", members.Role.RACK)
        for number in (1, 2)
    )
    for each in (first, second):
        assert len(each.user) <= 31
        assert each.user.startswith("boot-resources-")
    assert first.user != second.user
    assert places.Places("rack-0", members.Role.RACK).user == "boot-resources-rack-0"


def test_a_socket_of_the_longest_name_is_short_enough() -> None:
    assert len(str(places.Places("r" * 64, members.Role.RACK).socket)) <= 100


# MAAS.


def _dpkg(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    def run(line: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert line[:2] == ["dpkg-query", "--show"]
        return subprocess.CompletedProcess(line, 1, said, "dpkg-query: no packages found")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize("place", ["snap/maas", "var/snap/maas"])
def test_the_snap_of_maas_is_seen(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(parents=True)
    assert maas.installed(tmp_path) == "the snap maas"


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("", None),
        ("config-files maas-region-api\n", None),
        ("installed maas-region-api\n", "the package maas-region-api"),
        (
            "installed maas-rack-controller\ninstalled maas\n",
            "the packages maas, maas-rack-controller",
        ),
    ],
)
def test_packages_of_maas_are_seen_while_they_are_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, found: str | None
) -> None:
    _dpkg(monkeypatch, said)
    assert maas.installed(tmp_path) == found
