"""The region's figures for Prometheus, read from the region itself when they are asked for."""

from collections.abc import Iterable

from prometheus_client import core

from boot_resources import notices
from boot_resources.region import offer as offers
from boot_resources.region import serving, syncing
from boot_resources.service import refusals
from boot_resources.store import scrub as scrubs
from boot_resources.store import storage


class Figures:
    """Collects every metric of a region."""

    def __init__(
        self,
        store: storage.Storage,
        scrub: scrubs.Scrub,
        offer: offers.Offer,
        sync: syncing.Syncing,
        port: serving.PlanePort,
        board: notices.NoticeBoard,
    ) -> None:
        self._store = store
        self._scrub = scrub
        self._offer = offer
        self._sync = sync
        self._port = port
        self._board = board

    def collect(self) -> Iterable[core.Metric]:
        """Yield every metric."""
        held = self._store.held()
        offered = self._offer.current
        snapshot = self._sync.engine.progress.snapshot()
        gauges = {
            "boot_resources_objects": ("Objects held.", len(held)),
            "boot_resources_object_bytes": (
                "Bytes of the objects held.",
                sum(proof.size for proof in held.values()),
            ),
            "boot_resources_available_images": (
                "Images offered to racks.",
                len(offered.images) if offered else 0,
            ),
            "boot_resources_epoch": ("Epoch of the offer.", offered.epoch if offered else 0),
            "boot_resources_sync_total_bytes": (
                "Bytes that the present pass has to bring.",
                snapshot.total,
            ),
            "boot_resources_sync_done_bytes": (
                "Bytes that the present pass has brought.",
                snapshot.done,
            ),
        }
        for name, (text, value) in gauges.items():
            yield core.GaugeMetricFamily(name, text, value=value)
        yield core.GaugeMetricFamily(
            "boot_resources_scrub_last_pass_timestamp_seconds",
            "When the scrub had last read everything, seconds since the epoch; 0 before that.",
            value=self._scrub.position.passed or 0,
        )
        scrubbed = {
            "boot_resources_scrub_bytes": ("Bytes read by the scrub.", self._scrub.read_bytes),
            "boot_resources_scrub_findings": ("Objects found damaged.", self._scrub.findings),
        }
        for name, (text, value) in scrubbed.items():
            yield core.CounterMetricFamily(name, text, value=value)
        served = core.CounterMetricFamily(
            "boot_resources_plane_served_bytes", "Object bytes given to members.", labels=["role"]
        )
        for role, size in self._port.served.items():
            served.add_metric([role.value], size)
        yield served
        yield refusals.metric("boot_resources_plane_refused", self._port.refused)
        standing = core.GaugeMetricFamily(
            "boot_resources_notices", "Notices that stand.", labels=["severity"]
        )
        found = [each.notice.severity for each in self._board.standing()]
        for severity in notices.Severity:
            standing.add_metric([severity.name.lower()], found.count(severity))
        yield standing
