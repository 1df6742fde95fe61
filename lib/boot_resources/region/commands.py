"""What the local socket answers: the questions and orders of the ``boot-resources`` command.

The command never opens a running region's database; the region does it for the command, in a
worker thread, so that serving never waits for it.
"""

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from boot_resources import errors, notices, units
from boot_resources.catalog import (
    availability,
    cluster,
    database,
    documents,
    images,
    ledger,
    names,
    noticeboard,
    sources,
)
from boot_resources.plane import members
from boot_resources.region import offer as offers
from boot_resources.region import syncing
from boot_resources.service import control
from boot_resources.source import address, fetch, reading, select
from boot_resources.store import audit, space, storage
from boot_resources.sync import refresh

_TICK = 0.2
_SET_ONE = "set one: boot-resources sources set URL --keyring FILE"
logger = logging.getLogger(__name__)
_LARGEST_ORDER = 16 * units.MIB
"""Bytes; an order may carry a keyring."""


class Commands:
    """Answers the command. Its handlers belong to the event loop."""

    def __init__(
        self,
        health: Callable[[], dict[str, Any]],
        catalog: database.Catalog,
        store: storage.Storage,
        offer: offers.Offer,
        sync: syncing.Syncing,
        board: notices.NoticeBoard,
        fetcher: fetch.Fetcher,
        served: Mapping[members.Role, int],
        stopping: Callable[[], bool],
    ) -> None:
        self._served = served
        self._stopping = stopping
        self._health = health
        self._catalog = catalog
        self._store = store
        self._offer = offer
        self._sync = sync
        self._board = board
        self._fetcher = fetcher
        self._started = time.monotonic()

    def application(self) -> web.Application:
        """Return the application for the control socket."""
        app = web.Application(
            middlewares=[control.answer_refusals], client_max_size=_LARGEST_ORDER
        )
        app.router.add_get("/status", self._status)
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
        app.router.add_post("/sync", self._run_sync)
        app.router.add_get("/sync", self._show_sync)
        app.router.add_post("/verify", self._verify)
        return app

    async def _status(self, _: web.Request) -> web.Response:
        offered = self._offer.current
        room = await asyncio.to_thread(self._room)
        held = self._store.held()
        status = self._health() | {
            "controller": "region",
            "uptime": time.monotonic() - self._started,
            "epoch": offered.epoch if offered else None,
            "images": len(offered.images) if offered else 0,
            "storage": {
                "path": str(self._store.root),
                "objects": len(held),
                "bytes": sum(proof.size for proof in held.values()),
                "free": room.free if room else 0,
                "reserve": self._store.reserve,
            },
            "served": {role.value: size for role, size in self._served.items()},
            "sync": self._describe_sync(),
            "notices": [notices.describe(each) for each in self._board.standing()],
        }
        try:
            status |= await asyncio.to_thread(self._catalog_status)
        except errors.BootResourcesError as error:
            # The rest of the status is of more use than a refusal.
            status |= {"catalog": f"{error}", "source": None, "ledger": {}}
        return web.json_response(status)

    def _room(self) -> space.Room | None:
        try:
            return self._store.room_for({})
        except OSError as error:
            # The rest of the status is of more use than a refusal.
            logger.warning("the space in %s is not known: %s", self._store.root, error)
            return None

    def _catalog_status(self) -> dict[str, Any]:
        with self._catalog.read() as conn:
            managed = sources.get_source(conn)
            others = {member.name for member in cluster.members(conn)} - {self._health()["name"]}
            noted = [
                notices.describe(each)
                for each in noticeboard.standing(conn)
                if each.unit in others
            ]
            totals = ledger.totals(conn)
        return {
            "catalog": self._catalog.name,
            "source": _describe_source(managed),
            "ledger": totals,
            "other_notices": noted,
        }

    def _describe_sync(self) -> dict[str, Any]:
        last = self._sync.last
        return self._sync.engine.progress.snapshot().describe() | {
            "passes": last.number,
            "last_ended": last.ended,
            "last_error": last.error,
            "last_outcome": dataclasses.asdict(last.outcome) if last.outcome else None,
        }

    async def _images(self, _: web.Request) -> web.Response:
        def work() -> list[dict[str, Any]]:
            with self._catalog.read() as conn:
                return [_describe_image(image) for image in images.listing(conn)]

        return web.json_response({"images": await asyncio.to_thread(work)})

    async def _show_image(self, request: web.Request) -> web.Response:
        name = names.ImageName.parse(request.query["name"])

        def work() -> images.ImageDetail:
            with self._catalog.read() as conn:
                return images.show(conn, name)

        detail = await asyncio.to_thread(work)
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

        await asyncio.to_thread(work)
        self._sync.nudge()
        return web.json_response({"removed": str(name)})

    async def _sources(self, _: web.Request) -> web.Response:
        def work() -> dict[str, Any]:
            with self._catalog.read() as conn:
                managed = sources.get_source(conn)
                known = documents.accepted(conn, managed.id) if managed else {}
            return {
                "source": _describe_source(managed),
                "documents": [
                    {"path": path, "updated": each.updated.isoformat(), "sha256": each.sha256}
                    for path, each in sorted(known.items())
                ],
            }

        return web.json_response(await asyncio.to_thread(work))

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

        changed = await asyncio.to_thread(work)
        self._sync.ask()
        return web.json_response({"changed": changed})

    async def _check_source(self, _: web.Request) -> web.Response:
        def work() -> dict[str, Any]:
            with self._catalog.read() as conn:
                managed = sources.get_source(conn)
                selections = sources.list_selections(conn)
            if managed is None:
                raise sources.NoSource("there is no boot source", _SET_ONE)
            return _check(managed.source, selections, self._fetcher)

        return web.json_response(await asyncio.to_thread(work))

    async def _accept_older(self, request: web.Request) -> web.Response:
        asked = await request.json()

        def work() -> None:
            with self._catalog.write() as conn:
                managed = sources.get_source(conn)
                if managed is None:
                    raise sources.NoSource("there is no boot source", _SET_ONE)
                documents.lower_guard(conn, managed.id, asked["document"], asked["reason"])

        await asyncio.to_thread(work)
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

        return web.json_response(await asyncio.to_thread(work))

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

        changed = await asyncio.to_thread(work)
        self._sync.ask()
        return web.json_response({"changed": changed})

    async def _remove_selection(self, request: web.Request) -> web.Response:
        asked = await request.json()

        def work() -> Sequence[sources.Selection]:
            with self._catalog.write() as conn:
                return sources.remove_selection(conn, asked["os"], asked["release"])

        removed = await asyncio.to_thread(work)
        self._sync.ask()
        return web.json_response({"removed": [dataclasses.asdict(each) for each in removed]})

    async def _show_sync(self, _: web.Request) -> web.Response:
        return web.json_response(self._describe_sync())

    async def _run_sync(self, request: web.Request) -> web.StreamResponse:
        before = self._sync.total
        wanted = self._sync.ask()

        async def follow() -> AsyncIterator[dict[str, Any]]:
            while self._sync.last.number < wanted:
                sync = self._describe_sync()
                # Of a stream, `done` says whether this is the end of it, not how many bytes came.
                yield sync | {"here": sync["done"], "done": False}
                await asyncio.sleep(_TICK)
                if self._sync.stopped:
                    return
            yield self._describe_sync() | {
                "done": True,
                "brought": dataclasses.asdict(self._sync.total.since(before)),
                "notices": [notices.describe(each) for each in self._board.standing()],
            }

        return await control.stream(request, follow())

    async def _verify(self, request: web.Request) -> web.StreamResponse:
        held = self._store.held()
        total = sum(proof.size for proof in held.values())
        checked = 0
        lock = threading.Lock()

        def advance(count: int) -> None:
            nonlocal checked
            with lock:
                checked += count

        # All of it is done whether or not somebody still watches, but not past a stop.
        work = asyncio.to_thread(self._store.verify, advance, self._stopping)
        checking = asyncio.create_task(work)
        checking.add_done_callback(_log_failure)

        async def follow() -> AsyncIterator[dict[str, Any]]:
            while not checking.done():
                yield {"total": total, "checked": checked, "objects": len(held)}
                await asyncio.wait([checking], timeout=_TICK)
            report = checking.result()
            yield {
                "done": True,
                "total": total,
                "checked": checked,
                "objects": len(held),
                "sound": len(report.sound),
                "findings": [
                    {"sha256": f.sha256, "verdict": f.verdict.value, "detail": f.detail}
                    for f in report.findings
                ],
                "strangers": [str(path) for path in report.strangers],
            }

        return await control.stream(request, follow())


def _log_failure(checking: asyncio.Task[audit.Report]) -> None:
    error = None if checking.cancelled() else checking.exception()
    if error is not None:
        logger.warning("a check of the store was not done: %s", error)


def _check(
    source: sources.Source,
    selections: Sequence[sources.Selection],
    fetcher: fetch.Fetcher,
) -> dict[str, Any]:
    """Read the source as if for the first time, changing nothing, and say all that was found."""
    found = reading.read(refresh.boot_source(source), fetcher, {}, units.utc_now())
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
            for each in (*found.problems, *chosen.problems)
        ],
    }


def _describe_source(managed: sources.ManagedSource | None) -> dict[str, Any] | None:
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
