"""Large objects become objects of the store: several at once, each over a connection of its own.

Always true: what is exported was hashed from its first byte to its last, has the sha256 that MAAS
recorded, and was durable before it got its name. The store itself remembers what is done, so a
kill at any point loses at most the blocks that were being written, and the next run goes on
behind them. What cannot be exported is set aside with the reason, and the rest goes on; only what
concerns all of them (no room, a disk or a server that fails) ends the export.
"""

import contextlib
import dataclasses
import errno
import logging
import os
import queue
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent import futures

import psycopg

from boot_resources import errors
from boot_resources.migration import contents, copystream, database, progress, readers, sessions
from boot_resources.store import blocks, partial, space, storage

logger = logging.getLogger(__name__)
_MOMENT = 0.1


class Stopped(errors.BootResourcesError):
    """The export was told to stop; what is exported stays, and the next run goes on from there."""

    def __init__(self) -> None:
        super().__init__("the export was stopped", "run it again: it goes on where it stopped")


class DiskFailed(errors.BootResourcesError):
    """The store's disk refused a write."""


@dataclasses.dataclass(frozen=True)
class Rules:
    """How to export.

    Attributes:
        parallel: large objects that are read at once, each over a connection of its own.
        patience: with connections that are lost.
    """

    parallel: int = 4
    patience: sessions.Patience = dataclasses.field(default_factory=sessions.Patience)


@dataclasses.dataclass(frozen=True)
class Exported:
    """What an export came to.

    Attributes:
        read: bytes that were read out of the database.
        done: objects that are in the store now, those that were there before included.
        set_aside: why each of the others could not be exported, by sha256.
    """

    read: int
    done: frozenset[str]
    set_aside: Mapping[str, str]


def export(
    maas: database.Database,
    reader: readers.Reader,
    wanted: Iterable[contents.Content],
    store: storage.Storage,
    rules: Rules,
    report: progress.Report,
    stop: threading.Event,
) -> Exported:
    """Bring every content into the store that is not there yet.

    Args:
        maas: the database.
        reader: how its large objects are read.
        wanted: contents that are whole as far as can be told; each once.
        store: a store that was started, and that nobody tidies meanwhile.
        rules: how to export.
        report: is told how far it is.
        stop: set it to end the export early.

    Raises:
        space.NotEnoughSpace: not all of it fits; nothing was read.
        DiskFailed: the disk refused.
        database.Unreachable: the connection was lost too often.
        Stopped: ``stop`` was set.
    """
    everything = list(wanted)
    held = store.held()
    missing = [each for each in everything if each.sha256 not in held]
    require_room(store.room_for({each.sha256: each.size for each in missing}))
    meter = progress.Meter(len(missing), sum(each.size for each in missing), report)
    crew = _Crew(maas, reader, store, rules, meter, stop)
    set_aside = crew.work(missing)
    done = {each.sha256 for each in everything} - set_aside.keys()
    return Exported(crew.bytes_read, frozenset(done), set_aside)


def require_room(room: space.Room) -> None:
    """Do nothing where everything fits.

    Raises:
        space.NotEnoughSpace: with what to do about it here.
    """
    try:
        room.require()
    except space.NotEnoughSpace as error:
        cure = "free that much there, or lower storage.reserve, and run it again"
        raise space.NotEnoughSpace(str(error), cure) from None


class _Halted(Exception):
    """A worker ends: the export was stopped, or another worker cannot go on."""


class _Crew:
    """Workers that empty one queue; the first that cannot go on ends the work of all."""

    def __init__(
        self,
        maas: database.Database,
        reader: readers.Reader,
        store: storage.Storage,
        rules: Rules,
        meter: progress.Meter,
        stop: threading.Event,
    ) -> None:
        self._maas = maas
        self._reader = reader
        self._store = store
        self._rules = rules
        self._meter = meter
        self._stop = stop
        self._failed = threading.Event()
        # Protects the two below.
        self._lock = threading.Lock()
        self._set_aside: dict[str, str] = {}
        self.bytes_read = 0

    def work(self, missing: Iterable[contents.Content]) -> dict[str, str]:
        """Export all of it; return why each that could not be exported was set aside."""
        waiting: queue.SimpleQueue[contents.Content] = queue.SimpleQueue()
        for each in missing:
            waiting.put(each)
        with futures.ThreadPoolExecutor(self._rules.parallel, "export") as pool:
            workers = [pool.submit(self._worker, waiting) for _ in range(self._rules.parallel)]
        for worker in workers:
            worker.result()
        if self._stop.is_set():
            raise Stopped
        return self._set_aside

    def _worker(self, waiting: "queue.SimpleQueue[contents.Content]") -> None:
        session = sessions.Session(self._maas, self._rules.patience, self._pause)
        try:
            while not self._halted():
                content = waiting.get_nowait()
                self._export(session, content)
                self._meter.ended()
        except (queue.Empty, _Halted):
            return
        except OSError as error:
            self._failed.set()
            raise self._disk_failed(error) from error
        except BaseException:
            self._failed.set()
            raise
        finally:
            session.close()

    def _halted(self) -> bool:
        return self._stop.is_set() or self._failed.is_set()

    def _pause(self, seconds: float) -> None:
        """Wait; what stops the export ends it within a moment."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._failed.is_set() or self._stop.wait(min(left, _MOMENT)):
                raise _Halted

    def _export(self, session: sessions.Session, content: contents.Content) -> None:
        """Bring one object, or set it aside."""
        try:
            self._bring(session, content)
        except (partial.WrongObject, partial.WrongBlock, readers.NotThere) as error:
            self._put_aside(content, str(error))
        except psycopg.Error as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            self._put_aside(content, f"the database does not give it: {lines[0]}")

    def _put_aside(self, content: contents.Content, reason: str) -> None:
        logger.warning("object %s is set aside: %s", content.sha256, reason)
        with self._lock:
            self._set_aside[content.sha256] = reason

    def _bring(self, session: sessions.Session, content: contents.Content) -> None:
        incoming = self._store.begin(content.sha256, content.size)
        resumed = incoming.held_bytes
        self._meter.resumed(resumed)
        try:
            self._read_and_prove(session, content, incoming)
        except partial.WrongObject:
            # Blocks of an earlier run may be what is wrong: all of it is read anew, once.
            if not resumed:
                raise
            self._bring(session, content)

    def _read_and_prove(
        self, session: sessions.Session, content: contents.Content, incoming: partial.Partial
    ) -> None:
        """Read the blocks that are missing, prove the object, and hold it; closes ``incoming``.

        What a stop or a lost connection leaves is kept for the next run, anything else is not: a
        disk that failed once is not believed again, and wrong bytes are of no use.
        """
        try:
            session.persist(
                lambda conn: self._read(conn, content, incoming), lambda: incoming.held_bytes
            )
            self._store.publish(incoming)
        except (errors.BootResourcesError, psycopg.Error, OSError) as error:
            if not isinstance(error, database.Unreachable):
                self._meter.read(-incoming.held_bytes)
                incoming.discard()
            raise
        finally:
            incoming.close()

    def _read(
        self, conn: database.Connection, content: contents.Content, incoming: partial.Partial
    ) -> None:
        """Read what is missing, in one transaction."""
        assert content.oid is not None, "what is whole has a large object"
        with conn.transaction():
            for run in list(incoming.missing()):
                stream = self._reader.read(conn, content.oid, content.size, run)
                # Closed before the transaction ends, which a stream that still flows would stop.
                with contextlib.closing(stream):
                    for index, data in stream:
                        self._take(incoming, index, data)

    def _take(self, incoming: partial.Partial, index: int, data: copystream.Buffer) -> None:
        if self._halted():
            raise _Halted
        incoming.write(index, data)
        _let_go(incoming, index)
        self._meter.read(len(data))
        with self._lock:
            self.bytes_read += len(data)

    def _disk_failed(self, error: OSError) -> DiskFailed:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return DiskFailed(
            f"the disk of {self._store.root} refused a write: {error.strerror}",
            ("free space there" if full else "look at the disk and the kernel's log")
            + ", and run it again: it goes on where it stopped",
        )


def _let_go(incoming: partial.Partial, index: int) -> None:
    """Have what came up to this block written now, and kept in memory no longer than that.

    Nobody reads it soon. MAAS's database, which often is on this host, is read now, and would be
    driven out of memory by what is written. Only a hint: what is durable is for ``publish``.
    """
    stop = blocks.block_start(index) + blocks.block_length(index, incoming.size)
    os.posix_fadvise(incoming.fd, 0, stop, os.POSIX_FADV_DONTNEED)
