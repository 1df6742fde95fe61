import base64
import datetime
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import pytest

from boot_resources.demo import signing
from boot_resources.source import document, keyring
from support.keys import Keys

TEXT = b'{\n "a": 1,\n "dash":\n-2\n}\n'


def sign(
    keys: Keys, *who: str, payload: bytes = TEXT, at: datetime.datetime | None = None
) -> bytes:
    return keys.sign(*who, payload=payload, at=at)


def refusal(keys: Keys, signed: bytes) -> str:
    with pytest.raises(keyring.SignatureRefused) as caught:
        keys.ring.verify(signed, "streams/v1/index.sjson")
    assert isinstance(caught.value, document.DocumentRefused)
    assert caught.value.document == "streams/v1/index.sjson"
    assert caught.value.cure
    return str(caught.value)


def packets(signed: bytes) -> bytes:
    """Return the signature packets of a clear-signed document."""
    armour = signed.split(b"-----BEGIN PGP SIGNATURE-----")[1].split(b"-----END")[0]
    lines = [x for x in armour.split(b"\n\n", 1)[1].split(b"\n") if not x.startswith(b"=")]
    return base64.b64decode(b"".join(lines))


def with_packets(signed: bytes, signature: bytes) -> bytes:
    """Return the clear-signed document with other signature packets."""
    text = signed.split(b"-----BEGIN PGP SIGNATURE-----")[0]
    armour = base64.encodebytes(signature)
    begin, end = b"-----BEGIN PGP SIGNATURE-----\n\n", b"-----END PGP SIGNATURE-----\n"
    return text + begin + armour + end


def test_what_was_signed_is_returned(keys: Keys) -> None:
    assert keys.ring.verify(sign(keys, keys.good), "d") == TEXT


def test_white_space_around_the_document_is_allowed(keys: Keys) -> None:
    assert keys.ring.verify(b"\n" + sign(keys, keys.good) + b"\n \r\n", "d") == TEXT


def test_two_good_signatures_are_accepted(keys: Keys) -> None:
    assert keys.ring.verify(sign(keys, keys.good, keys.second), "d") == TEXT


@pytest.mark.parametrize("first", ["good", "stranger"])
def test_an_unknown_key_beside_a_good_one_is_accepted(keys: Keys, first: str) -> None:
    by = [keys.good, keys.stranger] if first == "good" else [keys.stranger, keys.good]
    parts = [packets(sign(keys, key)) for key in by]
    assert keys.ring.verify(with_packets(sign(keys, keys.good), b"".join(parts)), "d") == TEXT


@pytest.mark.parametrize("bad_first", [False, True])
@pytest.mark.parametrize("bad_by", ["good", "second"])
def test_a_bad_signature_beside_a_good_one_is_refused(
    keys: Keys, bad_by: str, bad_first: bool
) -> None:
    good = sign(keys, keys.good)
    bad = packets(sign(keys, getattr(keys, bad_by), payload=b"something else\n"))
    both = [bad, packets(good)] if bad_first else [packets(good), bad]
    assert "a signature on it is bad" in refusal(keys, with_packets(good, b"".join(both)))


def test_a_changed_text_is_refused(keys: Keys) -> None:
    changed = sign(keys, keys.good).replace(b'"a": 1', b'"a": 2')
    assert "a signature on it is bad" in refusal(keys, changed)


def test_an_unsigned_document_is_refused(keys: Keys) -> None:
    assert "it is not signed" in refusal(keys, TEXT)
    assert "it is not signed" in refusal(keys, b"")


def test_a_key_that_the_keyring_lacks_is_refused_and_named(keys: Keys) -> None:
    said = refusal(keys, sign(keys, keys.stranger))
    assert "a key that is not in the keyring" in said
    assert keys.stranger[-16:] in said


def test_a_key_that_has_expired_is_refused(keys: Keys) -> None:
    then = datetime.datetime(2020, 1, 5, tzinfo=datetime.UTC)
    assert "a key that has expired" in refusal(keys, sign(keys, keys.expired, at=then))


def test_a_key_that_was_revoked_is_refused(keys: Keys) -> None:
    # gpg no longer signs with it, so a signature from before the revocation is needed.
    with signing.Keychain() as chain:
        key = chain.new_key("soon revoked")
        signed = chain.clear_sign(TEXT, [key])
        assert keyring.Keyring(chain.export([key])).verify(signed, "d") == TEXT
        chain.revoke(key)
        ring = keyring.Keyring(chain.export([key]))
    with pytest.raises(keyring.SignatureRefused, match="a key that was revoked"):
        ring.verify(signed, "d")


def test_an_expired_key_beside_a_good_one_is_accepted(keys: Keys) -> None:
    then = datetime.datetime(2020, 1, 5, tzinfo=datetime.UTC)
    good, old = sign(keys, keys.good), sign(keys, keys.expired, at=then)
    assert keys.ring.verify(with_packets(good, packets(old) + packets(good)), "d") == TEXT


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda s: b"{}\n" + s, "does not begin as a clear-signed document"),
        (lambda s: s + b"{}\n", "does not end with its signature"),
        (lambda s: s + s, "not one signed text"),
        (lambda s: s.replace(b"Hash: ", b"NotDashEscaped: \nHash: ", 1), "before the signed text"),
        (lambda s: s.replace(b"Hash: ", b"{}\nHash: ", 1), "before the signed text"),
        (lambda s: s.replace(b'"a"', b'"\0a"'), "holds a NUL"),
        (lambda s: s[: s.index(b"-----BEGIN PGP SIGNATURE")], "does not end with its signature"),
        (lambda s: s[:-40], "does not end with its signature"),
    ],
)
def test_anything_but_one_signed_text_is_refused(
    keys: Keys, spoil: Callable[[bytes], bytes], why: str
) -> None:
    assert why in refusal(keys, spoil(sign(keys, keys.good)))


def test_an_ordinary_signed_message_is_refused(keys: Keys) -> None:
    signed = sign(keys, keys.good)
    message = signed.replace(b"-----BEGIN PGP SIGNED MESSAGE-----", b"-----BEGIN PGP MESSAGE-----")
    assert "it is not signed" in refusal(keys, message)


def test_a_line_longer_than_gpg_reads_is_refused(keys: Keys) -> None:
    signed = sign(keys, keys.good)
    text = signed.replace(b'"a": 1', b'"a": "' + b"x" * 19_000 + b'"')
    assert "which gpg does not read whole" in refusal(keys, text)


def test_garbage_for_a_signature_is_refused(keys: Keys) -> None:
    for garbage in (b"", b"\x00" * 40, b"\xff" * 40, b"not a packet"):
        refusal(keys, with_packets(sign(keys, keys.good), garbage))


def test_keyrings_are_read_armoured_and_binary_and_from_a_file(
    keys: Keys, tmp_path: pathlib.Path
) -> None:
    signed = sign(keys, keys.good)
    binary = keys.chain.export([keys.good])
    armoured = keys.chain.export([keys.good], armour=True)
    assert armoured.startswith(b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    path = tmp_path / "keyring.gpg"
    path.write_bytes(binary)
    rings = keyring.Keyring(binary), keyring.Keyring(armoured), keyring.Keyring.from_file(path)
    for ring in rings:
        assert ring.fingerprints == (keys.good,)
        assert ring.verify(signed, "d") == TEXT


def test_a_keyring_trusts_only_its_own_keys(keys: Keys) -> None:
    own = keyring.Keyring(keys.chain.export([keys.second]))
    with pytest.raises(keyring.SignatureRefused, match="not in the keyring"):
        own.verify(sign(keys, keys.good), "d")


def test_a_key_that_gpg_knows_from_elsewhere_is_not_enough(keys: Keys) -> None:
    ring = keyring.Keyring(keys.chain.export([keys.good, keys.second]))
    ring.fingerprints = (keys.second,)
    with pytest.raises(keyring.SignatureRefused, match="no signature of a key of the keyring"):
        ring.verify(sign(keys, keys.good), "d")


@pytest.mark.parametrize("data", [b"", b"\n", b"not a key", b"\x99\x01\x0d" * 20])
def test_a_keyring_without_a_key_is_refused(data: bytes) -> None:
    with pytest.raises(keyring.KeyringError, match="holds no OpenPGP public key") as caught:
        keyring.Keyring(data)
    assert "gpg --export" in caught.value.cure


def test_a_keyring_that_cannot_be_read_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(keyring.KeyringError, match=r"absent.gpg cannot be read: No such file"):
        keyring.Keyring.from_file(tmp_path / "absent.gpg")


def test_a_host_without_gpg_is_told_what_to_install(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(keyring.KeyringError, match="gpg is not installed") as caught:
        keyring.Keyring(b"")
    assert caught.value.cure == "run: apt install gpg"


def test_a_gpg_that_hangs_is_killed(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    # A gpg that answers everything but the question itself.
    hanging = tmp_path / "gpg"
    real = shutil.which("gpg")
    hanging.write_text(
        f'#!/bin/sh\nfor word; do [ "$word" = --decrypt ] && exec sleep 600; done\n'
        f'exec {real} "$@"\n'
    )
    hanging.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(keyring, "TIMEOUT", 1)
    refusal(keys, sign(keys, keys.good))


def test_nothing_is_left_behind(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    keys.ring.verify(sign(keys, keys.good), "d")
    refusal(keys, sign(keys, keys.stranger))
    assert list(tmp_path.iterdir()) == []
    left = [p for p in pathlib.Path("/proc").glob("[0-9]*/cmdline") if _names(p, tmp_path)]
    assert left == []


def _names(command: pathlib.Path, path: pathlib.Path) -> bool:
    try:
        return str(path).encode() in command.read_bytes()
    except OSError:
        return False
