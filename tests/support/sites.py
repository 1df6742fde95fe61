"""A machine with one unit, through the refreshes of its charm."""

import shutil
from pathlib import Path

import pytest

from boot_resources.plane import members
from boot_resources_charms import templates, workload
from support import fake_machine

SERVICE = "boot-resources-region-0.service"
SETTINGS = {"region.toml": workload.File(b"old words\n")}
NEW_SETTINGS = {"region.toml": workload.File(b"new words\n")}


class Site:
    """A machine with one unit on it, and the charm as it was last refreshed."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.machine = fake_machine.FakeMachine(path / "root", monkeypatch)
        self.storage = path / "storage"
        self.storage.mkdir()
        self.charm = path / "charm"
        self._templates = path / "templates"
        shutil.copytree(Path(templates.__file__).with_name("templates"), self._templates)
        monkeypatch.setattr(templates, "_DIRECTORY", self._templates)
        self.refresh("0.1.0")

    def refresh(self, release: str, novelty: str = "", unit: str = "") -> None:
        """Refresh the charm to one with that engine, whose unit file says ``unit``, too."""
        fake_machine.pack(self.charm, release, novelty=novelty)
        template = self._templates / "service.j2"
        template.write_text(template.read_text().replace("[Install]\n", f"{unit}[Install]\n"))
        self.unit = self.hook()
        self.unit.retry_upgrade()

    def hook(self) -> workload.Workload:
        """Return the machine as a new hook sees it."""
        return workload.Workload(
            "region-0", members.Role.REGION, self.charm, self.machine.path, self.machine
        )

    def reconcile(
        self, settings: dict[str, workload.File] = SETTINGS, reads: str = "r"
    ) -> workload.Outcome:
        self.unit = self.hook()
        self.unit.install()
        self.unit.ensure_key()
        self.unit.ensure_files(settings)
        return self.unit.ensure_running(reads, [self.storage])

    def release(self) -> str | None:
        """Return the release that runs."""
        running = self.unit.state().running
        return running and running.rpartition("-")[0]

    def link(self, name: str) -> str:
        return (self.unit.places.engines / name).readlink().name.rpartition("-")[0]

    def versions(self) -> set[str]:
        found = self.unit.places.engines.iterdir()
        return {p.name.rpartition("-")[0] for p in found if p.is_dir() and not p.is_symlink()}
