"""The port for machines: plain HTTP, read-only, boot files and nothing else.

``/images/<os>/<arch>/<subarch>/<release>/<label>/<version>/<file>``
    a file by its name; without ``<version>`` a redirect to the newest one that is available, so
    that a boot never mixes two versions
``/images/<sha256>/<any labels>/<file>``
    the same by its object, as MAAS writes its URLs

A request's path is only ever looked up in a table. What cannot be finished is cut off, so that no
machine takes a part for the whole.
"""

import contextlib
import logging

from aiohttp import web

from boot_resources import digests, errors
from boot_resources.plane import messages
from boot_resources.rack import names as name_tables
from boot_resources.rack import supply as supplies
from boot_resources.service import ranges, sending

logger = logging.getLogger(__name__)
_PREFIX = "/images/"


class MachinePort:
    """Answers machines. Belongs to the event loop.

    Attributes:
        served: body bytes sent to machines since the start.
        requests: requests answered, by HTTP status.
    """

    def __init__(self, names: name_tables.Names, supply: supplies.Supply) -> None:
        self._names = names
        self._supply = supply
        self.served = 0
        self.requests: dict[int, int] = {}

    def application(self) -> web.Application:
        """Return the application for the machine port."""
        app = web.Application()
        app.router.add_get(_PREFIX + "{path:.+}", self._images)
        return app

    async def _images(self, request: web.Request) -> web.StreamResponse:
        try:
            response = await self._answer(request)
        except OSError as error:
            # Out of descriptors, say: this machine has to wait, the others go on.
            logger.warning("cannot open what %s asks for: %s", request.path, error)
            response = _plain_later("this rack cannot open the object now")
        self.requests[response.status] = self.requests.get(response.status, 0) + 1
        return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = tuple(request.match_info["path"].split("/"))
        if digests.is_sha256(path[0]):
            return await self._object(request, path[0])
        found = self._names.table.find(path)
        if found is None:
            return self._unknown(f"no available image has the file {'/'.join(path)!r}")
        if isinstance(found, name_tables.Redirect):
            location = _PREFIX + "/".join(found.path)
            return web.Response(
                status=307, headers={"Location": location, "Cache-Control": "no-cache"}
            )
        return await self._listed(request, found)

    async def _object(self, request: web.Request, sha256: str) -> web.StreamResponse:
        item = self._names.table.objects.get(sha256)
        if item is not None:
            return await self._listed(request, item)
        # What is cached goes on being served by its hash, whether it is still listed or not.
        body = self._supply.cached(sha256)
        if body is None:
            return self._unknown(f"no available image has the object {sha256}")
        answer = ranges.answer(request.headers, sha256, body.size, request.method)
        return await self._send(request, sha256, answer, body)

    def _unknown(self, what: str) -> web.Response:
        if not self._names.known:
            # Nobody can say yet what there is; a machine that gets a 404 may give up for good.
            return _plain_later("this rack has not yet heard from a region what is available")
        return _plain(404, what)

    async def _listed(
        self, request: web.Request, item: messages.AvailableItem
    ) -> web.StreamResponse:
        answer = ranges.answer(request.headers, item.sha256, item.size, request.method)
        if request.method == "HEAD" or not answer.length:
            return web.Response(status=answer.status, headers=answer.headers)
        try:
            body = await self._supply.body(item, answer.start)
        except errors.BootResourcesError as error:
            return _unavailable(error)
        return await self._send(request, item.sha256, answer, body)

    async def _send(
        self, request: web.Request, sha256: str, answer: ranges.Answer, body: supplies.Body
    ) -> web.StreamResponse:
        with contextlib.closing(body):
            if request.method == "HEAD" or not answer.length:
                return web.Response(status=answer.status, headers=answer.headers)
            try:
                # No status goes out before the first byte is here, checked.
                await body.ready(answer.start)
            except errors.BootResourcesError as error:
                return _unavailable(error)
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            try:
                await self._send_body(sending.Outlet(request, response), answer, body)
            except sending.FileFailed as error:
                logger.error("object %s is filled anew: %s", sha256[:12], error)
                self._supply.lose(sha256)
            return response

    async def _send_body(
        self, outlet: sending.Outlet, answer: ranges.Answer, body: supplies.Body
    ) -> None:
        try:
            await outlet.begin()
            await body.send(outlet, answer.start, answer.stop)
            await outlet.end()
        except sending.ClientGone as error:
            logger.debug("a machine went away: %s", error)
        except errors.BootResourcesError as error:
            logger.warning("a transfer was cut off: %s", error)
            outlet.abort()
        finally:
            self.served += outlet.sent


def _plain(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text + "\n")


def _unavailable(error: errors.BootResourcesError) -> web.Response:
    return _plain_later(f"{error}; {error.cure}" if error.cure else str(error))


def _plain_later(text: str) -> web.Response:
    response = _plain(503, text)
    response.headers["Retry-After"] = "5"
    return response
