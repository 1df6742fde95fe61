"""The metrics port: Prometheus reads ``/metrics``, and anybody may ask ``/health``."""

from collections.abc import Callable
from typing import Any

import prometheus_client
from aiohttp import web


def application(
    registry: prometheus_client.CollectorRegistry, health: Callable[[], dict[str, Any]]
) -> web.Application:
    """Return the application that serves ``registry``, and ``health`` as JSON."""

    async def show_metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=prometheus_client.generate_latest(registry),
            headers={"Content-Type": prometheus_client.CONTENT_TYPE_LATEST},
        )

    async def show_health(_: web.Request) -> web.Response:
        return web.json_response(health())

    app = web.Application()
    app.router.add_get("/metrics", show_metrics)
    app.router.add_get("/health", show_health)
    return app
