"""What a key of this source's own keyring has signed, and nothing else.

``Keyring.verify`` takes a clear-signed document and returns the text that gpg, given only this
keyring, says was signed, in the one spelling that the signature stands for. The input itself is
never parsed: of it we look at the frame alone, so that nothing can stand before, after or between.

The rule for signatures: at least one good one by a key of the keyring that is neither expired nor
revoked. One by a key that the keyring lacks may stand beside it, since keys are rolled so. A bad
signature refuses the document, whatever stands beside it.

gpg runs in a private directory that is gone when the call returns, starts no agent, asks no key
server, and is killed where it takes longer than ``TIMEOUT``.
"""

import dataclasses
import itertools
import logging
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import ClassVar, NoReturn

import gnupg

from boot_resources import errors
from boot_resources.source import document

TIMEOUT = 60
"""Seconds that gpg may take for one document."""

_HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_TAIL = b"-----END PGP SIGNATURE-----"
# gpg cuts a line of text off after 19,994 bytes (GnuPG, g10/armor.c), so that what it returns
# would not be the whole document. Streams are written with one value a line.
_MAX_LINE = 19_000

_OPTIONS = [
    "--no-options",
    "--no-autostart",
    "--disable-dirmngr",
    "--no-auto-key-retrieve",
    "--no-auto-key-locate",
    "--no-auto-check-trustdb",
    "--trust-model",
    "always",
]

# python-gnupg logs every refused document as a warning of its own; ours says more.
logging.getLogger("gnupg").setLevel(logging.ERROR)


_GIVEN_TO_GPG = re.compile(r"PATH|TMPDIR|LANG|LC_[A-Z]+")
"""Names of the variables of our environment that gpg gets: where its parts are, where temporary
files go, and in which encoding names are written."""


class KeyringError(errors.SettingsError):
    """The keyring of a source cannot be used."""


class SignatureRefused(document.DocumentRefused):
    """A document is not signed as this source's keyring demands."""


class Keyring:
    """The keys of one boot source.

    Args:
        data: OpenPGP public keys, armoured or binary.
        origin: where they are from, for what is said about them.

    Raises:
        KeyringError: there is no key in it, or no gpg on this host.
    """

    def __init__(self, data: bytes, origin: str = "the keyring") -> None:
        self._data = data
        self._origin = origin
        with _Gpg() as gpg:
            self.fingerprints = gpg.import_public(data, origin)
            """Of the primary keys, in upper-case hexadecimal digits."""

    @classmethod
    def from_file(cls, path: pathlib.Path) -> "Keyring":
        """Return the keyring that the file holds.

        Raises:
            KeyringError: the file cannot be read, or holds no key.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise KeyringError(
                f"the keyring {path} cannot be read: {error.strerror}",
                "name the file that holds the public keys of the boot source",
            ) from None
        return cls(data, f"the keyring {path}")

    def verify(self, signed: bytes, name: str) -> bytes:
        """Return what was signed in the clear-signed document ``signed``.

        Args:
            signed: the whole document, as fetched.
            name: its path, for what is said about it.

        Raises:
            SignatureRefused: the rule at the top of this module is not met; says which part.
            KeyringError: gpg is no longer there.
        """
        _check_frame(signed, name)
        with _Gpg() as gpg:
            gpg.import_public(self._data, self._origin)
            reply = gpg.decrypt(signed)
        _check_signatures(reply.events, self.fingerprints, name)
        if reply.returncode not in (0, _UNKNOWN_KEY_BESIDE):
            _refuse(name, f"gpg refused it with status {reply.returncode}")
        return _canonical(bytes(reply.data))


_UNKNOWN_KEY_BESIDE = 2
"""What gpg exits with where it could not check one of the signatures."""


@dataclasses.dataclass(frozen=True)
class Event:
    """One line that gpg reported, for example ``GOODSIG`` and the key it is about."""

    keyword: str
    value: str


class _Reply(gnupg.Crypt):  # type: ignore[misc]
    """What gpg said and returned; keeps every status line, where gnupg keeps the last."""

    def __init__(self, gpg: gnupg.GPG) -> None:
        super().__init__(gpg)
        self.events: list[Event] = []

    def handle_status(self, key: str, value: str) -> None:
        self.events.append(Event(key, value))
        super().handle_status(key, value)


class _BoundedGpg(gnupg.GPG):  # type: ignore[misc]
    """gpg that is killed where it hangs: python-gnupg itself waits for ever."""

    result_map: ClassVar = {**gnupg.GPG.result_map, "crypt": _Reply}

    def make_args(self, args: list[str], passphrase: str | None) -> list[str]:
        return ["timeout", "--signal=KILL", str(TIMEOUT), *super().make_args(args, passphrase)]


def _environment() -> dict[str, str]:
    """Return what gpg needs of ours: the rest may hold passwords of whatever kind."""
    return {name: value for name, value in os.environ.items() if _GIVEN_TO_GPG.fullmatch(name)}


class _Gpg:
    """gpg in a private directory, for as long as the ``with`` block lasts."""

    def __enter__(self) -> "_Gpg":
        binary = shutil.which("gpg")
        if binary is None:
            raise KeyringError(
                "gpg is not installed, and without it no signature can be checked",
                "run: apt install gpg",
            )
        self._home = tempfile.TemporaryDirectory(prefix="boot-resources-gpg-")
        self._gpg = _BoundedGpg(
            gpgbinary=binary, gnupghome=self._home.name, options=_OPTIONS, env=_environment()
        )
        self._gpg.buffer_size = 64 * 1024
        return self

    def __exit__(self, *_: object) -> None:
        self._home.cleanup()

    def import_public(self, data: bytes, origin: str) -> tuple[str, ...]:
        """Import ``data`` and return the fingerprints of the primary keys it held."""
        result = self._gpg.import_keys(data)
        fingerprints = tuple(dict.fromkeys(f for f in result.fingerprints if f))
        if not fingerprints:
            raise KeyringError(
                f"{origin} holds no OpenPGP public key",
                "give the source's public keys, as a file of gpg --export, armoured or not; check "
                "this host's clock, too: keys that it puts into the future do not count",
            )
        return fingerprints

    def decrypt(self, signed: bytes) -> _Reply:
        """Return gpg's reading of a signed document: ``--decrypt`` writes what was signed."""
        reply = self._gpg.decrypt(signed)
        assert isinstance(reply, _Reply)
        return reply


def _check_frame(signed: bytes, name: str) -> None:
    """Refuse what is not one clear-signed text from its first byte to its last.

    Only the frame is looked at. Inside the text a line that begins with a dash is escaped, so that
    none of these lines can stand there (RFC 9580, section 7.2). Nobody has vouched for these bytes
    yet, so nothing is made of them that would take more memory than they do.
    """
    framed = b"\n" + signed.strip(b" \t\r\n")
    if _line_at(framed, 1) != _HEAD:
        _refuse(name, "it does not begin as a clear-signed document; it is not signed")
    if _line_at(framed, framed.rfind(b"\n") + 1) != _TAIL:
        _refuse(name, "it does not end with its signature")
    if list(itertools.islice(_marks(framed), 4)) != [_HEAD, _SIGNATURE, _TAIL]:
        _refuse(name, "it is not one signed text with one block of signatures")
    if not all(header.startswith(b"Hash: ") for header in _headers(framed)):
        _refuse(name, "something stands before the signed text")
    if b"\0" in framed:
        _refuse(name, "it holds a NUL")
    if _has_a_line_longer_than(_MAX_LINE, framed):
        _refuse(name, f"a line is longer than {_MAX_LINE} bytes, which gpg does not read whole")


def _line_at(text: bytes, start: int) -> bytes:
    end = text.find(b"\n", start)
    return text[start : len(text) if end < 0 else end].rstrip(b" \t\r")


def _marks(framed: bytes) -> Iterator[bytes]:
    """Yield the lines that begin as those of a frame do."""
    place = framed.find(b"\n-----")
    while place >= 0:
        yield _line_at(framed, place + 1)
        place = framed.find(b"\n-----", place + 1)


def _headers(framed: bytes) -> Iterator[bytes]:
    """Yield the lines between the head and the empty line before the text."""
    place = framed.find(b"\n", 1)
    while place >= 0 and (line := _line_at(framed, place + 1)):
        yield line
        place = framed.find(b"\n", place + 1)


def _has_a_line_longer_than(limit: int, text: bytes) -> bool:
    start = 0
    while start + limit < len(text):
        end = text.rfind(b"\n", start, start + limit + 1)
        if end < 0:
            return True
        start = end + 1
    return False


def _canonical(text: bytes) -> bytes:
    """Return ``text`` as it was signed: no blanks at the ends of lines, LF between them.

    A signature of a text covers neither (RFC 9580, sections 5.2.1.2 and 7.2), so whoever is on
    the way can change them. Two spellings of one signed text must not be two documents: the guard
    would take the honest one for a forgery of the same date.
    """
    return b"\n".join(line.rstrip(b" \t\r") for line in text.split(b"\n"))


def _check_signatures(events: Iterable[Event], fingerprints: Iterable[str], name: str) -> None:
    """Refuse a document unless ``events``, all that gpg reported of it, meet the rule."""
    signatures = list(_by_signature(events))
    keywords = [event.keyword for signature in signatures for event in signature]
    if "BADSIG" in keywords:
        _refuse(name, "a signature on it is bad: the text is not what was signed")
    if any(_is_good(signature, set(fingerprints)) for signature in signatures):
        return
    reasons = {
        "REVKEYSIG": "it is signed with a key that was revoked",
        "EXPKEYSIG": "it is signed with a key that has expired",
        "EXPSIG": "its signature has expired",
        "NO_PUBKEY": "it is signed with a key that is not in the keyring",
        "ERRSIG": "its signature is of a kind that gpg cannot check",
    }
    found = [reasons[keyword] for keyword in reasons if keyword in keywords]
    keys = sorted({event.value for s in signatures for event in s if event.keyword == "NO_PUBKEY"})
    which = f" ({', '.join(keys)})" if keys else ""
    _refuse(
        name, f"{found[0]}{which}" if found else "no signature of a key of the keyring is on it"
    )


def _by_signature(events: Iterable[Event]) -> Iterator[list[Event]]:
    """Yield the events of each signature; gpg begins each with ``NEWSIG``."""
    current: list[Event] = []
    for event in events:
        if event.keyword == "NEWSIG":
            yield current
            current = []
        current.append(event)
    yield current


def _is_good(signature: list[Event], fingerprints: set[str]) -> bool:
    """Return whether gpg called it good *and* valid, by one of these primary keys.

    An expired or revoked key gives VALIDSIG too, but never GOODSIG (GnuPG, doc/DETAILS). Whose
    key it was is checked although gpg was given no others: a host's own configuration of gpg
    might name more.
    """
    good = any(event.keyword == "GOODSIG" for event in signature)
    # The last word of VALIDSIG is the fingerprint of the primary key.
    signers = {event.value.split()[-1] for event in signature if event.keyword == "VALIDSIG"}
    return good and not signers.isdisjoint(fingerprints)


def _refuse(name: str, why: str) -> NoReturn:
    raise SignatureRefused(
        name, why, cure="check the keyring and the URL of the source; what was accepted stays"
    )
