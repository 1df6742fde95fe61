"""The fetcher against real servers on loopback: honest ones, broken ones, hostile ones."""

import contextlib
import datetime
import hashlib
import http.server
import itertools
import logging
import socketserver
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from boot_resources import units
from boot_resources.demo import origin, payloads
from boot_resources.source import failures, fetch, retrying

SIZE = 3 * units.MIB + 17
PAYLOAD = payloads.Payload("fetch", SIZE).read()
NO_WAIT = retrying.Policy(attempts=3, sleep=lambda _: None)
TIGHT = fetch.Limits(
    document=1000, document_seconds=0.4, connect=1, read=0.5, min_rate=1000, window=0.2
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[origin.Origin]:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "d.json").write_bytes(b"document")
    (tmp_path / "payload").write_bytes(PAYLOAD)
    (tmp_path / "empty").write_bytes(b"")
    with origin.Origin(tmp_path) as server:
        yield server


@pytest.fixture
def fetcher() -> Iterator[fetch.Fetcher]:
    with fetch.Fetcher(policy=NO_WAIT) as found:
        yield found


@pytest.fixture
def tight() -> Iterator[fetch.Fetcher]:
    with fetch.Fetcher(policy=NO_WAIT, limits=TIGHT) as found:
        yield found


def read(
    fetcher: fetch.Fetcher,
    url: str,
    start: int,
    stop: int,
    size: int = SIZE,
    validator: fetch.Validators | None = None,
) -> tuple[int, bytes]:
    with fetcher.open_range(url, start, stop, size=size, validator=validator) as reply:
        return reply.start, b"".join(reply.chunks)


def drain(reply: fetch.RangeReply, received: bytearray) -> None:
    for chunk in reply.chunks:
        received += chunk


def answering(reply: origin.Reply) -> Callable[[origin.Request], origin.Reply]:
    return lambda _: reply


# Documents.


def test_a_document_is_fetched_and_then_known(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    url = served.url + "streams/d.json"
    first = fetcher.get_document(url)
    assert isinstance(first, fetch.Fetched)
    assert first.body == b"document"
    assert fetcher.get_document(url, known=first.validators) == fetch.NotModified()
    assert served.document_bytes == len(b"document")


@pytest.mark.parametrize("known", ["etag", "last_modified"])
def test_either_validator_alone_is_enough(
    served: origin.Origin, fetcher: fetch.Fetcher, known: str
) -> None:
    url = served.url + "streams/d.json"
    first = fetcher.get_document(url)
    assert isinstance(first, fetch.Fetched)
    one = fetch.Validators(**{known: getattr(first.validators, known)})
    assert fetcher.get_document(url, known=one) == fetch.NotModified()


def test_a_document_that_changed_is_fetched_again(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    url = served.url + "streams/d.json"
    first = fetcher.get_document(url)
    assert isinstance(first, fetch.Fetched)
    (served.directory / "streams" / "d.json").write_bytes(b"another document")
    second = fetcher.get_document(url, known=first.validators)
    assert isinstance(second, fetch.Fetched)
    assert second.body == b"another document"


def test_a_server_that_says_unchanged_without_being_asked_is_refused(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    served.on_request = answering(origin.Reply(304))
    with pytest.raises(failures.BadReply, match="answers 304"):
        fetcher.get_document(served.url + "streams/d.json")


def test_a_document_that_announces_too_much_is_not_read(
    served: origin.Origin, tight: fetch.Fetcher
) -> None:
    with pytest.raises(failures.TooLarge, match=f"it has {SIZE} bytes; the limit is 1000"):
        tight.get_document(served.url + "payload")
    assert len(served.requests) == 1


def test_endless_data_is_left_at_the_limit(served: origin.Origin, tight: fetch.Fetcher) -> None:
    served.on_request = answering(origin.Reply(body=itertools.repeat(b"x" * 100)))
    with pytest.raises(failures.TooLarge, match="more than 1000 bytes"):
        tight.get_document(served.url + "streams/d.json")
    assert len(served.requests) == 1


def test_a_document_of_exactly_the_limit_is_read(
    served: origin.Origin, tight: fetch.Fetcher
) -> None:
    served.on_request = answering(origin.Reply(body=[b"x" * 1000]))
    assert tight.get_document(served.url + "streams/d.json") == fetch.Fetched(
        b"x" * 1000, fetch.Validators()
    )


def slowly(piece: bytes, pause: float) -> Iterator[bytes]:
    while True:
        yield piece
        time.sleep(pause)


def test_a_trickle_is_given_up(served: origin.Origin, tight: fetch.Fetcher) -> None:
    served.on_request = answering(origin.Reply(body=slowly(b"x", 0.02)))
    with pytest.raises(failures.TooSlow, match="less than 1000 bytes a second over"):
        tight.get_document(served.url + "streams/d.json")


def test_a_document_that_takes_too_long_is_given_up(served: origin.Origin) -> None:
    served.on_request = answering(origin.Reply(body=slowly(b"x" * 10, 0.02)))
    limits = fetch.Limits(document_seconds=0.3, min_rate=1, window=5)
    with fetch.Fetcher(policy=NO_WAIT, limits=limits) as patient:
        with pytest.raises(failures.TooSlow, match=r"did not end within 0\.3 seconds"):
            patient.get_document(served.url + "streams/d.json")


def test_a_server_that_falls_silent_is_asked_again_and_then_given_up(
    served: origin.Origin, tight: fetch.Fetcher
) -> None:
    served.on_request = lambda _: origin.Reply(body=slowly(b"x", 5))
    with pytest.raises(failures.Interrupted, match="nothing came within the time limit"):
        tight.get_document(served.url + "streams/d.json")
    assert len(served.requests) == NO_WAIT.attempts


def test_a_document_that_breaks_off_is_fetched_again_whole(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    answers: list[origin.Cut | None] = [origin.Cut(3), None]
    served.on_request = lambda _: answers.pop(0)
    fetched = fetcher.get_document(served.url + "streams/d.json")
    assert isinstance(fetched, fetch.Fetched)
    assert fetched.body == b"document"
    assert served.document_bytes == 3 + len(b"document")


@pytest.mark.parametrize("encoding", ["gzip", "br", "x-unknown"])
def test_an_encoded_body_is_refused_unread(
    served: origin.Origin, fetcher: fetch.Fetcher, encoding: str
) -> None:
    served.on_request = answering(origin.Reply(headers={"Content-Encoding": encoding}))
    with pytest.raises(failures.BadReply, match="it sends the encoding"):
        fetcher.get_document(served.url + "streams/d.json")
    assert served.requests[0].headers["Accept-Encoding"] == "identity"


# Refusals and retries.


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_server_that_says_not_now_is_asked_again(
    served: origin.Origin, fetcher: fetch.Fetcher, status: int
) -> None:
    answers: list[origin.Reply | None] = [origin.Reply(status), origin.Reply(status), None]
    served.on_request = lambda _: answers.pop(0)
    assert isinstance(fetcher.get_document(served.url + "streams/d.json"), fetch.Fetched)
    assert len(served.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_server_that_says_no_is_not_asked_again(
    served: origin.Origin, fetcher: fetch.Fetcher, status: int
) -> None:
    served.on_request = answering(origin.Reply(status))
    with pytest.raises(failures.SourceRefused, match=f"it answers {status}"):
        fetcher.get_document(served.url + "streams/d.json")
    assert len(served.requests) == 1


def test_a_server_s_own_wish_to_wait_counts(served: origin.Origin) -> None:
    answers: list[origin.Reply | None] = [origin.Reply(503, {"Retry-After": "17"}), None]
    served.on_request = lambda _: answers.pop(0)
    slept: list[float] = []
    with fetch.Fetcher(policy=retrying.Policy(sleep=slept.append)) as fetcher:
        fetcher.get_document(served.url + "streams/d.json")
    assert slept == [17.0]


def test_a_source_that_is_down_is_named_with_a_cure(fetcher: fetch.Fetcher) -> None:
    with pytest.raises(failures.SourceUnreachable, match="no connection") as caught:
        fetcher.get_document("http://127.0.0.1:9/streams/d.json")
    assert caught.value.cure


def test_a_password_is_sent_to_the_source_and_shown_to_nobody(
    served: origin.Origin, fetcher: fetch.Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = served.url.replace("//", "//user:s3cret@")
    fetcher.get_document(url + "streams/d.json")
    assert served.requests[0].headers["Authorization"].startswith("Basic ")
    served.on_request = answering(origin.Reply(500))
    with pytest.raises(failures.SourceUnreachable) as caught:
        fetcher.get_document(url + "streams/d.json")
    assert "s3cret" not in str(caught.value) + caught.value.url + caplog.text


def test_a_host_without_an_address_is_named(fetcher: fetch.Fetcher) -> None:
    with pytest.raises(failures.SourceUnreachable, match="the name of its host has no address"):
        fetcher.get_document("http://nowhere.invalid/streams/d.json")


class SlowHead(socketserver.BaseRequestHandler):
    """Never ends its headers."""

    def handle(self) -> None:
        self.request.recv(65536)
        with contextlib.suppress(OSError):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while True:
                self.request.sendall(b"x")
                time.sleep(0.05)


def test_a_head_that_trickles_is_given_up(tight: fetch.Fetcher) -> None:
    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), SlowHead)) as port:
        with pytest.raises(failures.SourceUnreachable, match="nothing came within"):
            tight.get_document(f"http://127.0.0.1:{port}/streams/d.json")


def test_a_certificate_that_nobody_signed_is_refused_and_not_asked_again(
    tmp_path: Path, fetcher: fetch.Fetcher
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(tmp_path / "server.pem"))
    asked: list[object] = []

    class Counting(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            asked.append(self)
            with contextlib.suppress(OSError), context.wrap_socket(self.request, True):
                pass

    with serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Counting)) as port:
        with pytest.raises(failures.SourceUntrusted, match="not trusted by this host") as caught:
            fetcher.get_document(f"https://127.0.0.1:{port}/streams/d.json")
    assert len(asked) == 1
    assert "clock" in caught.value.cure


def self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = units.utc_now()
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    kind, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(kind, form, serialization.NoEncryption())
    path.write_bytes(private + certificate.public_bytes(kind))
    return path


@contextlib.contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    """Run ``server`` for the block, and yield its port."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# Redirects.


def redirecting(where: dict[str, str]) -> Callable[[origin.Request], origin.Reply | None]:
    def hook(request: origin.Request) -> origin.Reply | None:
        target = where.get(request.path)
        return None if target is None else origin.Reply(302, {"Location": target})

    return hook


def test_redirects_are_followed(served: origin.Origin, fetcher: fetch.Fetcher) -> None:
    served.on_request = redirecting({"/a": "/b", "/b": "streams/d.json"})
    assert isinstance(fetcher.get_document(served.url + "a"), fetch.Fetched)


def test_five_redirects_are_followed_and_not_one_more(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    hops = {f"/{n}": f"/{n + 1}" for n in range(1, 6)}
    served.on_request = redirecting({**hops, "/6": "/streams/d.json"})
    assert isinstance(fetcher.get_document(served.url + "2"), fetch.Fetched)
    with pytest.raises(failures.RedirectRefused, match="more than 5 times"):
        fetcher.get_document(served.url + "1")


def test_a_redirect_to_another_scheme_is_refused(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    served.on_request = redirecting({"/a": "https://127.0.0.1/streams/d.json"})
    with pytest.raises(failures.RedirectRefused, match="another scheme"):
        fetcher.get_document(served.url + "a")


def test_a_redirect_to_a_private_address_is_refused_before_it_is_asked(
    served: origin.Origin, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "metadata").write_bytes(b"secret")
    # The first host is public as far as the fetcher can tell: only its name is looked up there.
    public = {"127.0.0.1": frozenset({"93.184.216.34"})}
    with origin.Origin(secret) as private:
        target = private.url.replace("127.0.0.1", "localhost") + "metadata"
        served.on_request = redirecting({"/a": target})
        with fetch.Fetcher(
            policy=NO_WAIT, resolve=lambda host: public.get(host, frozenset({"127.0.0.1"}))
        ) as fetcher:
            with pytest.raises(failures.RedirectRefused, match="loopback address"):
                fetcher.get_document(served.url + "a")
        assert private.requests == ()


def test_a_password_does_not_follow_a_redirect_to_another_host(
    served: origin.Origin, fetcher: fetch.Fetcher, tmp_path: Path
) -> None:
    with origin.Origin(tmp_path) as other:
        served.on_request = redirecting({"/a": other.url + "streams/d.json", "/b": "/payload"})
        fetcher.get_document(served.url.replace("//", "//u:p@") + "a")
        fetcher.get_document(served.url.replace("//", "//u:p@") + "b")
        assert "Authorization" not in other.requests[0].headers
        assert all("Authorization" in request.headers for request in served.requests)


# Ranges.


def test_a_whole_payload_is_read_without_a_range(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    assert read(fetcher, served.url + "payload", 0, SIZE) == (0, PAYLOAD)
    assert "Range" not in served.requests[0].headers
    assert served.payload_bytes == SIZE


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 1), (1, SIZE), (SIZE - 1, SIZE), (units.MIB, 2 * units.MIB), (0, SIZE - 1)],
)
def test_a_part_is_read_and_costs_no_more_than_its_bytes(
    served: origin.Origin, fetcher: fetch.Fetcher, start: int, stop: int
) -> None:
    found = read(fetcher, served.url + "payload", start, stop)
    assert found == (start, PAYLOAD[start:stop])
    assert served.payload_bytes == stop - start


def test_an_object_without_bytes_is_read(served: origin.Origin, fetcher: fetch.Fetcher) -> None:
    assert read(fetcher, served.url + "empty", 0, 0, size=0) == (0, b"")


@pytest.mark.parametrize(("start", "stop", "size"), [(1, 1, 2), (2, 1, 2), (0, 3, 2), (-1, 1, 2)])
def test_what_is_no_range_is_refused_before_it_is_asked(
    fetcher: fetch.Fetcher, start: int, stop: int, size: int
) -> None:
    with pytest.raises(ValueError, match="is no range"):
        read(fetcher, "http://127.0.0.1:9/", start, stop, size)


def test_an_interrupted_payload_is_resumed_and_no_byte_is_sent_twice(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    url = served.url + "payload"
    served.on_request = lambda _: origin.Cut(units.MIB + 5)
    received = bytearray()
    with fetcher.open_range(url, 0, SIZE, size=SIZE) as reply:
        validator = reply.validator
        with pytest.raises(failures.Interrupted) as caught:
            drain(reply, received)
    assert caught.value.received == len(received) == units.MIB + 5
    served.on_request = None
    start, rest = read(fetcher, url, len(received), SIZE, validator=validator)
    assert start == len(received)
    assert hashlib.sha256(received + rest).digest() == hashlib.sha256(PAYLOAD).digest()
    assert served.payload_bytes == SIZE
    assert served.requests[1].headers["If-Range"] == validator.etag


def test_a_payload_that_changed_meanwhile_is_sent_from_its_start(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    url = served.url + "payload"
    with fetcher.open_range(url, 0, 10, size=SIZE) as reply:
        validator = reply.validator
    changed = payloads.Payload("changed", SIZE).read()
    (served.directory / "payload").write_bytes(changed)
    assert read(fetcher, url, 10, SIZE, validator=validator) == (0, changed)


def test_a_server_that_knows_no_ranges_is_read_from_its_start_and_only_as_far_as_asked(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    headers = {"Content-Length": str(SIZE)}
    served.on_request = answering(origin.Reply(200, headers, [PAYLOAD]))
    assert read(fetcher, served.url + "payload", 10, 1000) == (0, PAYLOAD[:1000])


def test_a_weak_etag_is_not_used_to_resume() -> None:
    date = "Fri, 18 Jul 2025 12:00:00 GMT"
    assert fetch.Validators('W/"1"', date).if_range == date
    assert fetch.Validators('"1"', date).if_range == '"1"'
    assert fetch.Validators('W/"1"').if_range is None


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "does not say which"),
        ({"Content-Range": "bytes 0-9/100"}, "where bytes 10-19/100 was asked for"),
        ({"Content-Range": "bytes 10-20/100"}, "where bytes 10-19/100 was asked for"),
        ({"Content-Range": "bytes 10-19/101"}, "where bytes 10-19/100 was asked for"),
        ({"Content-Range": "bytes 10-9/100"}, "where bytes 10-19/100 was asked for"),
        ({"Content-Range": "bytes 10-19/100", "Content-Length": "11"}, "announces 11 bytes"),
        ({"Content-Range": "lines 10-19/100"}, "does not say which"),
    ],
)
def test_a_part_that_is_not_what_was_asked_for_is_refused(
    served: origin.Origin, fetcher: fetch.Fetcher, headers: dict[str, str], why: str
) -> None:
    served.on_request = answering(origin.Reply(206, headers, [b"x" * 10]))
    with pytest.raises(failures.BadReply, match=why):
        read(fetcher, served.url + "payload", 10, 20, size=100)


def test_a_part_that_is_shorter_than_asked_for_is_an_interruption(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    headers = {"Content-Range": "bytes 10-14/100", "Content-Length": "5"}
    served.on_request = answering(origin.Reply(206, headers, [b"x" * 5]))
    with pytest.raises(failures.Interrupted, match="after 5 of 10 bytes"):
        read(fetcher, served.url + "payload", 10, 20, size=100)


def test_a_payload_of_another_size_is_refused_unread(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    with pytest.raises(failures.BadReply, match=f"announces {SIZE} bytes where the stream says 9"):
        read(fetcher, served.url + "payload", 0, 9, size=9)


def test_a_payload_that_does_not_end_is_left(
    served: origin.Origin, fetcher: fetch.Fetcher
) -> None:
    served.on_request = answering(origin.Reply(body=itertools.repeat(b"x" * 1000)))
    with pytest.raises(failures.TooLarge, match="more than the 5000 bytes"):
        read(fetcher, served.url + "payload", 0, 5000, size=5000)


def test_a_payload_that_trickles_is_left_with_what_came(
    served: origin.Origin, tight: fetch.Fetcher
) -> None:
    served.on_request = answering(origin.Reply(body=slowly(b"x", 0.02)))
    received = bytearray()
    with tight.open_range(served.url + "payload", 0, SIZE, size=SIZE) as reply:
        with pytest.raises(failures.TooSlow):
            drain(reply, received)
    assert received


def test_opening_a_part_is_retried(served: origin.Origin, fetcher: fetch.Fetcher) -> None:
    answers: list[origin.Reply | None] = [origin.Reply(503), None]
    served.on_request = lambda _: answers.pop(0)
    assert read(fetcher, served.url + "payload", 1, 5) == (1, PAYLOAD[1:5])


# Proxies.


class Proxy(http.server.BaseHTTPRequestHandler):
    """A forward proxy in ten lines, which notes what it was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        with urllib.request.urlopen(self.path) as reply:
            body = reply.read()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("OneProxy", (Proxy,), {"asked": asked})
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)) as port:
        yield f"http://user:pr0xy@127.0.0.1:{port}", asked


def test_a_proxy_is_used_for_everything_but_what_it_is_not_for(
    served: origin.Origin, proxy: tuple[str, list[str]]
) -> None:
    url, asked = proxy
    document = served.url + "streams/d.json"
    with fetch.Fetcher(url, ["other.example.com"], policy=NO_WAIT) as through:
        assert isinstance(through.get_document(document), fetch.Fetched)
    assert asked == [document]
    with fetch.Fetcher(url, ["127.0.0.0/8"], policy=NO_WAIT) as around:
        assert isinstance(around.get_document(document), fetch.Fetched)
    assert asked == [document]


def test_the_environment_s_proxy_counts_only_where_it_is_told_to(
    served: origin.Origin, proxy: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, asked = proxy
    document = served.url + "streams/d.json"
    monkeypatch.setenv("http_proxy", url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with fetch.Fetcher(policy=NO_WAIT) as untrusting:
        untrusting.get_document(document)
    assert asked == []
    monkeypatch.setenv("no_proxy", "")
    with fetch.Fetcher(trust_environment=True, policy=NO_WAIT) as trusting:
        trusting.get_document(document)
    assert asked == [document]


def test_a_proxy_that_is_down_is_named_without_its_password(served: origin.Origin) -> None:
    with fetch.Fetcher("http://user:pr0xy@127.0.0.1:9", policy=NO_WAIT) as fetcher:
        with pytest.raises(failures.SourceUnreachable, match="the proxy cannot be reached") as e:
            fetcher.get_document(served.url + "streams/d.json")
    assert "pr0xy" not in str(e.value)
    assert served.requests == ()


# A caller that stops.


def test_a_caller_that_stops_is_not_held_by_a_document_that_drips(served: origin.Origin) -> None:
    stopping = threading.Event()

    def drip() -> Iterator[bytes]:
        yield b"x"
        stopping.set()
        while True:
            yield b"x"

    served.on_request = answering(origin.Reply(body=drip()))
    with fetch.Fetcher(policy=NO_WAIT, cancelled=stopping.is_set) as fetcher:
        with pytest.raises(failures.Cancelled):
            fetcher.get_document(served.url + "streams/d.json")
    assert len(served.requests) == 1


def test_a_caller_that_stops_asks_no_more(served: origin.Origin) -> None:
    stopping = threading.Event()

    def fail(_: origin.Request) -> origin.Reply:
        stopping.set()
        return origin.Reply(503, {"Content-Length": "0"})

    served.on_request = fail
    with fetch.Fetcher(policy=NO_WAIT, cancelled=stopping.is_set) as fetcher:
        with pytest.raises(failures.Cancelled):
            fetcher.get_document(served.url + "streams/d.json")
    assert len(served.requests) == 1
