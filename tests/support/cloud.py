"""A small vocabulary for stories of regions, a rack and machines.

``Region`` is a stand-in behind real TLS: it counts the body bytes of each object that it sends,
and a script may hold a block back, falsify it or cut the connection. ``Rack`` is the real
controller on a thread of its own. ``get``, ``storm`` and ``Machine`` are what machines do.

Nothing here waits for a time to pass: stories wait for one another by a ``Gate``.
"""

import asyncio
import collections
import contextlib
import dataclasses
import hashlib
import http.client
import json
import pathlib
import random
import re
import socket
import struct
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import Any, Self

from boot_resources import units
from boot_resources.demo import origin
from boot_resources.plane import messages, tls
from boot_resources.rack import controller
from boot_resources.settings import rack as rack_settings
from boot_resources.store import blocks
from support import on_thread, plane_region

PATIENCE = on_thread.PATIENCE
wait_until = on_thread.wait_until
Script = Callable[[str, int, bytes], bytes]
"""Given an object, a block's index and its bytes: what to send. It may wait, or raise ``Cut``."""


class Cut(ConnectionError):
    """Raised by a script to break the connection off."""


def noise(size: int, seed: int = 0) -> bytes:
    """Return ``size`` bytes that follow from ``seed``."""
    return random.Random(f"{seed}/{size}").randbytes(size)


def name_of(content: bytes) -> str:
    """Return the sha256 of some bytes: the object's name."""
    return hashlib.sha256(content).hexdigest()


def map_of(content: bytes) -> blocks.BlockMap:
    """Return the block map of an object."""
    starts = range(0, len(content), blocks.BLOCK_SIZE)
    pieces = (content[start : start + blocks.BLOCK_SIZE] for start in starts)
    return blocks.BlockMap(
        len(content), b"".join(hashlib.sha256(piece).digest() for piece in pieces)
    )


class Gate:
    """Somebody waits here until somebody else opens."""

    def __init__(self) -> None:
        self._arrived = threading.Event()
        self._open = threading.Event()

    def wait(self) -> None:
        """Say that one is here, and wait."""
        self._arrived.set()
        assert self._open.wait(PATIENCE), "nobody opened the gate"

    @property
    def has_arrived(self) -> bool:
        """Whether somebody came here."""
        return self._arrived.is_set()

    def wait_for_arrival(self) -> None:
        """Wait until somebody waits here."""
        assert self._arrived.wait(PATIENCE), "nobody came to the gate"

    def open(self) -> None:
        """Let everybody through from now on."""
        self._open.set()


@dataclasses.dataclass(frozen=True)
class Image:
    """An image and the bytes of its files, by file name."""

    files: Mapping[str, bytes]
    version: str = "20250718"
    release: str = "noble"

    def path(self, filename: str, *, version: bool = True) -> str:
        """Return where machines find a file."""
        versioned = f"{self.version}/" if version else ""
        return f"/images/ubuntu/amd64/ga-24.04/{self.release}/stable/{versioned}{filename}"

    def listed(self) -> messages.AvailableImage:
        """Return how a region lists it."""
        return messages.AvailableImage(
            os="ubuntu",
            arch="amd64",
            subarch="ga-24.04",
            release=self.release,
            label="stable",
            version=self.version,
            items=tuple(
                messages.AvailableItem(
                    filename=filename,
                    ftype=filename,
                    sha256=name_of(content),
                    size=len(content),
                    map_digest=map_of(content).digest,
                )
                for filename, content in self.files.items()
            ),
        )


class Region(plane_region.PlaneRegion):
    """A region that obeys a script.

    Attributes:
        sent: body bytes of each object that were sent.
        asked: ``(sha256, first byte, last byte)`` of every request for an object.
        script: what happens to each block on its way; None sends what is there.
        down: while it is set, every connection breaks off.
    """

    def __init__(self, identity: tls.Identity) -> None:
        super().__init__(tls.server_context(identity))
        self.sent: collections.Counter[str] = collections.Counter()
        self.asked: list[tuple[str, int, int]] = []
        self.script: Script | None = None
        self.down = False
        self.misbehave = self._answer
        self._news = threading.Condition()
        self._live: set[socket.socket] = set()

    def offer(self, *images: Image, epoch: int | None = None, cluster: str = "c") -> None:
        """Hold these images and list them, in this order; the epoch is raised unless given."""
        for content in (content for image in images for content in image.files.values()):
            self.objects[name_of(content)] = content
            self.maps[name_of(content)] = map_of(content).to_bytes()
        listed = messages.AvailableImages(
            cluster=cluster,
            epoch=self.images["epoch"] + 1 if epoch is None else epoch,
            images=tuple(image.listed() for image in images),
        )
        with self._news:
            self.images = listed.model_dump(mode="json")
            self._news.notify_all()

    def kill(self) -> None:
        """Break every connection off, and every later one."""
        self.down = True
        with self._news:
            self._news.notify_all()
        for live in list(self._live):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(live, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.kill()
        super().__exit__(*exception)

    def _answer(self, handler: plane_region.Handler) -> bool:
        self._live.add(handler.request)
        if self.down:
            raise Cut
        parts = urllib.parse.urlsplit(handler.path)
        if parts.path == "/v1/images":
            query = dict(urllib.parse.parse_qsl(parts.query))
            self._wait_for_news(int(query.get("since", -1)), float(query["wait"]))
            return False
        match = re.fullmatch(r"/v1/objects/([0-9a-f]{64})", parts.path)
        if match is None or match[1] not in self.objects:
            return False
        self._send_object(handler, match[1])
        return True

    def _wait_for_news(self, since: int, wait: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self.down or self.images["epoch"] > since, wait)
        if self.down:
            raise Cut

    def _send_object(self, handler: plane_region.Handler, sha256: str) -> None:
        content = bytes(self.objects[sha256])
        first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        self.asked.append((sha256, first, last))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.end_headers()
        for index in blocks.blocks_of_range(first, last + 1):
            start = max(first, blocks.block_start(index))
            data = content[start : min(last + 1, blocks.block_start(index + 1))]
            if self.script is not None:
                data = self.script(sha256, index, data)
            handler.wfile.write(data)
            self.sent[sha256] += len(data)


class Rack(on_thread.OnThread):
    """The real rack controller; it can be stopped and started again."""

    def __init__(self, settings: rack_settings.RackSettings) -> None:
        super().__init__("rack", settings.control.socket)
        self.settings = settings
        self.port = settings.http.port

    async def serve(self, stop: asyncio.Event) -> None:
        await controller.RackController(self.settings, lambda: self.settings).run(stop)

    def cache(self) -> dict[str, Any]:
        """Return what ``boot-resources cache status`` shows."""
        return self.local.get("/cache")

    def holds(self, content: bytes) -> bool:
        """Return whether these bytes are a whole object of the cache."""
        entries = self.cache()["contents"]
        return any(each["sha256"] == name_of(content) and each["whole"] for each in entries)

    def wait_for_epoch(self, epoch: int) -> None:
        """Wait until it knows what was available as of that epoch."""
        wait_until(lambda: self.status()["epoch"] >= epoch)

    def wait_until_whole(self, content: bytes) -> None:
        """Wait until these bytes are a whole object of the cache."""
        wait_until(lambda: self.holds(content))


class Cloud:
    """Regions and racks below one directory; a context manager that ends them all."""

    def __init__(
        self, directory: pathlib.Path, members: plane_region.Cluster | None = None
    ) -> None:
        self.directory = directory
        self.members = members or plane_region.Cluster(directory / "cluster")
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def region(self, *images: Image, name: str = "region-0") -> Region:
        """Start a region that offers these images."""
        region = self._stack.enter_context(Region(self.members.region(name)))
        if images:
            region.offer(*images)
        return region

    def rack(
        self,
        *regions: Region,
        size: int = 64 * units.MIB,
        name: str = "rack-0",
        known: bool = True,
    ) -> Rack:
        """Start a rack of these regions.

        Args:
            regions: in the order in which they stand in its settings.
            size: bound of its cache, bytes.
            name: one of the same name uses the same cache.
            known: wait until it knows what the regions list.
        """
        rack = self.rack_of([region.address for region in regions], size=size, name=name)
        if known:
            rack.wait_for_epoch(max(region.images["epoch"] for region in regions))
        return rack

    def wait_until_names_are_kept(self, rack: Rack) -> None:
        """Wait for the list on disk: names are in force at once, and written a moment later."""
        wait_until((self.cache_of(rack) / "names.json").exists)

    def rack_of(
        self, addresses: Sequence[str], size: int = 64 * units.MIB, name: str = "rack-0"
    ) -> Rack:
        """Start a rack of the regions at these addresses."""
        rack = self._rack(addresses, size, name)
        rack.start()
        self._stack.callback(rack.stop)
        return rack

    def cache_of(self, rack: Rack) -> pathlib.Path:
        """Return the directory of a rack's cache."""
        return rack.settings.cache.path

    def idle_rack(self, *regions: Region) -> Rack:
        """Return a rack that is not started."""
        return self._rack([region.address for region in regions], 64 * units.MIB, "rack-0")

    def _rack(self, addresses: Sequence[str], size: int, name: str) -> Rack:
        identity = self.members.rack(name)
        http_port, metrics_port = on_thread.free_ports(2)
        plane = {
            "certificate": identity.certificate,
            "key": identity.key,
            "authority": identity.authority,
            "members": self.members.list_path,
        }
        values = {
            "controller": "rack",
            "name": name,
            "regions": tuple(addresses),
            "cache": {"path": self.directory / f"{name}-cache", "size": size},
            "http": {"listen": "127.0.0.1", "port": http_port},
            "metrics": {"port": metrics_port},
            "plane": plane,
            "control": {"socket": self.directory / f"{name}.sock"},
        }
        return Rack(rack_settings.RackSettings.model_validate(values))


@dataclasses.dataclass(frozen=True)
class Got:
    """What a machine got."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body, for people."""
        return self.body.decode()


def get(
    rack: Rack | int, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Got:
    """Ask a rack, or whoever serves at a port of loopback, once."""
    with contextlib.closing(Machine(rack)) as machine:
        machine.ask(path, method=method, headers=headers)
        return machine.rest()


class Machine:
    """One machine with one connection; its pace is its own.

    Raises from ``rest`` and ``take`` what http.client raises: a body that was cut off is an
    ``http.client.IncompleteRead`` or a ``ConnectionError``.
    """

    def __init__(self, rack: Rack | int) -> None:
        port = rack if isinstance(rack, int) else rack.port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)

    @property
    def local_port(self) -> int:
        """The port of this end: another one is another connection."""
        assert self._connection.sock is not None
        port: int = self._connection.sock.getsockname()[1]
        return port

    def ask(
        self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Send a request and return when the head of the answer is here."""
        self._connection.request(method, path, headers=dict(headers or {}))
        self._response = self._connection.getresponse()
        return self._response

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes of the body."""
        return self._response.read(count)

    def rest(self) -> Got:
        """Return the answer with what is left of its body."""
        body = self._response.read()
        return Got(self._response.status, dict(self._response.getheaders()), body)

    def rest_as_it_comes(self) -> bytes:
        """Return what is left of the body, whether that is all of it or was cut off."""
        came = bytearray()
        try:
            while piece := self._response.read1(units.MIB):
                came += piece
        except http.client.IncompleteRead as cut:
            came += cut.partial
        except ConnectionError:
            pass
        return bytes(came)

    def vanish(self) -> None:
        """Go away in the middle, without a goodbye."""
        assert self._connection.sock is not None
        reset = struct.pack("ii", 1, 0)
        self._connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        if hasattr(self, "_response"):
            self._response.close()


def raw_connection(rack: Rack | int) -> socket.socket:
    """Return a connection on which nothing was said yet."""
    port = rack if isinstance(rack, int) else rack.port
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def storm(rack: Rack, paths: Sequence[str]) -> list[Got]:
    """Let one machine for each path fetch it, all at the same moment."""
    start = threading.Barrier(len(paths))

    def machine(path: str) -> Got:
        start.wait()
        return get(rack, path)

    with futures.ThreadPoolExecutor(len(paths), "machine") as pool:
        return list(pool.map(machine, paths))


@contextlib.contextmanager
def later(work: Callable[[], Got]) -> Iterator["futures.Future[Got]"]:
    """Do something beside the story; its result is there at the end of the block at the latest."""
    with futures.ThreadPoolExecutor(1, "beside") as pool:
        yield pool.submit(work)


def space_of(directory: pathlib.Path) -> int:
    """Return the bytes that a directory takes on the disk, all included (``du``)."""
    space = 0
    for path in (directory, *directory.rglob("*")):
        # A file may go while we look.
        with contextlib.suppress(FileNotFoundError):
            space += path.lstat().st_blocks * 512
    return space


class SpaceWatch:
    """Looks again and again, for the length of the block, at what a directory takes.

    Attributes:
        most: bytes; the most that was seen.
        looks: how often it looked.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self.most = 0
        self.looks = 0
        self._directory = directory
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.002):
            self.most = max(self.most, space_of(self._directory))
            self.looks += 1


def document(got: Got) -> Any:
    """Return the JSON of an answer."""
    return json.loads(got.body)


def refuse(_: origin.Request) -> origin.Reply:
    """Answer as a source that is out of order: a hook for ``demo.origin``."""
    return origin.Reply(404, {"Content-Length": "0"})
