"""Questions and orders about images, sources and selections: what the command asks of the catalog.

Each is one transaction in a worker thread. An order that changes what is wanted has a sync follow.
"""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from boot_resources import units
from boot_resources.catalog import (
    availability,
    database,
    documents,
    handovers,
    images,
    names,
    sources,
)
from boot_resources.region import aside, syncing
from boot_resources.source import address, fetch, reading, select
from boot_resources.sync import refresh

logger = logging.getLogger(__name__)
_SET_ONE = "set one: boot-resources sources set URL --keyring FILE"


class Curation:
    """Answers `images`, `sources` and `selections`. Its handlers belong to the event loop."""

    def __init__(
        self,
        catalog: database.Catalog,
        sync: syncing.Syncing,
        fetcher: fetch.Fetcher,
        beside: aside.Aside,
    ) -> None:
        self._catalog = catalog
        self._sync = sync
        self._fetcher = fetcher
        self._aside = beside

    def add_to(self, app: web.Application) -> None:
        """Add the handlers to the control socket's application."""
        app.router.add_get("/images", self._images)
        app.router.add_get("/images/show", self._show_image)
        app.router.add_post("/images/remove", self._remove_image)
        app.router.add_get("/sources", self._sources)
        app.router.add_post("/sources/set", self._set_source)
        app.router.add_post("/sources/check", self._check_source)
        app.router.add_post("/sources/accept-older", self._accept_older)
        app.router.add_get("/selections", self._selections)
        app.router.add_post("/selections/add", self._add_selection)
        app.router.add_post("/selections/remove", self._remove_selection)

    async def _images(self, _: web.Request) -> web.Response:
        def work() -> dict[str, Any]:
            with self._catalog.read() as conn:
                return {
                    "images": [_describe_image(image) for image in images.listing(conn)],
                    "withheld": handovers.withholds(conn),
                }

        return web.json_response(await self._aside.ask(work))

    async def _show_image(self, request: web.Request) -> web.Response:
        name = names.ImageName.parse(request.query["name"])

        def work() -> images.ImageDetail:
            with self._catalog.read() as conn:
                return images.show(conn, name)

        detail = await self._aside.ask(work)
        items = [
            {
                "filename": item.filename,
                "ftype": item.ftype,
                "size": item.size,
                "sha256": item.sha256,
                "held_by": list(detail.holders[item.sha256]),
            }
            for item in detail.items
        ]
        return web.json_response(_describe_image(detail.image) | {"items": items})

    async def _remove_image(self, request: web.Request) -> web.Response:
        asked = await request.json()
        name = names.ImageName.parse(asked["name"])

        def work() -> None:
            with self._catalog.write() as conn:
                images.remove(conn, name, force=bool(asked.get("force")))
                availability.refresh(conn)
            self._sync.renew_offer()

        await self._aside.ask(work)
        self._sync.nudge()
        return web.json_response({"removed": str(name)})

    async def _sources(self, _: web.Request) -> web.Response:
        def work() -> dict[str, Any]:
            with self._catalog.read() as conn:
                managed = sources.get_source(conn)
                known = documents.accepted(conn, managed.id) if managed else {}
            return {
                "source": describe_source(managed),
                "documents": [
                    {"path": path, "updated": each.updated.isoformat(), "sha256": each.sha256}
                    for path, each in sorted(known.items())
                ],
            }

        return web.json_response(await self._aside.ask(work))

    async def _set_source(self, request: web.Request) -> web.Response:
        asked = await request.json()
        text = asked.get("keyring")
        keyring = bytes.fromhex(text) if text else None
        source = sources.Source(asked["url"], keyring, bool(asked.get("allow_unsigned")))

        def work() -> bool:
            # A keyring or URL that cannot be used is refused before it is stored.
            refresh.boot_source(source)
            with self._catalog.write() as conn:
                return sources.set_source(conn, source)

        changed = await self._aside.ask(work)
        self._sync.ask()
        return web.json_response({"changed": changed})

    async def _check_source(self, _: web.Request) -> web.Response:
        def work() -> dict[str, Any]:
            with self._catalog.read() as conn:
                managed = sources.get_source(conn)
                if managed is None:
                    raise sources.NoSource("there is no boot source", _SET_ONE)
                selections = sources.list_selections(conn)
                accepted = refresh.accepted_before(conn, managed)
                lowered = frozenset(documents.lowered(conn, managed.id))
            # Without what the server called them, so that all of them are sent once more.
            anew = {
                path: dataclasses.replace(each, validators=fetch.Validators())
                for path, each in accepted.items()
            }
            source = refresh.boot_source(managed.source)
            now = units.utc_now()
            found = reading.read(source, self._fetcher, anew, now, lowered=lowered)
            return _describe_reading(managed.source, selections, found)

        return web.json_response(await self._aside.ask(work))

    async def _accept_older(self, request: web.Request) -> web.Response:
        asked = await request.json()

        def work() -> None:
            with self._catalog.write() as conn:
                managed = sources.get_source(conn)
                if managed is None:
                    raise sources.NoSource("there is no boot source", _SET_ONE)
                documents.lower_guard(conn, managed.id, asked["document"], asked["reason"])

        await self._aside.ask(work)
        logger.warning("guard of %s lowered once: %s", asked["document"], asked["reason"])
        self._sync.ask()
        return web.json_response({"document": asked["document"], "reason": asked["reason"]})

    async def _selections(self, _: web.Request) -> web.Response:
        def work() -> dict[str, Any]:
            with self._catalog.read() as conn:
                managed = sources.get_source(conn)
                found = sources.list_selections(conn)
            return {
                "declared": managed.selections_declared if managed else False,
                "selections": [dataclasses.asdict(selection) for selection in found],
            }

        return web.json_response(await self._aside.ask(work))

    async def _add_selection(self, request: web.Request) -> web.Response:
        asked = await request.json()
        selection = sources.Selection(
            asked["os"],
            asked["release"],
            tuple(asked["arches"]),
            tuple(asked["subarches"]),
            tuple(asked["labels"]),
        )

        def work() -> bool:
            with self._catalog.write() as conn:
                return sources.add_selection(conn, selection)

        changed = await self._aside.ask(work)
        self._sync.ask()
        return web.json_response({"changed": changed})

    async def _remove_selection(self, request: web.Request) -> web.Response:
        asked = await request.json()

        def work() -> Sequence[sources.Selection]:
            with self._catalog.write() as conn:
                return sources.remove_selection(conn, asked["os"], asked["release"])

        removed = await self._aside.ask(work)
        self._sync.ask()
        return web.json_response({"removed": [dataclasses.asdict(each) for each in removed]})


def _describe_reading(
    source: sources.Source,
    selections: Sequence[sources.Selection],
    found: reading.Reading,
) -> dict[str, Any]:
    """Return all that was found in a source, and what the selections want of it."""
    chosen = select.choose(
        found.products,
        [select.Selection(s.os, s.release, s.arches, s.subarches, s.labels) for s in selections],
    )
    wanted = {item.sha256: item.size for each in chosen.wanted for item in each.items}
    return {
        "url": address.without_credentials(source.url),
        "signed": source.keyring is not None,
        "documents": [
            {
                "path": each.path,
                "outcome": each.outcome.value,
                "error": str(each.error) if each.error else "",
                "age": each.age.total_seconds() if each.age else None,
            }
            for each in found.documents
        ],
        "products": [
            {
                "key": product.key,
                "name": "/".join(product.names),
                "title": product.title,
                "versions": [version.name for version in product.versions],
                "wanted": any(each.key == product.key for each in chosen.wanted),
            }
            for product in found.products
        ],
        "wanted_images": len(chosen.wanted),
        "wanted_objects": len(wanted),
        "wanted_bytes": sum(wanted.values()),
        "problems": [
            {"where": each.where, "text": each.text}
            for each in (*found.problems, *chosen.lacking, *chosen.problems)
        ],
    }


def describe_source(managed: sources.ManagedSource | None) -> dict[str, Any] | None:
    """Return the boot source as plain values, without its credentials."""
    if managed is None:
        return None
    return {
        "url": address.without_credentials(managed.source.url),
        "signed": managed.source.keyring is not None,
        "allow_unsigned": managed.source.allow_unsigned,
        "declared": managed.declared,
        "selections_declared": managed.selections_declared,
    }


def _describe_image(image: images.ListedImage) -> dict[str, Any]:
    return {
        "name": str(image.name),
        "title": image.title,
        "bootloader_type": image.bootloader_type,
        "state": image.state.value,
        "size": image.size,
        "held": dict(image.held),
        "dropped": image.dropped.isoformat() if image.dropped else None,
        "since": image.since.isoformat() if image.since else None,
        "superseded": image.superseded.isoformat() if image.superseded else None,
    }
