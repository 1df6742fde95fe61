"""The systemd unit, judged by systemd's own tools."""

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from boot_resources.plane import members
from boot_resources_charms import places, service, templates
from support import fake_machine, tiers

EXPOSURE = 2.0
"""The most that a unit may be exposed, of 10, as `systemd-analyze security` counts."""
PLAN = service.Plan(
    version="0.1.0-77c01b9e",
    launcher=Path("/bin/true"),
    template=templates.source("service.j2"),
    settings=Path("/etc/boot-resources/unit/settings.toml"),
    reads="certificate",
    directories=(Path("/var/lib/juju/storage/image-storage/0"),),
)


def _service(role: members.Role = members.Role.REGION) -> service.Service:
    return service.Service(places.Places(f"{role}-0", role), fake_machine.US)


def _analyze(verb: str, path: Path, *options: str) -> str:
    if shutil.which("systemd-analyze") is None:
        tiers.missing("systemd-analyze is not here: apt-get install systemd")
    line = ["systemd-analyze", verb, *options, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("role", [members.Role.REGION, members.Role.RACK])
def test_systemd_counts_it_as_little_exposed(tmp_path: Path, role: members.Role) -> None:
    path = tmp_path / "boot-resources.service"
    path.write_text(_service(role).render(PLAN))
    said = _analyze("security", path, "--offline=true", "--no-pager")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found, said
    assert float(found.group(1)) <= EXPOSURE


@pytest.mark.parametrize("role", [members.Role.REGION, members.Role.RACK])
def test_systemd_has_nothing_to_say_against_it(tmp_path: Path, role: members.Role) -> None:
    odd = dataclasses.replace(PLAN, directories=(Path("/srv/100% of the images"), Path("/srv")))
    path = tmp_path / "boot-resources.service"
    path.write_text(_service(role).render(odd))
    said = [line for line in _analyze("verify", path).splitlines() if path.name in line]
    assert said == []


def test_a_path_is_one_word_and_no_specifier() -> None:
    odd = dataclasses.replace(PLAN, directories=(Path('/srv/100% "of" the images'),))
    text = _service().render(odd)
    assert r'ReadWritePaths="/srv/100%% \"of\" the images"' in text
    assert r'RequiresMountsFor="/srv/100%% \"of\" the images"' in text


def test_it_runs_as_its_own_user_and_the_controller_of_its_role() -> None:
    text = _service(members.Role.RACK).render(PLAN)
    assert "User=boot-resources-rack-0\n" in text
    settings = "/etc/boot-resources/unit/settings.toml"
    assert f"ExecStart=/bin/true rack run --settings {settings}\n" in text
    assert f"ExecReload=/bin/true rack reload --settings {settings}\n" in text


def test_a_region_has_nothing_to_reload() -> None:
    assert "ExecReload" not in _service().render(PLAN)


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(PLAN, version="0.2.0-1f0e9a7c"),
        dataclasses.replace(PLAN, launcher=Path("/bin/false")),
        dataclasses.replace(PLAN, template=f"{PLAN.template}# of a newer charm\n"),
        dataclasses.replace(PLAN, settings=Path("/etc/other.toml")),
        dataclasses.replace(PLAN, reads="another certificate"),
        dataclasses.replace(PLAN, directories=()),
    ],
    ids=["version", "launcher", "template", "settings", "reads", "directories"],
)
def test_every_part_of_a_plan_makes_another_deployment(other: service.Plan) -> None:
    assert _service().deployment(other) != _service().deployment(PLAN)


def test_no_secret_that_it_reads_is_in_the_unit_file() -> None:
    secret = dataclasses.replace(PLAN, reads="postgresql://maas:hunter2@db/maasdb")
    assert "hunter2" not in _service().render(secret)


def test_a_password_that_it_reads_cannot_be_tried_against_the_unit_file(tmp_path: Path) -> None:
    def deployment(key: bytes) -> str:
        where = places.Places("region-0", members.Role.REGION, tmp_path)
        where.key.parent.mkdir(parents=True, exist_ok=True)
        where.key.write_bytes(key)
        return service.Service(where, fake_machine.US).deployment(PLAN)

    # Whoever has all but the unit's private key cannot make the same digest.
    assert deployment(b"one key") != deployment(b"another key")
    assert deployment(b"one key") == deployment(b"one key")


def test_a_machine_without_systemd_has_no_such_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "systemctl")

    monkeypatch.setattr(subprocess, "run", absent)
    assert _service().look() == service.Seen(service.Activity.ABSENT, None)
