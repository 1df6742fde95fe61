"""Bytes from a server that is not trusted: every wait, every size and every rate has a limit.

Nothing that is fetched here is believed. Documents go to ``keyring``, payloads to whoever knows
their hashes. What this module promises is that a hostile or broken server can neither fill the
memory, nor hold a caller for ever, nor send it elsewhere; and that an interrupted body says how
far it came, so that its reader can go on from there. A caller that is about to stop can say so: no
request begins after that, and no body goes on.

All requests carry ``Accept-Encoding: identity``: what counts is what crosses the wire.
"""

import contextlib
import dataclasses
import pathlib
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from http import cookiejar

import requests
import urllib3

from boot_resources import units
from boot_resources.source import address, failures, limits, patience, replies, retrying

Limits = limits.Limits
Validators = replies.Validators

MAX_REDIRECTS = 5
HOST_AUTHORITIES = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
"""Where Debian and Ubuntu keep the authorities that the host's operator trusts."""
CHUNK = 256 * units.KIB
"""Bytes that one read takes at most."""

_SCHEMES = ("http", "https")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclasses.dataclass(frozen=True)
class Fetched:
    """A document as it came: not verified."""

    body: bytes
    validators: Validators


@dataclasses.dataclass(frozen=True)
class NotModified:
    """The server says that the document is the one we know."""


@dataclasses.dataclass(frozen=True)
class RangeReply:
    """A body on its way.

    Attributes:
        start: the offset of its first byte; 0 where the server sends the whole payload, whatever
            was asked.
        validator: to ask for the rest of the same payload later.
        chunks: the bytes, as they arrive.
    """

    start: int
    validator: Validators
    chunks: Iterator[bytes]


class _Session(requests.Session):
    """Leaves redirects alone.

    Even where it is told not to follow one, ``requests`` reads all of its body into the memory,
    unpacks it, and prepares the request to its target, whatever that is.
    """

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return that there is none."""


class Fetcher:
    """Asks servers for documents and for parts of payloads.

    Safe to use from several threads: connections are pooled, and no cookies are kept.

    Args:
        proxy: the URL of an HTTP proxy for everything, or None.
        no_proxy: what is asked for directly all the same (see ``address.is_bypassed``).
        authorities: file of the certificate authorities to trust, PEM; unless given this host's
            own, or those that ``requests`` brings where the host has none.
        trust_environment: whether the environment's proxies, ``.netrc`` and certificates count;
            off unless an operator asks for it.
        limits: see ``Limits``.
        policy: how failures are retried.
        clock: monotonic seconds.
        resolve: how a redirect's host is looked up.
        cancelled: whether to end all work; asked before each request and at each part of a body.
    """

    def __init__(
        self,
        proxy: str | None = None,
        no_proxy: Sequence[str] = (),
        *,
        trust_environment: bool = False,
        authorities: pathlib.Path | None = None,
        limits: Limits | None = None,
        policy: retrying.Policy | None = None,
        clock: Callable[[], float] = time.monotonic,
        resolve: address.Resolve = address.resolve,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._proxy = proxy
        self._no_proxy = tuple(no_proxy)
        self._limits = limits or Limits()
        self._policy = policy or retrying.Policy()
        self._clock = clock
        self._resolve = resolve
        self._cancelled = cancelled
        self._session = _Session()
        self._session.trust_env = trust_environment
        trusted = authorities or HOST_AUTHORITIES
        if trusted.is_file():
            self._session.verify = str(trusted)
        self._session.cookies.set_policy(cookiejar.DefaultCookiePolicy(allowed_domains=[]))
        adapter = patience.PatientAdapter(
            self._limits.read, pool_connections=8, pool_maxsize=16, max_retries=0
        )
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def close(self) -> None:
        """Close every connection."""
        self._session.close()

    def __enter__(self) -> "Fetcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_document(self, url: str, *, known: Validators | None = None) -> Fetched | NotModified:
        """Return the document at ``url``, or that it is still the one with ``known`` validators.

        Raises:
            failures.FetchError: it could not be had within the limits; transient failures were
                retried.
            failures.Cancelled: the caller is about to stop.
        """
        conditions: dict[str, str] = {}
        if known is not None and known.etag:
            conditions["If-None-Match"] = known.etag
        if known is not None and known.last_modified:
            conditions["If-Modified-Since"] = known.last_modified
        return retrying.retry(self._policy, lambda: self._get_document(url, conditions))

    def _get_document(self, url: str, conditions: dict[str, str]) -> Fetched | NotModified:
        with self._open(url, conditions) as reply:
            shown = address.without_credentials(url)
            if reply.status_code == 304 and conditions:
                return NotModified()
            if reply.status_code != 200:
                raise failures.BadReply(shown, f"it answers {reply.status_code}, not 200")
            limit = self._limits.document
            length = replies.content_length(reply)
            if length is not None and length > limit:
                raise failures.TooLarge(shown, f"it has {length} bytes; the limit is {limit}")
            body = bytearray()
            deadline = self._clock() + self._limits.document_seconds
            for chunk in self._body(shown, reply):
                body += chunk
                if len(body) > limit:
                    raise failures.TooLarge(shown, f"it has more than {limit} bytes")
                if self._clock() > deadline:
                    seconds = f"{self._limits.document_seconds:g} seconds"
                    raise failures.TooSlow(shown, f"it did not end within {seconds}")
            return Fetched(bytes(body), replies.validators(reply))

    @contextlib.contextmanager
    def open_range(
        self,
        url: str,
        start: int,
        stop: int,
        *,
        size: int,
        validator: Validators | None = None,
    ) -> Iterator[RangeReply]:
        """Ask for the bytes ``[start, stop)`` of a payload of ``size`` bytes.

        Yields a reply whose chunks end at ``stop``: exactly there, or with an error. Opening is
        retried; a body that was begun is not, since only its reader knows what to do with a part.
        ``validator`` makes the server send the whole payload if it is no longer the same one.

        Raises:
            failures.Interrupted: from ``chunks``: fewer bytes came than were announced.
            failures.TooLarge: from ``chunks``: more.
            failures.TooSlow: from ``chunks``: a stall or a trickle.
            failures.FetchError: it could not be opened.
            failures.Cancelled: here or from ``chunks``: the caller is about to stop.
            ValueError: ``start``, ``stop`` and ``size`` make no range.
        """
        if not (0 <= start < stop <= size or start == stop == size == 0):
            raise ValueError(f"[{start}, {stop}) is no range of {size} bytes")
        headers: dict[str, str] = {}
        if (start, stop) != (0, size):
            headers["Range"] = f"bytes={start}-{stop - 1}"
            if validator is not None and validator.if_range is not None:
                headers["If-Range"] = validator.if_range
        shown = address.without_credentials(url)
        with contextlib.ExitStack() as stack:
            reply = retrying.retry(
                self._policy, lambda: stack.enter_context(self._open(url, headers))
            )
            first, last = replies.placed(shown, reply, start, stop, size)
            chunks = self._exactly(shown, reply, last - first, stop - first)
            yield RangeReply(first, replies.validators(reply), chunks)

    def _exactly(
        self, shown: str, reply: requests.Response, announced: int, wanted: int
    ) -> Iterator[bytes]:
        """Yield ``wanted`` bytes of a body in which ``announced`` ought to come."""
        received = 0
        for chunk in self._body(shown, reply):
            if announced < received + len(chunk):
                what = f"it sends more than the {announced} bytes that were asked for"
                raise failures.TooLarge(shown, what)
            part = chunk[: wanted - received]
            received += len(part)
            yield part
            if received == wanted < announced:
                # The server sends on, what nobody asked for; leaving closes the connection.
                return
        if received < wanted:
            what = f"it ended after {received} of {wanted} bytes"
            raise failures.Interrupted(shown, what, received)

    def _body(self, shown: str, reply: requests.Response) -> Iterator[bytes]:
        """Yield the body as it arrives, until its end, within the limits on time and rate.

        An end before the announced length is an ``Interrupted`` too: urllib3 watches for that.
        """
        pace = limits.Pace(self._limits, self._clock)
        received = 0
        while True:
            try:
                # What is there; to wait for all of a chunk would be to let a trickle come, and
                # never to look at the clock.
                chunk = patience.read1(reply.raw, CHUNK)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                self._refuse_when_cancelled(shown)
                what = f"it broke off after {received} bytes: {_reason(error)}"
                raise failures.Interrupted(shown, what, received) from None
            if not chunk:
                return
            self._refuse_when_cancelled(shown)
            received += len(chunk)
            if not pace.keeps_up(len(chunk)):
                rate = f"{self._limits.min_rate:g} bytes a second"
                window = f"{self._limits.window:g} seconds"
                raise failures.TooSlow(shown, f"it sent less than {rate} over {window}")
            yield chunk

    @contextlib.contextmanager
    def _open(self, url: str, headers: dict[str, str]) -> Iterator[requests.Response]:
        """Yield the answer to a GET, redirects followed; closed afterwards.

        Raises:
            failures.FetchError: there is no answer, or one of 400 and above.
        """
        current = address.without_credentials(url)
        auth = address.credentials(url)
        for _ in range(MAX_REDIRECTS + 1):
            self._refuse_when_cancelled(current)
            reply = self._ask(current, headers, auth)
            with contextlib.closing(reply):
                if reply.status_code not in _REDIRECTS:
                    replies.check_status(current, reply)
                    yield reply
                    return
                target = reply.headers.get("Location", "")
            there = address.follow(url, current, target, self._resolve)
            if urllib.parse.urlsplit(there).netloc != urllib.parse.urlsplit(current).netloc:
                auth = None
            current = there
        shown = address.without_credentials(url)
        raise failures.RedirectRefused(shown, f"it redirects more than {MAX_REDIRECTS} times")

    def _refuse_when_cancelled(self, shown: str) -> None:
        if self._cancelled():
            raise failures.Cancelled(shown)

    def _ask(
        self, url: str, headers: dict[str, str], auth: tuple[str, str] | None
    ) -> requests.Response:
        direct = self._proxy is None or address.is_bypassed(url, self._no_proxy)
        proxies = {} if direct or self._proxy is None else dict.fromkeys(_SCHEMES, self._proxy)
        try:
            return self._session.get(
                url,
                headers={"Accept-Encoding": "identity", **headers},
                auth=auth,
                proxies=proxies,
                stream=True,
                allow_redirects=False,
                timeout=(self._limits.connect, min(self._limits.read, self._limits.window)),
            )
        except requests.exceptions.SSLError:
            raise failures.SourceUntrusted(
                url,
                "its TLS certificate is not trusted by this host",
                "check the URL, this host's clock and its certificate authorities",
            ) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise failures.SourceUnreachable(url, _reason(error)) from None


def _reason(error: BaseException) -> str:
    """Return why in words of our own: the library's hold URLs, and a proxy's password."""
    reasons: list[tuple[tuple[type[BaseException], ...], str]] = [
        ((requests.exceptions.ProxyError,), "the proxy cannot be reached, or refuses"),
        ((requests.exceptions.ConnectTimeout,), "no connection within the time limit"),
        (
            (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError),
            "nothing came within the time limit",
        ),
        ((requests.exceptions.InvalidURL,), "it is not a URL that can be asked for"),
        ((requests.exceptions.ConnectionError,), "no connection"),
        ((urllib3.exceptions.ProtocolError, OSError), "the connection was lost"),
    ]
    inner = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(inner, urllib3.exceptions.NameResolutionError):
        return "the name of its host has no address that this host can find"
    for kinds, words in reasons:
        if isinstance(error, kinds):
            return words
    return f"the request failed ({type(error).__name__})"
