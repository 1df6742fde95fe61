"""Attacks on the signatures of the feed: who signed it, and what of it is signed."""

import base64
import datetime
import struct
import zlib
from collections.abc import Callable

import pytest

from boot_resources import units
from boot_resources.demo import signed_source, signing
from boot_resources.source import keyring
from support import feed as feeds
from support.feed import DOCUMENT, INDEX, Feed

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
EITHER = pytest.mark.parametrize("path", [INDEX, DOCUMENT])
_BEGIN, _END = b"-----BEGIN PGP SIGNATURE-----", b"-----END PGP SIGNATURE-----"


def packets(signed: bytes) -> bytes:
    """Return the signature packets of a clear-signed document."""
    armour = signed.split(_BEGIN)[1].split(_END)[0]
    lines = [line for line in armour.split(b"\n\n", 1)[1].split(b"\n") if line[:1] != b"="]
    return base64.b64decode(b"".join(lines))


def with_packets(signed: bytes, *signatures: bytes) -> bytes:
    """Return the clear-signed document with other signature packets."""
    armour = base64.encodebytes(b"".join(signatures))
    return signed.split(_BEGIN)[0] + _BEGIN + b"\n\n" + armour + _END + b"\n"


@EITHER
def test_an_unsigned_document_is_refused(feed: Feed, path: str) -> None:
    feed.write(path, feed.source.documents(feed.date + feeds.MINUTE)[feeds.plain(path)])
    feed.refuses(path, keyring.SignatureRefused, "it is not signed")


@EITHER
def test_a_key_that_is_not_in_the_keyring_is_refused(feed: Feed, path: str) -> None:
    stranger = feed.source.keychain.new_key(f"A stranger at {path}")
    feed.sign(path, feed.document(path), stranger)
    feed.refuses(path, keyring.SignatureRefused, f"not in the keyring ({stranger[-16:]})")


def test_a_key_that_has_expired_is_refused(feed: Feed) -> None:
    chain = feed.source.keychain
    expired = chain.new_key("expired", created=LONG_AGO, lifetime=30 * feeds.DAY)
    feed.trust(chain.export([feed.source.key, expired]))
    payload = signed_source.encode(feed.document(DOCUMENT))
    feed.write(DOCUMENT, chain.clear_sign(payload, [expired], at=LONG_AGO + feeds.DAY))
    feed.refuses(DOCUMENT, keyring.SignatureRefused, "a key that has expired")


def test_a_key_that_was_revoked_is_refused(feed: Feed) -> None:
    chain = feed.source.keychain
    soon_revoked = chain.new_key("soon revoked")
    feed.trust(chain.export([feed.source.key, soon_revoked]))
    feed.sign(DOCUMENT, feed.document(DOCUMENT), soon_revoked)
    feed.sync()
    assert feed.status() == []
    # gpg signs with it no more once it is revoked: whoever stole it has no such scruples.
    feed.sign(DOCUMENT, feed.document(DOCUMENT), soon_revoked)
    chain.revoke(soon_revoked)
    feed.trust(chain.export([feed.source.key, soon_revoked]))
    feed.refuses(DOCUMENT, keyring.SignatureRefused, "a key that was revoked")


def test_an_unknown_key_beside_a_good_one_is_accepted(feed: Feed) -> None:
    stranger = feed.source.keychain.new_key("The next key")
    feed.sign(DOCUMENT, feed.document(DOCUMENT), feed.source.key, stranger)
    feed.sync()
    assert feed.status() == []
    assert feed.held().accepted[DOCUMENT][0] == feed.date


def test_a_bad_signature_beside_a_good_one_of_the_same_keyring_is_refused(feed: Feed) -> None:
    chain = feed.source.keychain
    second = chain.new_key("A second key")
    feed.trust(chain.export([feed.source.key, second]))
    good = feed.sign(DOCUMENT, feed.document(DOCUMENT))
    bad = chain.clear_sign(b"something else\n", [second])
    feed.write(DOCUMENT, with_packets(good, packets(good), packets(bad)))
    feed.refuses(DOCUMENT, keyring.SignatureRefused, "a signature on it is bad")


@EITHER
def test_a_text_that_was_changed_is_refused(feed: Feed, path: str) -> None:
    signed = feed.sign(path, feed.document(path))
    feed.write(path, signed.replace(b"image-ids", b"image-idx"))
    feed.refuses(path, keyring.SignatureRefused, "a signature on it is bad")


EVIL = b'{"format": "products:1.0", "products": {}}\n'


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda signed: EVIL + signed, "does not begin as a clear-signed document"),
        (lambda signed: signed + EVIL, "does not end with its signature"),
        (lambda signed: signed.replace(b"Hash: ", EVIL + b"Hash: ", 1), "before the signed text"),
        (
            lambda signed: signed.replace(_BEGIN, _BEGIN + b"\n" + _END + EVIL + _BEGIN),
            "one block",
        ),
        (lambda signed: signed + signed, "not one signed text"),
        (lambda signed: signed.replace(b"products", b"pro\0ducts", 1), "it holds a NUL"),
    ],
    ids=["before", "after", "header", "between", "twice", "nul"],
)
def test_text_around_the_signed_part_is_refused(
    feed: Feed, spoil: Callable[[bytes], bytes], why: str
) -> None:
    feed.write(DOCUMENT, spoil(feed.sign(DOCUMENT, feed.document(DOCUMENT))))
    feed.refuses(DOCUMENT, keyring.SignatureRefused, why)


@pytest.mark.parametrize("ends", [b"\r\n", b" \t\n", b"\r\r\n"], ids=["crlf", "blanks", "crcrlf"])
def test_other_ends_of_lines_do_not_make_another_document(feed: Feed, ends: bytes) -> None:
    # They are not signed. Were they taken for another document, then the honest one of the same
    # date would be refused after it, and with it everything until a newer one is published.
    honest = feed.sign(DOCUMENT, feed.document(DOCUMENT))
    text, mark, signature = honest.partition(_BEGIN)
    feed.write(DOCUMENT, text.replace(b"\n", ends) + mark + signature)
    feed.sync()
    assert feed.status() == []
    before = feed.held()
    assert before.accepted[DOCUMENT][0] == feed.date
    feed.write(DOCUMENT, honest)
    feed.sync()
    assert feed.status() == []
    assert feed.held() == before


def test_what_is_packed_among_the_signatures_is_not_unpacked(feed: Feed) -> None:
    def packet(tag: int, body: bytes) -> bytes:
        return bytes([0xC0 | tag, 255]) + struct.pack(">I", len(body)) + body

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    literal = packet(11, b"b\0\0\0\0\0" + bytes(64 * units.MIB))
    bomb = packet(8, b"\x01" + packer.compress(literal) + packer.flush())
    signed = feed.sign(DOCUMENT, feed.document(DOCUMENT))
    feed.write(DOCUMENT, with_packets(signed, bomb, packets(signed)))
    feed.refuses(DOCUMENT, keyring.SignatureRefused, "no signature of a key of the keyring")


def test_a_source_that_is_not_signed_is_read_only_where_an_operator_allows_it(
    own_feed: Feed,
) -> None:
    own_feed.trust(None)
    own_feed.sync()
    assert own_feed.status() == []
    with signing.Keychain() as chain:
        own_feed.trust(chain.export([chain.new_key("Nobody's")]))
    own_feed.sync()
    own_feed.says(INDEX, "a key that is not in the keyring")
    assert own_feed.held().available == feeds.FIRST_IMAGES
