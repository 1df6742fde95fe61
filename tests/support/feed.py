"""A signed source that a test spoils at will, and a region that reads it again and again.

``Feed`` is both. Every attack on it has to end the same way, which ``refuses`` and its sisters
hold: an error of a named class that says which document and why; the last good catalog in force;
a notice with a cure in the region's status; and, once the source is well again, a reading that
works and leaves no notice.

The source is a real one: gpg signs, a server on loopback sends, and the region's own engine reads
it into its own catalog and store. The documents are small, so that a test takes tenths of a
second.
"""

import contextlib
import dataclasses
import datetime
import json
import pathlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

from boot_resources import errors, notices, units
from boot_resources.catalog import cluster, documents, holdings, sources
from boot_resources.demo import origin, signed_source
from boot_resources.source import address, fetch, retrying
from boot_resources.store import storage
from boot_resources.sync import engine as engines
from boot_resources.sync import refresh
from support import databases, stores, syncing

INDEX = "streams/v1/index.sjson"
UBUNTU = "com.example:v3:download"
CENTOS = "com.example:w:centos"
DOCUMENT = f"streams/v1/{UBUNTU}.sjson"
OTHER = f"streams/v1/{CENTOS}.sjson"
NOBLE = "com.example:v3:noble"
EL8 = "com.example:centos:8"
VERSION = "20250718"
FIRST_IMAGES = {
    f"centos/amd64/generic/8/stable/{VERSION}",
    f"ubuntu/amd64/generic/noble/stable/{VERSION}",
}
_TAGS = {
    UBUNTU: {"os": "ubuntu", "arch": "amd64", "release": "noble", "label": "stable"},
    CENTOS: {"os": "centos", "arch": "amd64", "release": "8", "label": "stable"},
}
MINUTE = datetime.timedelta(minutes=1)
DAY = datetime.timedelta(days=1)

PATIENT = fetch.Limits(document=1_000_000)
"""What the source may take where a test is not about time: nothing honest comes near it."""
IMPATIENT = dataclasses.replace(PATIENT, read=1.5, min_rate=1e6, window=1.5)
"""What it may take where it is slow on purpose."""
_ASK_AGAIN_AT_ONCE = retrying.Policy(attempts=2, sleep=lambda _: None)


@dataclasses.dataclass(frozen=True)
class Held:
    """What a region goes on with, whatever its source does.

    Attributes:
        available: the images that are offered.
        objects: what its store has proved.
        accepted: date and sha256 of each document in force.
    """

    available: frozenset[str]
    objects: frozenset[str]
    accepted: Mapping[str, tuple[datetime.datetime, str]]


class Feed:
    """The source and the region.

    Attributes:
        source: signs with the one key of the region's keyring.
        server: sends; ``server.on_request`` makes it misbehave.
        catalog: the region's.
        refreshed: what the last reading of the source brought.
        date: of the newest honest documents.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._ends = contextlib.ExitStack()
        self.source = self._ends.enter_context(signed_source.SignedSource(directory / "source"))
        self.date = units.utc_now().replace(microsecond=0) - DAY / 2
        squashfs = self.source.add_payload("noble/squashfs", b"squashfs")
        tarball = self.source.add_payload("centos/root-tgz", b"tarball")
        self._add(UBUNTU, NOBLE, VERSION, "squashfs", squashfs)
        self._add(CENTOS, EL8, VERSION, "root-tgz", tarball)
        self.source.publish(self.date)
        self.server = self._ends.enter_context(origin.Origin(self.source.directory))
        self.catalog = databases.migrated(f"sqlite:///{directory}/catalog.sqlite")
        self._ends.callback(self.catalog.close)
        self._store = storage.Storage(directory / "store", 0, 3600.0)
        stores.start(self._store)
        self._ends.callback(self._store.stop)
        self._board = notices.NoticeBoard(syncing.REGION)
        self.refreshed: refresh.Refreshed | None = None
        with self.catalog.write() as conn:
            cluster.join(conn, syncing.REGION, "region-0.example.com:5290")
        self.trust(self.source.keyring.read_bytes())

    def close(self) -> None:
        """End all of it."""
        self.server.on_request = None
        self._ends.close()

    # The source.

    def trust(self, keys: bytes | None) -> None:
        """Give the region this keyring; None allows unsigned documents."""
        with self.catalog.write() as conn:
            source = sources.Source(self.server.url, keys, keys is None)
            sources.declare(conn, source, [syncing.EVERYTHING])

    def document(
        self, path: str, *, of: str = "", date: datetime.datetime | None = None
    ) -> dict[str, Any]:
        """Return an honest newer document for ``path``, to be spoilt.

        Args:
            path: where it will be.
            of: the path of the document that it really is, where that is another one.
            date: what it says of its age; by default a minute newer than those before.
        """
        if date is None:
            self.date += MINUTE
            date = self.date
        made: dict[str, Any] = json.loads(self.source.documents(date)[plain(of or path)])
        return made

    def sign(self, path: str, content: Mapping[str, Any] | bytes, *keys: str) -> bytes:
        """Sign what the source is to send as ``path``, and have it sent; return it."""
        payload = content if isinstance(content, bytes) else signed_source.encode(content)
        signed = self.source.keychain.clear_sign(payload, keys or [self.source.key])
        self.write(path, signed)
        return signed

    def write(self, path: str, content: bytes) -> None:
        """Have the source send this as ``path``."""
        (self.source.directory / path).write_bytes(content)

    def answer(self, path: str, reply: Callable[[], origin.Reply | origin.Cut]) -> None:
        """Have the server answer like this whenever it is asked for ``path``."""
        self.server.on_request = lambda asked: reply() if asked.path == f"/{path}" else None

    def offer(self, content: bytes, version: str = "20250801") -> signed_source.File:
        """Let the source offer a newer noble, and publish it."""
        squashfs = self.source.add_payload(f"noble/{version}/squashfs", content)
        self._add(UBUNTU, NOBLE, version, "squashfs", squashfs)
        self.sign(DOCUMENT, self.document(DOCUMENT))
        return squashfs

    def heal(self, *paths: str) -> None:
        """Make the source well: honest, newer documents, and nothing else is sent."""
        self.server.on_request = None
        for path in paths or (INDEX, DOCUMENT, OTHER):
            self.sign(path, self.document(path))

    def _add(self, content_id: str, key: str, version: str, name: str, file: Any) -> None:
        self.source.add_product(content_id, key, _TAGS[content_id], version, {name: (name, file)})

    # The region.

    def sync(
        self,
        limits: fetch.Limits = PATIENT,
        *,
        resolve: address.Resolve = address.resolve,
        stale_after: datetime.timedelta = 90 * DAY,
    ) -> engines.Outcome:
        """Do one pass, as after ``boot-resources sync``."""
        read = refresh.refresh

        def noted(*arguments: Any) -> refresh.Refreshed | None:
            self.refreshed = read(*arguments)
            return self.refreshed

        rules = engines.Rules(2, 3600.0, stale_after)
        with (
            fetch.Fetcher(policy=_ASK_AGAIN_AT_ONCE, limits=limits, resolve=resolve) as fetcher,
            mock.patch.object(refresh, "refresh", noted),
        ):
            engine = engines.Engine(
                syncing.REGION,
                self.catalog,
                self._store,
                fetcher,
                self._board,
                rules,
                lambda _: None,
                lambda: None,
            )
            return engine.run(read_source=True, stop=threading.Event())

    def held(self) -> Held:
        """Return what the region goes on with now."""
        with self.catalog.read() as conn:
            managed = sources.get_source(conn)
            assert managed is not None
            known = documents.accepted(conn, managed.id)
            proved = holdings.held(conn, syncing.REGION)
        assert proved == self._store.held().keys()
        return Held(
            frozenset(syncing.available(self.catalog)),
            frozenset(proved),
            {path: (each.updated, each.sha256) for path, each in known.items()},
        )

    def status(self) -> list[dict[str, str]]:
        """Return the notices as ``/status`` gives them."""
        return [notices.describe(each) for each in self._board.standing()]

    def error(self, path: str) -> errors.BootResourcesError | None:
        """Return what the last reading had against the document at ``path``."""
        assert self.refreshed is not None
        assert self.refreshed.reading is not None
        found = (one for one in self.refreshed.reading.documents if one.path == path)
        return next((one.error for one in found), None)

    # How every attack has to end.

    def refuses(
        self,
        path: str,
        kind: type[errors.BootResourcesError],
        why: str,
        *,
        limits: fetch.Limits = PATIENT,
        resolve: address.Resolve = address.resolve,
    ) -> None:
        """Check that the next pass refuses the document at ``path``, and what comes after."""
        before = self.held()
        self.sync(limits, resolve=resolve)
        error = self.error(path)
        assert type(error) is kind
        assert why in str(error)
        self.says(path, why)
        assert self.held() == before
        self.recovers(path)

    def says(self, *words: str, severity: str = "warning") -> None:
        """Check that one notice in the status has all these words, on one line, and a cure."""
        found = [each for each in self.status() if all(word in each["text"] for word in words)]
        assert [each["severity"] for each in found] == [severity], self.status()
        (notice,) = found
        assert notice["cure"]
        assert notice["text"].isprintable()
        assert len(notice["text"]) < 2000

    def recovers(self, *paths: str) -> None:
        """Check that all is well as soon as the source is: nothing but that is needed."""
        images = self.held().available
        self.heal(*paths)
        self.sync()
        assert self.status() == []
        now = self.held()
        assert now.available >= images
        assert now.accepted[paths[-1] if paths else OTHER][0] == self.date


def plain(path: str) -> str:
    """Return the path of the unsigned document beside the signed one."""
    return path.removesuffix(".sjson") + ".json"


def item(document: dict[str, Any], product: str = NOBLE) -> dict[str, Any]:
    """Return the one item of the newest version of a product, to be spoilt."""
    versions: dict[str, Any] = document["products"][product]["versions"]
    (found,) = versions[max(versions)]["items"].values()
    spoilt: dict[str, Any] = found
    return spoilt


def began(directory: pathlib.Path) -> Iterator[Feed]:
    """Yield a feed that has been read once."""
    feed = Feed(directory)
    try:
        feed.sync()
        assert feed.status() == []
        assert feed.held().available == FIRST_IMAGES
        yield feed
    finally:
        feed.close()
