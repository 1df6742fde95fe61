"""Attacks by the server, or by whoever is between: too much, too slow, elsewhere, not HTTP."""

import gzip
import itertools
import time
from collections.abc import Callable, Iterator, Mapping

import pytest

from boot_resources import units
from boot_resources.demo import origin
from boot_resources.source import failures, keyring
from support import feed as feeds
from support.feed import DOCUMENT, INDEX, Feed

EITHER = pytest.mark.parametrize("path", [INDEX, DOCUMENT])
CHUNKED = {"Transfer-Encoding": "chunked"}


def slowly(*pieces: bytes, then: bytes = b"x") -> Iterator[bytes]:
    """Yield the pieces, and then a little now and then, without end."""
    yield from pieces
    while True:
        yield then
        time.sleep(0.02)


@EITHER
def test_endless_data_is_left_at_the_limit(feed: Feed, path: str) -> None:
    feed.answer(path, lambda: origin.Reply(body=itertools.repeat(b"x" * 5000)))
    feed.refuses(path, failures.TooLarge, f"more than {feeds.PATIENT.document} bytes")


def test_a_document_that_announces_a_gibibyte_is_not_read(feed: Feed) -> None:
    announced = {"Content-Length": str(units.GIB)}
    feed.answer(DOCUMENT, lambda: origin.Reply(200, announced, itertools.repeat(b"x" * 5000)))
    feed.refuses(DOCUMENT, failures.TooLarge, f"it has {units.GIB} bytes; the limit is")


@EITHER
def test_a_trickle_is_given_up(feed: Feed, path: str) -> None:
    feed.answer(path, lambda: origin.Reply(body=slowly()))
    feed.refuses(path, failures.TooSlow, "it sent less than", limits=feeds.IMPATIENT)


@pytest.mark.parametrize(
    "frame",
    [
        lambda: slowly(then=b"0"),
        lambda: slowly(b"1\r\nx\r\n0\r\n", then=b"Trailer: x\r\n"),
    ],
    ids=["length", "trailers"],
)
def test_a_trickle_between_the_chunks_of_a_body_is_given_up(
    feed: Feed, frame: Callable[[], Iterator[bytes]]
) -> None:
    feed.answer(DOCUMENT, lambda: origin.Reply(200, CHUNKED, frame()))
    why = "nothing came within the time limit"
    feed.refuses(DOCUMENT, failures.Interrupted, why, limits=feeds.IMPATIENT)


def test_a_server_that_falls_silent_is_given_up(feed: Feed) -> None:
    def silent() -> Iterator[bytes]:
        yield b"-----BEGIN PGP SIGNED MESSAGE-----\n"
        time.sleep(2)

    feed.answer(DOCUMENT, lambda: origin.Reply(200, {"Content-Length": "99"}, silent()))
    why = "nothing came within the time limit"
    feed.refuses(DOCUMENT, failures.Interrupted, why, limits=feeds.IMPATIENT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "gzip, identity"])
def test_a_compressed_body_is_refused_unread(feed: Feed, encoding: str) -> None:
    bomb = gzip.compress(bytes(units.MIB))
    feed.answer(DOCUMENT, lambda: origin.Reply(200, {"Content-Encoding": encoding}, [bomb]))
    feed.refuses(DOCUMENT, failures.BadReply, f"it sends the encoding {encoding!r}")


@pytest.mark.parametrize(
    ("reply", "kind", "why"),
    [
        (lambda: origin.Reply(206, {}, [b"x"]), failures.BadReply, "answers 206, not 200"),
        (lambda: origin.Reply(204), failures.BadReply, "answers 204, not 200"),
        (lambda: origin.Reply(300), failures.BadReply, "answers 300, not 200"),
        (lambda: origin.Reply(404), failures.SourceRefused, "it answers 404"),
        (lambda: origin.Reply(503), failures.SourceUnreachable, "it answers 503: not now"),
        (lambda: origin.Cut(10), failures.Interrupted, "it broke off after 10 bytes"),
        (
            lambda: origin.Reply(200, {"Content-Length": "9"}, [b"x"]),
            failures.Interrupted,
            "it broke off after 1 bytes",
        ),
        (
            lambda: origin.Reply(200, {"Content-Length": "5"}, [b"-----BEGIN"]),
            keyring.SignatureRefused,
            "it is not signed",
        ),
        (
            lambda: origin.Reply(200, CHUNKED, [b"not hexadecimal\r\n"]),
            failures.Interrupted,
            "the connection was lost",
        ),
        (
            lambda: origin.Reply(200, {f"X-{n}": "y" for n in range(200)}),
            failures.SourceUnreachable,
            "no connection",
        ),
        (
            lambda: origin.Reply(200, {"X": "y" * 70_000}),
            failures.SourceUnreachable,
            "no connection",
        ),
    ],
    ids=[
        *("a part", "no content", "a choice", "404", "503", "a cut", "longer", "shorter"),
        *("not chunks", "many headers", "a long header"),
    ],
)
def test_an_answer_that_is_none_is_refused(
    feed: Feed,
    reply: Callable[[], origin.Reply | origin.Cut],
    kind: type[failures.FetchError],
    why: str,
) -> None:
    feed.sign(DOCUMENT, feed.document(DOCUMENT))
    feed.answer(DOCUMENT, reply)
    feed.refuses(DOCUMENT, kind, why)


# Redirects.


def redirecting(
    target: str, body: Callable[[], Iterator[bytes]] = lambda: iter(())
) -> origin.Hook:
    """Redirect whoever asks for the document, to an address which does not answer."""

    def answer(asked: origin.Request) -> origin.Reply | None:
        if asked.path != f"/{DOCUMENT}":
            return None
        return origin.Reply(302, {"Location": target}, body())

    return answer


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "https://127.0.0.1/x", "data:,x"]
)
def test_a_redirect_to_another_scheme_is_refused(feed: Feed, target: str) -> None:
    feed.server.on_request = redirecting(target)
    why = f"it redirects to another scheme, {target}"
    feed.refuses(DOCUMENT, failures.RedirectRefused, why)


@pytest.mark.parametrize(
    ("operator", "target", "kind"),
    [
        ("93.184.216.34", "127.0.0.1", "loopback"),
        ("93.184.216.34", "10.0.0.1", "private"),
        ("93.184.216.34", "169.254.169.254", "link-local"),
        ("10.0.0.5", "127.0.0.1", "loopback"),
        ("10.0.0.5", "169.254.169.254", "link-local"),
        ("10.0.0.5", "::ffff:127.0.0.1", "loopback"),
    ],
)
def test_a_redirect_to_a_private_address_that_the_operator_did_not_name_is_refused(
    feed: Feed, operator: str, target: str, kind: str
) -> None:
    # The source is on loopback, as everything here; the region is told that it is elsewhere.
    addresses: Mapping[str, str] = {"127.0.0.1": operator, "sneaky.example": target}
    feed.server.on_request = redirecting("http://sneaky.example/latest/meta-data")
    feed.refuses(
        DOCUMENT,
        failures.RedirectRefused,
        f"it redirects to a {kind} address, http://sneaky.example/latest/meta-data",
        resolve=lambda host: frozenset({addresses[host]}),
    )


def test_a_redirect_in_a_circle_is_refused(feed: Feed) -> None:
    feed.server.on_request = redirecting(f"/{DOCUMENT}")
    feed.refuses(DOCUMENT, failures.RedirectRefused, "it redirects more than 5 times")


@pytest.mark.parametrize(
    "target", ["http://[::1/", "http://\xff\xfe/", "http://\xe2\x84\x80/", "http://x\x1b[2J/"]
)
def test_a_redirect_to_what_is_no_url_is_refused(feed: Feed, target: str) -> None:
    feed.server.on_request = redirecting(target)
    before = feed.held()
    feed.sync()
    assert isinstance(feed.error(DOCUMENT), failures.FetchError)
    feed.says(DOCUMENT)
    assert feed.held() == before
    feed.recovers(DOCUMENT)


def test_the_body_of_a_redirect_is_not_read(feed: Feed) -> None:
    # It may be endless, or a bomb; nobody needs it.
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += units.MIB
            yield bytes(units.MIB)

    feed.server.on_request = redirecting(f"/{DOCUMENT}", endless)
    feed.refuses(DOCUMENT, failures.RedirectRefused, "it redirects more than 5 times")
    # What fits into the sockets' buffers may have gone out.
    assert sent < 100 * units.MIB


def test_the_name_of_a_redirect_does_not_fill_the_status(feed: Feed) -> None:
    feed.server.on_request = redirecting(f"ftp://127.0.0.1/{'x' * 60_000}\x1b[2J")
    feed.refuses(DOCUMENT, failures.RedirectRefused, "it redirects to another scheme, ftp://")
