"""A slow link: a TCP relay whose downstream direction has one rate for all its connections.

The same link stands between the rack and its region and between each peer and its origin, so that
all of them have the same bytes a second to share out. It counts what crosses it, encryption and
headers included.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

_CHUNK = 16 * 1024


class Link:
    """A relay to a loopback port; runs in a thread of its own.

    Attributes:
        port: where to connect.
        crossed: bytes that came down so far.
    """

    def __init__(self, target: int, rate: float) -> None:
        """Relay to port ``target`` at ``rate`` bytes a second; ``inf`` for no limit."""
        self._target = target
        self.rate = rate
        self.port = 0
        self.crossed = 0
        self._next = 0.0
        self._loop = asyncio.new_event_loop()
        self._listening = threading.Event()

    @contextlib.contextmanager
    def open(self) -> Iterator["Link"]:
        """Run the link until the end of the block."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        self._listening.wait()
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._relay, "127.0.0.1", 0, backlog=1024)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        relays = asyncio.all_tasks(self._loop)
        for task in relays:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*relays, return_exceptions=True))
        self._loop.close()

    async def _relay(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._up(near, out), self._down(far, back))
        except (ConnectionError, asyncio.CancelledError):
            # An end hung up, or the benchmark is over.
            return
        finally:
            for writer in (out, back):
                writer.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            self.crossed += len(data)
            now = time.monotonic()
            self._next = max(self._next, now) + len(data) / self.rate
            if self._next - now > 0.002:
                await asyncio.sleep(self._next - now)
            writer.write(data)
            await writer.drain()
        writer.close()
