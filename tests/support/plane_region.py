"""A small cluster for tests of the plane: an authority, and a region that is a real TLS server.

``Cluster`` issues identities and keeps the member list, as ``boot-resources ca`` does.
``PlaneRegion`` speaks the paths of the plane port on loopback, counts what it is asked, and can be
told to misbehave: ``region.misbehave = function`` is called with the handler before each answer,
and answers itself by returning True.
"""

import contextlib
import http.server
import json
import pathlib
import re
import socket
import ssl
import threading
import types
import urllib.parse
from collections.abc import Callable, Sequence
from typing import Any, cast

from boot_resources.plane import authority, keys, members, tls


class Cluster:
    """An authority in a directory, and the identities it issued."""

    def __init__(self, directory: pathlib.Path, name: str = "test-authority") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.authority = authority.Authority.create(directory / "authority", name)
        self.trust = directory / "authority" / authority.CERTIFICATE
        self.list_path = self.authority.members_path

    def identity(
        self,
        name: str,
        role: members.Role,
        addresses: Sequence[str] = (),
        *,
        enrolled: bool = True,
    ) -> tls.Identity:
        """Issue ``name`` a certificate; used again, for the same key."""
        key = self.directory / f"{name}.key"
        certificate = self.directory / f"{name}.crt"
        issue = self.authority.enrol if enrolled else self.authority.issue
        issued = issue(name, role, addresses, public_key=keys.public_of(key))
        certificate.write_bytes(issued.certificate_pem)
        return tls.Identity(certificate, key, self.trust)

    def region(self, name: str = "region-0") -> tls.Identity:
        return self.identity(name, members.Role.REGION, ["127.0.0.1", "::1"])

    def rack(self, name: str = "rack-0") -> tls.Identity:
        return self.identity(name, members.Role.RACK)

    def member_file(self) -> members.MemberFile:
        return members.MemberFile(self.list_path)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as a region does, or as ``region.misbehave`` wants."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @property
    def region(self) -> "PlaneRegion":
        return cast("_Server", self.server).region

    def do_GET(self) -> None:
        region = self.region
        region.requests.append(self.path)
        if region.member_file is not None and not self._admitted(region.member_file):
            self.reply(403, Connection="close")
            return
        if region.misbehave is not None and region.misbehave(self):
            return
        parts = urllib.parse.urlsplit(self.path)
        if parts.path == "/v1/health":
            self.reply(200, json.dumps(region.health).encode())
        elif parts.path == "/v1/images":
            self._images(dict(urllib.parse.parse_qsl(parts.query)))
        elif match := re.fullmatch(r"/v1/objects/([0-9a-f]{64})(/map)?", parts.path):
            self._object(match[1], wants_map=match[2] is not None)
        else:
            self.reply(404)

    def _admitted(self, member_file: members.MemberFile) -> bool:
        certificate = cast("ssl.SSLSocket", self.request).getpeercert(binary_form=True)
        try:
            member_file.current().admit(certificate or b"", {members.Role.RACK})
        except members.NotAMember as error:
            self.region.refusals.append(error)
            return False
        return True

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        if status != 304:
            headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _images(self, query: dict[str, str]) -> None:
        if int(query.get("since", "-1")) >= self.region.images["epoch"]:
            self.reply(304)
        else:
            self.reply(200, json.dumps(self.region.images).encode())

    def _object(self, sha256: str, *, wants_map: bool) -> None:
        held = (self.region.maps if wants_map else self.region.objects).get(sha256)
        if held is None:
            self.reply(404, b"no such object")
            return
        if wants_map:
            self.reply(200, bytes(held))
            return
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert match is not None
        start, last = int(match[1]), int(match[2])
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{last}/{len(held)}")
        self.send_header("Content-Length", str(last + 1 - start))
        self.end_headers()
        view = memoryview(held)[start : last + 1]
        for offset in range(0, len(view), 1 << 20):
            self.wfile.write(view[offset : offset + (1 << 20)])

    def setup(self) -> None:
        # The handshake belongs to this connection's own thread: a client that never finishes
        # it must not hold up the others.
        cast("ssl.SSLSocket", self.request).do_handshake()
        self.region.connections += 1
        super().setup()

    def log_message(self, *_args: Any) -> None:
        return


class _Server(http.server.ThreadingHTTPServer):
    region: "PlaneRegion"
    context: ssl.SSLContext

    def get_request(self) -> tuple[ssl.SSLSocket, Any]:
        connection, address = self.socket.accept()
        connection.settimeout(10)
        wrapped = self.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address

    def handle_error(self, *_args: Any) -> None:
        """Say nothing: a client that was refused, or went away, is what many tests want."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class PlaneRegion:
    """A region's plane port on loopback; a context manager."""

    def __init__(self, context: ssl.SSLContext, host: str = "127.0.0.1") -> None:
        self.objects: dict[str, bytes | bytearray] = {}
        self.maps: dict[str, bytes] = {}
        self.images: dict[str, Any] = {"cluster": "c", "epoch": 1, "images": []}
        self.health = {
            "name": "region-0",
            "version": "0.1.0",
            "cluster": "c",
            "serving": True,
            "notices": 0,
        }
        self.misbehave: Callable[[Handler], bool] | None = None
        self.member_file: members.MemberFile | None = None
        """Where it is set, only racks in this list are answered."""
        self.refusals: list[members.NotAMember] = []
        self.requests: list[str] = []
        self.connections = 0
        """TLS handshakes that succeeded."""
        self._server = (_Server6 if ":" in host else _Server)((host, 0), Handler)
        self._server.region = self
        self._server.context = context
        port = self._server.server_address[1]
        self.port = int(port)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "PlaneRegion":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        with contextlib.suppress(OSError):
            self._server.socket.close()
