"""What is available: the one list that racks get.

It is made from the catalog whenever that may have changed, and lies beside the store as well, so
that a region goes on offering with the database down, even after a restart.
"""

import asyncio
import logging
import pathlib
import threading

import pydantic

from boot_resources.catalog import availability
from boot_resources.plane import messages
from boot_resources.store import disk as disks

logger = logging.getLogger(__name__)


class Offer:
    """The newest list, and those who wait for a newer one. Built in the event loop's thread."""

    def __init__(self, path: pathlib.Path, disk: disks.Disk | None = None) -> None:
        """Take up the list that lies at ``path``, if there is one."""
        self._path = path
        self._disk = disk or disks.Disk()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._lock = threading.Lock()
        self._current = _remembered(path)
        self._closing = False

    @property
    def current(self) -> messages.AvailableImages | None:
        """The newest list; None before a catalog was ever seen."""
        return self._current

    def replace(self, found: availability.Availability) -> None:
        """Offer what the catalog says is available. May be called by any thread."""
        listed = _listed(found)
        with self._lock:
            if self._is_known(listed):
                return
            self._disk.publish(self._path, listed.model_dump_json().encode())
            self._current = listed
        self._loop.call_soon_threadsafe(self._wake)

    def _is_known(self, listed: messages.AvailableImages) -> bool:
        known = self._current
        return (
            known is not None and known.cluster == listed.cluster and known.epoch >= listed.epoch
        )

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
        return messages.AvailableImages.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except pydantic.ValidationError:
        logger.warning("%s is damaged; the catalog is asked anew", path)
        return None


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
    )
