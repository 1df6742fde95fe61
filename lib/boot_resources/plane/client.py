"""Ask a region: what is available, an object's block map, its bytes, how it is.

Always true: no request leaves before the region has been recognised. The handshake verifies its
chain and its name or address; then, on a new connection and again before every request on one
that was kept open, its key must stand in the member list as a region's. A region that has left
the list gets no further request.

Nothing from the environment, no proxy, no redirect, no cookie and no content encoding comes
between. Every reply is bounded, and checked against what was asked. The bytes that ``read``
yields are *not* verified here: whoever reads them checks each block against the block map.

Every failure is a ``RegionError``; its kind says whether another region is worth asking
(``RegionUnreachable``, ``ObjectMissing``) or an operator is needed (``RegionRefused``,
``RegionNotTrusted``, ``BadReply``; another region may answer all the same).
"""

import contextlib
import dataclasses
import http
import socket
import ssl
import urllib.parse
from collections.abc import Generator, Iterator, Mapping
from typing import TypeVar

import pydantic
import requests
import urllib3

from boot_resources import addresses, digests, errors, units
from boot_resources.plane import connection, members, messages, tls, watch

CHUNK = units.MIB
"""Bytes in each piece that ``RegionClient.read`` yields, the last of a range aside: one block."""
MAX_BLOCK_MAP = 16 * units.MIB
"""Bytes; far above the map of any operating-system image."""
MAX_REMARK = 64 * units.KIB
"""Bytes of a body that is of no interest; it is read so that the connection can be kept open."""
MAX_DOCUMENT = 64 * units.MIB
"""Bytes of a JSON reply."""

_Document = TypeVar("_Document", bound=messages.Message)


class RegionError(errors.BootResourcesError):
    """A region did not give what was asked; ``str()`` begins with its address."""

    def __init__(self, address: str, what: str, cure: str = "") -> None:
        super().__init__(f"region {address} {what}", cure)
        self.address = address


class RegionUnreachable(RegionError):
    """There was no answer, or it broke off: connection, time limit, or a status of 500 up."""

    exit_status = errors.EXIT_UNREACHABLE


class _HungUp(RegionUnreachable):
    """The connection was closed where the answer should have begun."""


class RegionRefused(RegionError):
    """The region does not accept this controller's certificate for what was asked."""


class RegionNotTrusted(RegionError):
    """Whoever answers at this address is not a region that we know; nothing was sent to it."""


class ObjectMissing(RegionError):
    """The region does not hold this object proved, and therefore does not offer it."""


class BadReply(RegionError):
    """The region answered with something that is not what was asked."""


@dataclasses.dataclass(frozen=True)
class Timeouts:
    """How long to wait, in seconds.

    Attributes:
        connect: for the connection and the TLS handshake.
        read: for the next bytes of a reply; it counts silence, not slowness. A long poll adds
            the time that the region may hold it.
        piece: for a whole piece of an object, ``CHUNK`` bytes.
    """

    connect: float = 5.0
    read: float = 10.0
    piece: float = 20.0


class RegionClient:
    """One region, asked by one controller. Safe to use from several threads.

    Args:
        address: the region's plane port, see ``addresses.split``.
        identity: of this controller; read once, here.
        member_file: the member list. None trusts the authority's word alone: the certificate
            must say that it is a region's. Only for before a list exists.
        timeouts: how long to wait.

    Raises:
        ValueError: ``address`` is not one.
        tls.IdentityUnusable: ``identity`` cannot be used.
    """

    def __init__(
        self,
        address: str,
        identity: tls.Identity,
        member_file: members.MemberFile | None,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.address = address
        self._timeouts = timeouts or Timeouts()
        self._me = tls.examine(identity)
        self._member_file = member_file
        host, port = addresses.split(address)
        context = tls.client_context(identity)
        self._watch = watch.Watch(self._timeouts.piece)
        self._session = connection.open_session(host, port, context, self._admit)
        self._is_over = False

    def close(self) -> None:
        """Close the connections that are idle; one in use closes when its reply has been read."""
        self._session.close()

    def hang_up(self) -> None:
        """End all connections, for good; whoever waits for a reply gets ``RegionUnreachable``."""
        self._is_over = True
        connection.hang_up_all(self._session)

    def health(self) -> messages.Health:
        """Return what the region says of itself.

        Raises:
            RegionError: see the module.
        """
        with self._ask("/v1/health") as response:
            self._expect(response, http.HTTPStatus.OK)
            return self._document(response, messages.Health)

    def images(self, since: int | None, wait: float) -> messages.AvailableImages | None:
        """Return all available images, or None where nothing is newer than ``since``.

        Args:
            since: the epoch that the caller has; None where it has none.
            wait: seconds for which the region may hold the request until there is something
                newer.

        Raises:
            RegionError: see the module.
        """
        query = {"wait": f"{wait:g}"} if since is None else {"since": since, "wait": f"{wait:g}"}
        path = f"/v1/images?{urllib.parse.urlencode(query)}"
        with self._ask(path, read_timeout=self._timeouts.read + wait) as response:
            if response.status_code == http.HTTPStatus.NOT_MODIFIED and since is not None:
                self._body(response, MAX_REMARK)
                return None
            self._expect(response, http.HTTPStatus.OK)
            return self._document(response, messages.AvailableImages)

    def block_map(self, sha256: str) -> bytes:
        """Return the block map of an object, as the region has it; the caller checks its digest.

        Raises:
            ValueError: ``sha256`` is not the name of an object.
            ObjectMissing: the region does not offer the object.
            RegionError: see the module.
        """
        with self._ask(f"/v1/objects/{digests.check_sha256(sha256)}/map") as response:
            self._expect(response, http.HTTPStatus.OK, sha256)
            return self._body(response, MAX_BLOCK_MAP)

    def complain(self, sha256: str) -> None:
        """Tell the region that bytes it sent are not those of the object: it then hashes it.

        Raises:
            ValueError: ``sha256`` is not the name of an object.
            RegionError: see the module.
        """
        path = f"/v1/objects/{digests.check_sha256(sha256)}/complaint"
        with self._ask(path, method="POST") as response:
            self._expect(response, http.HTTPStatus.ACCEPTED)
            self._body(response, MAX_REMARK)

    def read(self, sha256: str, start: int, stop: int) -> Generator[bytes, None, None]:
        """Yield the bytes [start, stop) of an object, in pieces of ``CHUNK`` bytes.

        Only the last piece of the range may be shorter; a piece that was cut short is not
        yielded. What was yielded before an error is good to use: the caller goes on, here or
        elsewhere, at the byte after it. A caller that stops early closes the generator, and
        thereby the connection.

        Raises:
            ValueError: ``sha256`` is not the name of an object, or the range is empty.
            ObjectMissing: the region does not offer the object.
            RegionError: see the module. There are never more bytes than asked, and fewer only
                with an error.
        """
        if not 0 <= start < stop:
            raise ValueError(f"[{start}, {stop}) is not a range of bytes")
        path = f"/v1/objects/{digests.check_sha256(sha256)}"
        left = stop - start
        with contextlib.ExitStack() as stack:
            headers = {"Range": f"bytes={start}-{stop - 1}"}
            response = stack.enter_context(self._ask(path, headers=headers))
            self._expect(response, http.HTTPStatus.PARTIAL_CONTENT, sha256)
            self._check_range(response, start, stop)
            renew = stack.enter_context(self._watch.over(_socket_of(response)))
            while left:
                renew()
                chunk = self._next(response, min(CHUNK, left))
                if len(chunk) < min(CHUNK, left):
                    missing = left - len(chunk)
                    raise RegionUnreachable(self.address, f"broke off, {missing} bytes too soon")
                left -= len(chunk)
                yield chunk

    def _admit(self, certificate_der: bytes) -> None:
        """Refuse a server that is not a region we know; called before each request is sent."""
        try:
            if self._member_file is None:
                role = members.claims(certificate_der).role
                if role != members.Role.REGION:
                    raise ValueError(f"its certificate says {role!r}, not a region")
            else:
                self._member_file.current().admit(certificate_der, {members.Role.REGION})
        except (members.NotAMember, ValueError) as error:
            raise RegionNotTrusted(
                self.address,
                f"is not trusted: {error}",
                "check that the address is right and that members.json here is the newest",
            ) from error

    def _ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        read_timeout: float | None = None,
    ) -> requests.Response:
        """Return the reply to a request that may be repeated, its body still unread."""
        timeout = (self._timeouts.connect, read_timeout or self._timeouts.read)
        url = f"https://{self.address}{path}"
        try:
            return self._ask_once(method, url, headers, timeout)
        except _HungUp:
            # A region may close a connection it kept open at the very moment we use it again
            # (RFC 9112, 9.5). That says nothing about the region: ask once more, unless it was
            # we who hung up.
            if self._is_over:
                raise
        return self._ask_once(method, url, headers, timeout)

    def _ask_once(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        timeout: tuple[float, float],
    ) -> requests.Response:
        try:
            return self._session.request(
                method, url, headers=headers, stream=True, allow_redirects=False, timeout=timeout
            )
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> RegionError:
        """Say what an error of the transport means."""
        causes = list(_causes(error))
        for cause in causes:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return RegionNotTrusted(
                    self.address,
                    f"is not trusted: {cause.verify_message}",
                    "check the address, both hosts' clocks and the region's certificate; "
                    "`boot-resources ca issue` makes a new one",
                )
            if isinstance(cause, ssl.SSLError) and "ALERT" in (cause.reason or ""):
                return self._refused(cause.reason.lower().replace("_", " "))
            if isinstance(cause, requests.exceptions.InvalidHeader):
                return BadReply(self.address, "sent headers that contradict themselves")
        if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
            return RegionUnreachable(self.address, "did not answer in time")
        said = [c.strerror for c in causes if isinstance(c, OSError) and c.strerror]
        hung_up = any(isinstance(cause, ConnectionResetError) for cause in causes)
        return (_HungUp if hung_up else RegionUnreachable)(
            self.address,
            f"cannot be reached: {said[-1] if said else type(error).__name__}",
            "check that it runs, and that nothing between the two hosts is in the way",
        )

    def _refused(self, why: str) -> RegionRefused:
        return RegionRefused(
            self.address,
            f"refused this controller, {self._me.name}, with the {self._me.role} key "
            f"{self._me.fingerprint}: {why}",
            "check that the region's members.json lists this key in this role, and that both "
            "have the same authority",
        )

    def _expect(
        self, response: requests.Response, status: http.HTTPStatus, sha256: str = ""
    ) -> None:
        """Return if the reply has that status and no content encoding."""
        got = response.status_code
        if got in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
            raise self._refused(f"status {got}")
        if got == http.HTTPStatus.NOT_FOUND and sha256:
            self._body(response, MAX_REMARK)
            raise ObjectMissing(self.address, f"does not offer the object {sha256}")
        if got >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RegionUnreachable(self.address, f"cannot serve now (status {got})")
        if got != status:
            raise BadReply(self.address, f"answered with status {got} where {status} was due")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise BadReply(self.address, "encoded its reply, which was not asked for")

    def _check_range(self, response: requests.Response, start: int, stop: int) -> None:
        """Return if a 206 is about [start, stop) and nothing else (RFC 9110, 14.4 and 15.3.7)."""
        content_range = response.headers.get("Content-Range", "")
        unit, _, size = content_range.partition("/")
        size_fits = size == "*" or (size.isdecimal() and int(size) >= stop)
        if unit != f"bytes {start}-{stop - 1}" or not size_fits:
            raise BadReply(
                self.address,
                f"sent the range {content_range[:80]!r} where bytes {start}-{stop - 1} were asked",
            )
        length = response.headers.get("Content-Length", "")
        if length != str(stop - start):
            raise BadReply(
                self.address, f"sent {length[:20]!r} bytes where {stop - start} were asked"
            )

    def _next(self, response: requests.Response, size: int) -> bytes:
        """Return the next ``size`` bytes of a reply; fewer only at its end."""
        try:
            chunk: bytes = response.raw.read(size, decode_content=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise self._failure(error) from error
        return chunk

    def _body(self, response: requests.Response, limit: int) -> bytes:
        body = bytearray()
        while chunk := self._next(response, min(CHUNK, limit + 1 - len(body))):
            body += chunk
            if len(body) > limit:
                raise BadReply(self.address, f"sent more than {units.format_size(limit)}")
        return bytes(body)

    def _document(self, response: requests.Response, kind: type[_Document]) -> _Document:
        try:
            return kind.model_validate_json(self._body(response, MAX_DOCUMENT))
        except pydantic.ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise BadReply(
                self.address, f"sent no valid {kind.__name__}: {place} {first['msg']}"
            ) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield ``error`` and what led to it; requests and urllib3 keep causes as arguments too."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            links = (*cause.args, cause.__cause__, cause.__context__)
            waiting += [link for link in links if isinstance(link, BaseException)]


def _socket_of(response: requests.Response) -> socket.socket:
    """Return the socket on which an unread body comes."""
    carrier = response.raw.connection
    assert carrier is not None
    assert isinstance(carrier.sock, socket.socket)
    return carrier.sock
