"""What machines can ask for, by name, as the regions list it.

The list comes from a region by a long poll, so it is some milliseconds old where all is well, and
lies on disk as well: with every region down, even after a restart, names go on working. Names are
keys of a table; no part of a machine's request ever becomes a file name.
"""

import contextlib
import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Sequence

import pydantic

from boot_resources import errors, notices
from boot_resources.plane import client as plane_client
from boot_resources.plane import messages
from boot_resources.store import disk as disks

logger = logging.getLogger(__name__)
_POLL_SECONDS = 2.0
TIMEOUTS = plane_client.Timeouts(connect=3.0, read=3.0)
"""For the clients that follow: a region that hangs is noticed, and another asked, within 5 s."""
_RETRY_SECONDS = 1.0
Path = tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Redirect:
    """The versioned path that a versionless name stands for now."""

    path: Path


@dataclasses.dataclass(frozen=True)
class Table:
    """One list of available images, ready to be looked up.

    Attributes:
        listed: the list.
        files: each file by ``(os, arch, subarch, release, label, version, filename)``.
        newest: the versioned path of each ``(os, arch, subarch, release, label, filename)``.
        objects: the same files by the sha256 of their object.
    """

    listed: messages.AvailableImages
    files: dict[Path, messages.AvailableItem]
    newest: dict[Path, Path]
    objects: dict[str, messages.AvailableItem]

    @classmethod
    def of(cls, listed: messages.AvailableImages) -> "Table":
        """Return the table of a list, in which the newest version of a name comes first."""
        files: dict[Path, messages.AvailableItem] = {}
        newest: dict[Path, Path] = {}
        newest_version: dict[Path, str] = {}
        for image in listed.images:
            name = (image.os, image.arch, image.subarch, image.release, image.label)
            version = newest_version.setdefault(name, image.version)
            for item in image.items:
                path = (*name, image.version, item.filename)
                files[path] = item
                # A file that only an older version has is not part of the newest one.
                if image.version == version:
                    newest[*name, item.filename] = path
        return cls(listed, files, newest, {item.sha256: item for item in files.values()})

    def find(self, path: Path) -> messages.AvailableItem | Redirect | None:
        """Return what a path names: a file, or where to find its newest version."""
        if path in self.files:
            return self.files[path]
        if path in self.newest:
            return Redirect(self.newest[path])
        return None


Room = Callable[[int], contextlib.AbstractContextManager[bool]]
Answered = Callable[[str], None]
_EMPTY = messages.AvailableImages(cluster="", epoch=0, images=())


class Names:
    """The newest table, kept up to date by a thread of its own.

    Attributes:
        table: what is available now; replaced as a whole.
    """

    def __init__(
        self,
        clients: Sequence[plane_client.RegionClient],
        path: pathlib.Path,
        board: notices.NoticeBoard,
        room: Room,
        answered: Answered,
        disk: disks.Disk | None = None,
    ) -> None:
        """Take up the table that lies at ``path``.

        Args:
            clients: the regions to ask.
            path: where the list is kept; it counts within the cache's bound.
            board: this rack's notices.
            room: holds that many bytes for the list, for the length of a block; says whether
                they are there.
            answered: called with the address of a region that answered.
            disk: the file layer.
        """
        self._room = room
        self._answered = answered
        self._is_kept = True
        self._clients = clients
        self._path = path
        self._board = board
        self._disk = disk or disks.Disk()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="names", daemon=True)
        self.updated = 0.0
        """When a region last confirmed the table, monotonic seconds; 0 before that."""
        self.table = Table.of(self._remembered())

    @property
    def known(self) -> bool:
        """Whether a region has ever said what is available."""
        return bool(self.table.listed.cluster)

    def start(self) -> None:
        """Begin to follow the regions."""
        self._thread.start()

    def stop(self) -> None:
        """End the poll that is under way, and wait for it. Not for the event loop's thread."""
        self._stopping.set()
        for client in self._clients:
            client.hang_up()
        if self._thread.is_alive():
            self._thread.join()
        for client in self._clients:
            client.close()

    def _remembered(self) -> messages.AvailableImages:
        try:
            return messages.AvailableImages.model_validate_json(self._path.read_bytes())
        except OSError:
            # There is none yet; what else is wrong with the directory, the cache says.
            return _EMPTY
        except pydantic.ValidationError:
            logger.warning("%s is damaged; the regions are asked anew", self._path)
            return _EMPTY

    def _follow(self) -> None:
        turn = 0
        confirmed = False
        while not self._stopping.is_set():
            client = self._clients[turn % len(self._clients)]
            try:
                self._ask(client, confirmed=confirmed)
                confirmed = True
            except errors.BootResourcesError as error:
                if self._stopping.is_set():
                    # It was we who hung up.
                    return
                turn += 1
                confirmed = False
                self._board.state("names", [self._unreachable(error)])
                self._stopping.wait(_RETRY_SECONDS)
            except Exception:
                # A defect must not end the names for good; it is logged whole, and tried again.
                logger.exception("following the regions failed in a way that it should not")
                confirmed = False
                self._stopping.wait(_RETRY_SECONDS)

    def _ask(self, client: plane_client.RegionClient, *, confirmed: bool) -> None:
        # A region that was not asked before, or failed since, says all, and at once: what we
        # have may be of another cluster, or newer than a catalog that was restored.
        if confirmed and self._is_kept:
            listed = client.images(self.table.listed.epoch, _POLL_SECONDS)
        else:
            listed = client.images(None, 0)
        self._answered(client.address)
        if listed is not None:
            self._replace(listed)
        self.updated = time.monotonic()
        self._board.state("names", [] if self._is_kept else [self._not_kept()])
        if not self._is_kept:
            self._stopping.wait(_RETRY_SECONDS)

    def _unreachable(self, error: errors.BootResourcesError) -> notices.Notice:
        return notices.Notice(
            key="regions",
            severity=notices.Severity.WARNING,
            text=f"the list of available images may be out of date: {error}",
            cure=error.cure or "check the region and the network; what is cached is served",
        )

    def _not_kept(self) -> notices.Notice:
        return notices.Notice(
            key="disk",
            severity=notices.Severity.WARNING,
            text=f"the list of available images could not be written to {self._path}; after a "
            "restart without regions the rack would know only the list before",
            cure="free space there, or raise cache.size; it is tried again",
        )

    def _replace(self, listed: messages.AvailableImages) -> None:
        before = self.table.listed
        if before.cluster not in ("", listed.cluster):
            raise errors.BootResourcesError(
                f"the regions are now of cluster {listed.cluster}, before of {before.cluster}",
                f"if that is meant, stop the rack, remove {self._path} and start it",
            )
        if listed.epoch < before.epoch:
            raise errors.BootResourcesError(
                f"a region lists epoch {listed.epoch}, older than epoch {before.epoch} that is "
                "known here",
                "it may be behind the others for a moment; if the catalog was restored from a "
                f"backup, stop the rack, remove {self._path} and start it",
            )
        self.table = Table.of(listed)
        self._is_kept = self._keep(listed.model_dump_json().encode())

    def _keep(self, data: bytes) -> bool:
        try:
            with self._room(2 * len(data)) as is_there:
                if is_there:
                    self._disk.publish(self._path, data)
                return is_there
        except OSError as error:
            logger.warning("the list of available images could not be written: %s", error)
            return False
