"""A door that errs, and a door that is narrower than it was asked to be."""

import asyncio
import logging
import socket
import ssl

import pytest
from aiohttp import web

from boot_resources.service import doors, ports, refusals
from support import wire


async def knock(port: int) -> bytes:
    """Return all that is said to one who says nothing."""

    def listen() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as stranger:
            return wire.rest(stranger)

    return await asyncio.to_thread(listen)


def test_who_could_not_be_received_keeps_no_place(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> ssl.SSLContext:
        raise RuntimeError("a defect")

    async def story() -> bytes:
        listening = ports.listen("127.0.0.1", 0, "test")
        port: int = listening.getsockname()[1]
        refused = refusals.Refusals("test")
        async with doors.opened(web.Application(), listening, refused, tls=broken):
            return await knock(port)

    with caplog.at_level(logging.ERROR):
        assert asyncio.run(story()) == b""
    assert "127.0.0.1 could not be received" in caplog.text
    assert "a defect" in caplog.text


def test_fewer_connections_than_were_set_are_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "_affordable", lambda: 17)

    async def story(connections: int) -> None:
        listening = ports.listen("127.0.0.1", 0, "test")
        refused = refusals.Refusals("test port")
        app = web.Application()
        async with doors.opened(app, listening, refused, connections=connections):
            pass

    asyncio.run(story(17))
    assert not caplog.text
    asyncio.run(story(4096))
    assert "the test port takes 17 connections and not 4096" in caplog.text
