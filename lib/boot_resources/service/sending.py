"""Bytes of a file onto a connection, at the pace of the one who reads them.

Where the connection is not encrypted the kernel copies them (sendfile) and Python never sees them;
where it is, they are read a block at a time in a worker thread.
"""

import asyncio
import os
import socket
from typing import NoReturn

from aiohttp import web

_LOST = (ConnectionError, TimeoutError, RuntimeError)
"""How a lost connection shows; as a ``TimeoutError`` where the other end went silent."""
_CHUNK = 1024 * 1024
_AT_ONCE = 1024 * 1024
"""Bytes that one machine may get in one turn of the event loop, however fast it reads."""


class ClientGone(ConnectionError):
    """Whoever asked went away; nothing else is wrong."""


class _Descriptor:
    """The little that ``loop.sendfile`` wants of a file object."""

    mode = "rb"

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd


class Outlet:
    """The body of one response, and how many bytes of it went out.

    Attributes:
        sent: bytes handed to the connection.
    """

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response
        self.sent = 0

    async def data(self, chunk: bytes) -> None:
        """Send these bytes.

        Raises:
            ClientGone: the connection is lost.
        """
        try:
            await self._response.write(chunk)
        except _LOST as error:
            raise ClientGone(str(error)) from error
        self.sent += len(chunk)

    async def file(self, fd: int, start: int, stop: int) -> None:
        """Send the bytes [start, stop) of a file.

        Raises:
            ClientGone: the connection is lost. Where the file ends before ``stop`` it is cut:
                whatever came next on it would be taken for the rest of the file.
        """
        if self._request.secure:
            await self._read_and_send(fd, start, stop)
            return
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ClientGone("the connection is closed")
        try:
            at = _send_what_fits(transport, fd, start, min(stop, start + _AT_ONCE))
            if at < stop:
                loop = asyncio.get_running_loop()
                at += await loop.sendfile(transport, _Descriptor(fd), at, stop - at)  # type: ignore[arg-type]
        except _LOST as error:
            raise ClientGone(str(error)) from error
        self.sent += at - start
        if at < stop:
            self._cut_short()

    async def end(self) -> None:
        """Finish the response; the connection may then carry another request.

        Raises:
            ClientGone: the connection is lost.
        """
        try:
            await self._response.write_eof()
        except _LOST as error:
            raise ClientGone(str(error)) from error

    def abort(self) -> None:
        """Cut the connection, so that a body that cannot be finished does not look whole."""
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _read_and_send(self, fd: int, start: int, stop: int) -> None:
        loop = asyncio.get_running_loop()
        while start < stop:
            chunk = await loop.run_in_executor(
                None, os.pread, fd, min(_CHUNK, stop - start), start
            )
            if not chunk:
                self._cut_short()
            await self.data(chunk)
            start += len(chunk)

    def _cut_short(self) -> NoReturn:
        self.abort()
        raise ClientGone("the file ended early, so the connection was cut")


def _send_what_fits(transport: asyncio.Transport, fd: int, start: int, stop: int) -> int:
    """Hand the connection what its buffer takes now; return up to where that was.

    A small object is then gone at once, without another turn of the event loop.
    """
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None or transport.get_write_buffer_size():
        return start
    try:
        while start < stop:
            sent = os.sendfile(connection.fileno(), fd, start, stop - start)
            if not sent:
                break
            start += sent
    except BlockingIOError:
        pass
    return start
