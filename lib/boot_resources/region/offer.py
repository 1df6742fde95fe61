"""What is available: the one list that racks get.

It is made from the catalog whenever that may have changed, and lies beside the store as well, so
that a region goes on offering with the database down, even after a restart. A disk that takes no
file does not hold the list up: it is offered first and written then, now or with the next call.
"""

import asyncio
import logging
import pathlib
import threading
from collections.abc import Callable, Iterable

import pydantic

from boot_resources import notices
from boot_resources.catalog import availability
from boot_resources.plane import messages
from boot_resources.store import disk as disks
from boot_resources.store import regular

logger = logging.getLogger(__name__)
SCOPE = "offer"
"""The scope of notices about the list of what is available."""


class Offer:
    """The newest list, and those who wait for a newer one. Built in the event loop's thread."""

    def __init__(
        self, path: pathlib.Path, board: notices.NoticeBoard, disk: disks.Disk | None = None
    ) -> None:
        """Take up the list that lies at ``path``, if there is one."""
        self._path = path
        self._board = board
        self._disk = disk or disks.Disk()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._current = _remembered(path)
        self._kept = self._current
        # The list after which the catalog was set back, while ours is older than that.
        self._set_back: messages.AvailableImages | None = None
        self._closing = False

    @property
    def current(self) -> messages.AvailableImages | None:
        """The newest list; None before a catalog was ever seen."""
        return self._current

    @property
    def withheld(self) -> bool:
        """Whether nothing is offered because a first migration has not succeeded yet."""
        return self._current is not None and self._current.withheld

    @property
    def serves(self) -> bool:
        """Whether there is a list to offer: what every probe is told, on whichever port."""
        return self._current is not None and not self._current.withheld

    @property
    def is_kept(self) -> bool:
        """Whether the newest list lies on the disk; otherwise ``replace`` writes it."""
        return self._kept is self._current

    def is_of(self, cluster: str, epoch: int) -> bool:
        """Return whether the newest list is what that cluster's catalog said at that epoch."""
        known = self._current
        return known is not None and (known.cluster, known.epoch) == (cluster, epoch)

    def keep_to(self, cluster: str) -> None:
        """Take up no list of another cluster, as a store that was taken over has; at a start."""
        if self._current is not None and self._current.cluster != cluster:
            self._current = self._kept = None

    def replace(self, read: Callable[[], availability.Availability]) -> None:
        """Offer what the catalog says is available. May be called by any thread.

        Args:
            read: asks the catalog. Calls follow one another, so what one reads is never older
                than what the one before it read, unless the catalog itself was set back.
        """
        with self._lock:
            listed = _listed(read())
            known = self._current
            if known is None or not self.is_of(listed.cluster, listed.epoch):
                self._note_a_step_back(known, listed)
                self._current = known = listed
                self._loop.call_soon_threadsafe(self._wake)
            problem = None if self.is_kept else self._keep(known)
            self._board.state(SCOPE, _notices(problem, self._set_back, listed))

    def _note_a_step_back(
        self, known: messages.AvailableImages | None, listed: messages.AvailableImages
    ) -> None:
        latest = self._set_back or known
        is_behind = (
            latest is not None and latest.cluster == listed.cluster and listed.epoch < latest.epoch
        )
        self._set_back = latest if is_behind else None

    def _keep(self, listed: messages.AvailableImages) -> OSError | None:
        try:
            self._disk.publish(self._path, listed.model_dump_json().encode())
        except OSError as error:
            # The notice says so, once; it is tried again with every look.
            return error
        self._kept = listed
        return None

    def _wake(self) -> None:
        waiting, self._changed = self._changed, asyncio.Event()
        waiting.set()

    def close(self) -> None:
        """Send everybody away who waits: the region stops."""
        self._closing = True
        self._wake()

    async def newer_than(self, epoch: int | None, wait: float) -> messages.AvailableImages | None:
        """Return the list if it is newer than ``epoch``, waiting up to ``wait`` seconds for that.

        Returns:
            None where nothing newer came.
        """
        deadline = self._loop.time() + wait
        while self._current is None or (epoch is not None and self._current.epoch <= epoch):
            left = deadline - self._loop.time()
            if left <= 0 or self._closing:
                return None
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return None
        return self._current


def _remembered(path: pathlib.Path) -> messages.AvailableImages | None:
    try:
        return messages.AvailableImages.model_validate_json(regular.read(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s cannot be read: %s; the catalog is asked anew", path, error.strerror)
        return None
    except pydantic.ValidationError:
        logger.warning("%s is damaged; the catalog is asked anew", path)
        return None


def _notices(
    problem: OSError | None,
    set_back: messages.AvailableImages | None,
    listed: messages.AvailableImages,
) -> Iterable[notices.Notice]:
    if problem is not None:
        yield notices.Notice(
            "unwritten",
            notices.Severity.WARNING,
            "the list of what is available is offered, and could not be written beside the store: "
            f"{problem.strerror}; a restart without the database would offer an older one",
            "free space there, or look at the disk; it is written again by itself",
        )
    if set_back is not None:
        yield notices.Notice(
            "set-back",
            notices.Severity.WARNING,
            f"the catalog is at epoch {listed.epoch} and was at {set_back.epoch}: it was restored "
            "from a backup; what it says is offered",
            "racks keep the newer list that they know until the epoch has passed it; each says "
            "how to go on at once",
        )


def _listed(found: availability.Availability) -> messages.AvailableImages:
    # Of the versions of one name the one that is not superseded comes first, then the youngest.
    ordered = sorted(found.images, key=lambda image: image.since, reverse=True)
    ordered.sort(key=lambda image: (image.name.product, image.superseded is not None))
    return messages.AvailableImages(
        cluster=found.cluster_uuid,
        epoch=found.epoch,
        images=tuple(
            messages.AvailableImage(
                os=image.name.product.os,
                arch=image.name.product.arch,
                subarch=image.name.product.subarch,
                release=image.name.product.release,
                label=image.name.product.label,
                version=image.name.version,
                title=image.title,
                items=tuple(
                    messages.AvailableItem(
                        filename=item.filename,
                        ftype=item.ftype,
                        sha256=item.sha256,
                        size=item.size,
                        map_digest=item.map_digest,
                    )
                    for item in image.items
                ),
            )
            for image in ordered
        ),
        withheld=found.withheld,
    )
