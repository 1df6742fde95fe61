"""The plane port: racks and other regions fetch from here. TLS, members only.

========================================  =====================================================
``GET /v1/images?since=EPOCH&wait=S``     all available images; 304 where nothing is newer
``GET /v1/objects/SHA256``                the bytes of a proved object; one Range
``GET /v1/objects/SHA256/map``            its block map
``POST /v1/objects/SHA256/complaint``     its bytes came wrong; it is hashed here
``GET /v1/health``                        who answers here
========================================  =====================================================

Always true: a connection counts only if its chain is valid and its key is in the member list, in a
role that may ask; this is looked at again with every request, and the open connections of a member
that left are cut. Only what is proved and held is given out.
"""

import asyncio
import json
import logging

from aiohttp import web

import boot_resources
from boot_resources import digests, notices
from boot_resources.plane import members, messages
from boot_resources.region import complaints
from boot_resources.region import offer as offers
from boot_resources.service import control, ranges, refusals, sending
from boot_resources.store import objects, storage

logger = logging.getLogger(__name__)
LONGEST_WAIT = 60.0
"""Seconds for which a long poll may wait."""
_WATCH_SECONDS = 1.0
_ROLE = web.RequestKey("role", members.Role)
_ROLES = (members.Role.REGION, members.Role.RACK, members.Role.OPERATOR)
SCOPE = "members"
"""The scope of notices about the member list."""


class PlanePort:
    """Answers members. Belongs to the event loop.

    Attributes:
        served: body bytes of objects sent since the start, by the role that asked.
        refused: who was turned away, in the handshake or because the list does not have him.
    """

    def __init__(
        self,
        board: notices.NoticeBoard,
        store: storage.Storage,
        offer: offers.Offer,
        member_file: members.MemberFile,
    ) -> None:
        self._board = board
        self._store = store
        self._offer = offer
        self._member_file = member_file
        self._complaints = complaints.Complaints(store)
        # The certificate shown on each open connection.
        self._open: dict[asyncio.Transport, bytes] = {}
        self.served = dict.fromkeys(_ROLES, 0)
        self.refused = refusals.Refusals(
            "plane port",
            (refusals.Reason.HANDSHAKE, refusals.Reason.MEMBER, refusals.Reason.FULL),
        )

    def application(self) -> web.Application:
        """Return the application for the plane port."""
        app = web.Application(middlewares=[self._admit])
        app.router.add_get("/v1/images", self._images)
        app.router.add_get("/v1/objects/{sha256}", self._object)
        app.router.add_get("/v1/objects/{sha256}/map", self._block_map)
        app.router.add_post("/v1/objects/{sha256}/complaint", self._complaint)
        app.router.add_get("/v1/health", self._health)
        return app

    async def watch_members(self) -> None:
        """Cut the connections of members that leave, for as long as this runs.

        A list that cannot be read is said in a notice; the last good one stays in force.
        """
        seen: members.Members | None = None
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            try:
                listed = self._member_file.current()
                self._board.state(SCOPE, _about_list(self._member_file.problem))
                self._board.state(refusals.SCOPE, self.refused.notices())
                self._open = {t: shown for t, shown in self._open.items() if not t.is_closing()}
                if listed is not seen:
                    self._cut_who_left(listed)
                    seen = listed
            except Exception:
                # Whoever leaves the list later must be cut all the same.
                logger.exception("the member list could not be looked at; it is looked at again")

    def _cut_who_left(self, listed: members.Members) -> None:
        for transport, certificate in self._open.items():
            try:
                listed.admit(certificate, _ROLES)
            except members.NotAMember as error:
                logger.warning("cut a connection: %s", error)
                transport.abort()

    @web.middleware
    async def _admit(self, request: web.Request, handler: control.Handler) -> web.StreamResponse:
        transport = request.transport
        tls = request.get_extra_info("ssl_object")
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        try:
            if certificate is None:
                raise members.NotAMember("none", "it showed no certificate")
            member = self._member_file.current().admit(certificate, _ROLES)
        except members.NotAMember as error:
            self.refused.note(
                refusals.Reason.MEMBER,
                request.remote or "",
                f"{error.why}; it showed the key {error.fingerprint} and asked for {request.path}",
                error.cure,
            )
            return web.json_response({"error": str(error), "cure": error.cure}, status=403)
        if transport is not None:
            self._open[transport] = certificate
        request[_ROLE] = member.role
        return await handler(request)

    async def _images(self, request: web.Request) -> web.StreamResponse:
        try:
            since = int(request.query["since"]) if "since" in request.query else None
            # In this order a wait that is not a number counts as none.
            wait = min(LONGEST_WAIT, max(0.0, float(request.query.get("wait", 0))))
        except ValueError:
            raise web.HTTPBadRequest(text="since is an epoch, wait a number of seconds") from None
        listed = await self._offer.newer_than(since, wait)
        if listed is None:
            return web.Response(status=304 if since is not None else 503)
        return web.json_response(text=listed.model_dump_json())

    async def _object(self, request: web.Request) -> web.StreamResponse:
        sha256 = _name_of(request)
        try:
            opened = await asyncio.to_thread(self._store.open, sha256)
        except (objects.ObjectMissing, objects.ObjectChanged) as error:
            return _missing(error)
        except OSError as error:
            return await self._unreadable(sha256, error)
        with opened:
            answer = ranges.answer(request.headers, sha256, opened.size, request.method)
            if request.method == "HEAD" or not answer.length:
                return web.Response(status=answer.status, headers=answer.headers)
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            outlet = sending.Outlet(request, response)
            try:
                await outlet.begin()
                await outlet.file(opened.fd, answer.start, answer.stop)
                await outlet.end()
            except sending.ClientGone as error:
                logger.debug("a member went away: %s", error)
            except sending.FileFailed as error:
                await self._recheck(sha256, error)
            finally:
                self.served[request[_ROLE]] += outlet.sent
            return response

    async def _block_map(self, request: web.Request) -> web.StreamResponse:
        sha256 = _name_of(request)
        try:
            block_map = await asyncio.to_thread(self._store.block_map, sha256)
        except objects.ObjectMissing as error:
            return _missing(error)
        except OSError as error:
            return await self._unreadable(sha256, error)
        return web.Response(body=block_map.to_bytes(), content_type="application/octet-stream")

    async def _complaint(self, request: web.Request) -> web.StreamResponse:
        self._complaints.note(_name_of(request), request.remote or "a member")
        return web.Response(status=202)

    async def _unreadable(self, sha256: str, error: OSError) -> web.Response:
        await self._recheck(sha256, error)
        return web.json_response({"error": f"the disk gave an error: {error}"}, status=503)

    async def _recheck(self, sha256: str, error: OSError) -> None:
        """Have an object looked at that could not be read; it may be held no longer then."""
        logger.warning("object %s could not be read: %s", sha256, error)
        try:
            await asyncio.to_thread(self._store.recheck, sha256)
        except OSError as again:
            logger.warning("object %s could not be checked: %s", sha256, again)

    async def _health(self, _: web.Request) -> web.StreamResponse:
        listed = self._offer.current
        health = messages.Health(
            name=self._board.unit,
            version=boot_resources.__version__,
            cluster=listed.cluster if listed else "",
            serving=self._offer.serves,
            notices=len(self._board.standing()),
        )
        return web.json_response(text=health.model_dump_json())


def _about_list(problem: members.MembersError | None) -> list[notices.Notice]:
    if problem is None:
        return []
    text = f"{problem}; the list that was read before stays in force"
    return [notices.Notice("list", notices.Severity.WARNING, text, problem.cure)]


def _name_of(request: web.Request) -> str:
    sha256 = request.match_info["sha256"]
    if not digests.is_sha256(sha256):
        raise web.HTTPNotFound(
            text=json.dumps({"error": "not the name of an object"}),
            content_type="application/json",
        )
    return sha256


def _missing(error: Exception) -> web.Response:
    return web.json_response({"error": str(error)}, status=404)
