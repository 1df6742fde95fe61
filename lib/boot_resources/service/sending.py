"""Bytes of a file onto a connection, at the pace of the one who reads them.

Where the connection is not encrypted the kernel copies them (sendfile) and Python never sees them;
where it is, they are read a block at a time in a worker thread.
"""

import asyncio
import errno
import os
import socket
from typing import Any

from aiohttp import web

_LOST = (ConnectionError, TimeoutError, RuntimeError)
"""How a lost connection shows; as a ``TimeoutError`` where the other end went silent."""
_CHUNK = 1024 * 1024
_AT_ONCE = 1024 * 1024
"""Bytes that one machine may get in one turn of the event loop, however fast it reads."""
_PIECE = 8 * 1024 * 1024
"""Bytes after which it is counted what was sent."""


class ClientGone(ConnectionError):
    """Whoever asked went away; nothing else is wrong."""


class FileFailed(OSError):
    """The file could not be read, or ended early; the connection was cut."""


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

    async def begin(self) -> None:
        """Send the status and the headers.

        Raises:
            ClientGone: the connection is lost.
        """
        try:
            await self._response.prepare(self._request)
        except _LOST as error:
            raise ClientGone(str(error)) from error

    async def data(self, chunk: bytes) -> None:
        """Send these bytes.

        Raises:
            ClientGone: the connection is lost.
        """
        if not chunk:
            return
        try:
            await self._response.write(chunk)
        except _LOST as error:
            raise ClientGone(str(error)) from error
        self.sent += len(chunk)

    async def file(self, fd: int, start: int, stop: int) -> None:
        """Send the bytes [start, stop) of a file.

        Raises:
            ClientGone: the connection is lost.
            FileFailed: the file cannot be read, or ends before ``stop``. The connection was cut:
                whatever came next on it would be taken for the rest of the file.
        """
        send = self._read_and_send if self._request.secure else self._send_from_kernel
        while start < stop:
            try:
                sent = await send(fd, start, min(stop, start + _PIECE))
            except _LOST as error:
                raise ClientGone(str(error)) from error
            except OSError as error:
                self.abort()
                raise FileFailed(
                    error.errno, f"a file cannot be read: {error.strerror}"
                ) from error
            if not sent:
                self.abort()
                raise FileFailed(errno.EIO, "a file ended early")
            start += sent

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

    async def _send_from_kernel(self, fd: int, start: int, stop: int) -> int:
        """Send from a file and return how many bytes went; fewer only where the file ends."""
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ClientGone("the connection is closed")
        at = _send_what_fits(transport, fd, start, min(stop, start + _AT_ONCE))
        self.sent += at - start
        if at < stop:
            more = await _send_when_ready(transport, fd, at, stop)
            self.sent += more
            at += more
        return at - start

    async def _read_and_send(self, fd: int, start: int, stop: int) -> int:
        """Send from a file and return how many bytes went; 0 where the file ends."""
        loop = asyncio.get_running_loop()
        size = min(_CHUNK, stop - start)
        chunk = await loop.run_in_executor(None, os.pread, fd, size, start)
        await self.data(chunk)
        return len(chunk)


async def _send_when_ready(transport: asyncio.Transport, fd: int, start: int, stop: int) -> int:
    """Send at the reader's pace; return how many bytes went, fewer only where the file ends."""
    loop = asyncio.get_running_loop()
    file: Any = _Descriptor(fd)
    try:
        return await loop.sendfile(transport, file, start, stop - start, fallback=False)
    except asyncio.SendfileNotAvailableError as error:
        # The loop says this of any failure of its first call, and keeps the reason to itself: that
        # the other end has gone, or that the disk has. Asked once more, the kernel tells which.
        sent = _send_what_fits(transport, fd, start, stop) - start
        if not sent:
            raise ClientGone("the connection failed") from error
        return sent


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
