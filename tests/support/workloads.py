"""A machine for the charms' tests: one stateful fake in place of ``workload.Workload``.

It keeps the files that a charm wrote in a directory of its own and refuses what the engine would
refuse, by the engine's own reading of them: settings, keyring, and whether certificate, key and
authority belong together. It answers a command only where a test has said what: any other is a
failure of the test.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from boot_resources import errors
from boot_resources.plane import durable, keys, members, tls
from boot_resources.settings import files as settings_files
from boot_resources_charms import failures, places, workload

CARRIED = "0.1.0-0a1b2c3d"
"""The version of the engine that the charm carries."""
_SECRET, _SHARED = 0o600, 0o640


class FakeWorkload:
    """One unit's machine. It stands in for the class ``workload.Workload``: it is its own maker.

    Attributes:
        places: where everything lies, below a directory of the test.
        maas: what of MAAS is installed.
        install_error: what ``install`` fails with.
        outcome: what ``ensure_running`` comes to where something is to be started.
        condition: what ``state`` says in place of what follows from the calls.
        answers: what ``ask`` returns or raises, by its arguments.
        lines: what ``follow`` yields, and raises at the end, by its arguments.
        installed, running, starts, reloads, retries, removed: what happened.
        reads: what the running service read when it started.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.maas: str | None = None
        self.install_error: failures.InstallFailed | None = None
        self.reload_error: failures.CommandFailed | None = None
        self.outcome = workload.Outcome.RESTARTED
        self.condition: workload.State | None = None
        self.answers: dict[tuple[str, ...], Any] = {}
        self.lines: dict[tuple[str, ...], list[str | failures.CommandFailed]] = {}
        self.installed = self.running = self.removed = False
        self.starts = self.reloads = self.retries = 0
        self.reads = ""
        self.directories: tuple[Path, ...] = ()
        self.carried = CARRIED
        self.refusal: errors.BootResourcesError | None = None

    def __call__(self, unit: str, role: members.Role, _: Path) -> "FakeWorkload":
        self.places = places.Places(unit, role, self._root)
        return self

    def settings(self) -> dict[str, Any]:
        """Return the settings as the engine reads them, as they were written."""
        loaded = settings_files.load(self.places.settings)
        return loaded.model_dump(mode="json", by_alias=True, exclude_unset=True)

    def read(self, name: str) -> str:
        """Return a file beside the settings."""
        return (self.places.settings_directory / name).read_text()

    def has(self, name: str) -> bool:
        """Return whether there is such a file beside the settings."""
        return (self.places.settings_directory / name).exists()

    def mode(self, name: str) -> int:
        """Return the mode of a file beside the settings."""
        return (self.places.settings_directory / name).stat().st_mode & 0o777

    def maas_here(self) -> str | None:
        return self.maas

    def install(self) -> None:
        if self.install_error is not None:
            raise self.install_error
        self.places.settings_directory.mkdir(parents=True, exist_ok=True)
        self.installed = True

    def retry_upgrade(self) -> None:
        self.retries += 1

    def ensure_key(self) -> bytes:
        assert self.installed, "there is no directory for the key before the machine is ready"
        if not self.places.request.exists():
            key = keys.new(self.places.key)
            asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
            pem = asked.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
            durable.write(self.places.request, pem, mode=durable.PUBLIC)
        return self.places.request.read_bytes()

    def forget_key(self) -> None:
        """Have the machine made anew: the next key is another."""
        self.places.key.unlink()
        self.places.request.unlink()

    def ensure_files(self, wanted: Mapping[str, workload.File | None]) -> frozenset[str]:
        assert self.installed
        return frozenset(name for name, file in wanted.items() if self._ensure(name, file))

    def _ensure(self, name: str, file: workload.File | None) -> bool:
        path = self.places.settings_directory / name
        before = path.read_bytes() if path.exists() else None
        if file is None:
            path.unlink(missing_ok=True)
            return before is not None
        mode = _SECRET if file.is_secret else _SHARED
        durable.write(path, file.content, mode=mode)
        return before != file.content

    def ensure_running(self, reads: str, directories: Sequence[Path]) -> workload.Outcome:
        assert self.installed
        self.directories = tuple(directories)
        self.refusal = self._refusal()
        if self.refusal is not None:
            return workload.Outcome.FAILED
        if self.running and reads == self.reads:
            return workload.Outcome.UNCHANGED
        self.reads, self.running = reads, True
        self.starts += 1
        return self.outcome

    def _refusal(self) -> errors.BootResourcesError | None:
        """Return what the engine's own check says of the files."""
        try:
            plane = settings_files.load(self.places.settings).plane
            tls.examine(tls.Identity(plane.certificate, plane.key, plane.authority))
            members.load(plane.members)
        except errors.BootResourcesError as error:
            return error
        return None

    def reload(self) -> None:
        assert self.running, "nobody answers"
        if self.reload_error is not None:
            raise self.reload_error
        self.reloads += 1

    def ask(self, *arguments: str) -> Any:
        answer = self.answers[arguments]
        if isinstance(answer, failures.CommandFailed):
            raise answer
        # As it comes over the socket.
        return json.loads(json.dumps(answer))

    def follow(self, *arguments: str) -> Iterator[str]:
        for line in self.lines[arguments]:
            if isinstance(line, failures.CommandFailed):
                raise line
            yield line

    def stop(self) -> None:
        self.running = False

    def remove(self) -> None:
        self.running = self.installed = False
        self.removed = True

    def state(self) -> workload.State:
        if self.condition is not None:
            return self.condition
        why, cure = (str(self.refusal), self.refusal.cure) if self.refusal else ("", "")
        if not self.starts:
            activity = workload.Activity.ABSENT
            return workload.State(activity, None, self.carried, None, why, cure)
        if not self.running:
            return workload.State(workload.Activity.STOPPED, None, self.carried, None, why, cure)
        activity = workload.Activity.ACTIVE
        return workload.State(activity, self.carried, self.carried, None, why, cure)
