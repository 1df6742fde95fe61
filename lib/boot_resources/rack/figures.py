"""The rack's figures for Prometheus, read from the rack itself when they are asked for."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import core

from boot_resources.service import refusals


class Figures:
    """Collects every metric of a rack."""

    def __init__(
        self,
        cache_status: Callable[[], dict[str, Any]],
        responses: Callable[[], dict[int, int]],
        refused: refusals.Refusals,
    ) -> None:
        self._cache_status = cache_status
        self._responses = responses
        self._refused = refused

    def collect(self) -> Iterable[core.Metric]:
        """Yield every metric."""
        status = self._cache_status()
        gauges = {
            "boot_resources_cache_limit_bytes": ("Bound of the cache.", status["limit"]),
            "boot_resources_cache_used_bytes": ("What the cache takes.", status["used"]),
            "boot_resources_cache_objects": ("Whole objects in the cache.", status["objects"]),
        }
        for name, (text, value) in gauges.items():
            yield core.GaugeMetricFamily(name, text, value=value)
        counters = {
            "boot_resources_served_bytes": (
                "Body bytes sent to machines.",
                status["served_bytes"],
            ),
            "boot_resources_fill_bytes": ("Object bytes from regions.", status["fill_bytes"]),
            "boot_resources_cache_evictions": ("Objects that made room.", status["evictions"]),
        }
        for name, (text, value) in counters.items():
            yield core.CounterMetricFamily(name, text, value=value)
        requests = core.CounterMetricFamily(
            "boot_resources_requests", "Bodies given to machines.", labels=["way"]
        )
        for way, count in status["requests"].items():
            requests.add_metric([way], count)
        yield requests
        responses = core.CounterMetricFamily(
            "boot_resources_http_responses", "Answers to machines.", labels=["status"]
        )
        for code, count in self._responses().items():
            responses.add_metric([str(code)], count)
        yield responses
        yield refusals.metric("boot_resources_http_refused", self._refused)
