"""Throw-away OpenPGP keys that sign the documents of a made-up source.

The keys live in a private directory and go with it. gpg starts an agent there to sign, which lasts
as long as the ``Keychain``: it ends when that is closed, is no longer used, or the process exits.
It is not ended in between, since gpg can fail to reach a new agent while the old one is leaving.
"""

import datetime
import pathlib
import shutil
import subprocess
import tempfile
import weakref
from collections.abc import Sequence

from boot_resources import errors

DAY = datetime.timedelta(days=1)


class Keychain:
    """Signing keys by fingerprint. Close it, or use it in a ``with`` block.

    Raises:
        errors.BootResourcesError: gpg is missing, or refuses.
    """

    def __init__(self) -> None:
        missing = [tool for tool in ("gpg", "gpg-agent") if shutil.which(tool) is None]
        if missing:
            cure = f"run: apt install {' '.join(missing)}"
            raise errors.BootResourcesError(f"{missing[0]} is not installed", cure)
        # The agent's socket lies in this directory, and its path may have 107 characters at most.
        short = "/tmp" if len(tempfile.gettempdir()) > 40 else None  # noqa: S108
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="br-key-", dir=short))
        self._end = weakref.finalize(self, _end, self._home)

    def close(self) -> None:
        """End the agent and remove the keys."""
        self._end()

    def __enter__(self) -> "Keychain":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def new_key(
        self,
        name: str,
        *,
        created: datetime.datetime | None = None,
        lifetime: datetime.timedelta | None = None,
    ) -> str:
        """Make an ed25519 key and return its fingerprint.

        Args:
            name: the user ID.
            created: when it claims to have been made; now, by default.
            lifetime: after which it expires, a day or more; never, by default.
        """
        expires = "0" if lifetime is None else f"{lifetime // DAY}d"
        passphrase = ("--pinentry-mode", "loopback", "--passphrase", "")
        command = ("--quick-generate-key", name, "ed25519", "sign", expires)
        done = self._gpg(*_at(created), "--status-fd", "1", *passphrase, *command)
        created_line = next(x for x in done.decode().splitlines() if " KEY_CREATED " in x)
        return created_line.split()[-1]

    def revoke(self, fingerprint: str) -> None:
        """Revoke the key: from now on an export says so."""
        prepared = self._home / "openpgp-revocs.d" / f"{fingerprint}.rev"
        # gpg spoils the certificate that it prepares with a colon, against use by mistake.
        self._gpg("--import", stdin=prepared.read_bytes().replace(b"\n:-----", b"\n-----"))

    def clear_sign(
        self,
        payload: bytes,
        fingerprints: Sequence[str],
        *,
        at: datetime.datetime | None = None,
    ) -> bytes:
        """Return ``payload`` signed by each of the keys, as if at the time ``at``."""
        signers = [word for f in fingerprints for word in ("--local-user", f)]
        return self._gpg(*_at(at), *signers, "--clear-sign", stdin=payload)

    def export(self, fingerprints: Sequence[str], *, armour: bool = False) -> bytes:
        """Return the public keys, binary or armoured."""
        return self._gpg(*(("--armor",) if armour else ()), "--export", *fingerprints)

    def _gpg(self, *words: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self._home), "--no-options", "--batch", "--no-tty"]
        done = subprocess.run(
            [*command, "--quiet", *words], input=stdin, capture_output=True, check=False
        )
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise errors.BootResourcesError(f"gpg failed: {said}")
        return done.stdout


def _end(home: pathlib.Path) -> None:
    """End the agent of ``home``, if there is one, and remove the directory."""
    command = ["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"]
    subprocess.run(command, capture_output=True, check=False)
    shutil.rmtree(home, ignore_errors=True)


def _at(moment: datetime.datetime | None) -> list[str]:
    if moment is None:
        return []
    return ["--faked-system-time", f"{moment.astimezone(datetime.UTC):%Y%m%dT%H%M%S}!"]
