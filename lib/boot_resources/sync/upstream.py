"""One object from the boot source into the store, each byte once.

Always true: what comes from the source is provisional until all of the object is here and has the
sha256 that the source signed; only then is it held. A transfer that breaks off goes on at the
byte where it broke off; after a restart, at the first block that is missing.
"""

import logging
import threading
from collections.abc import Callable

from boot_resources import errors
from boot_resources.source import address, fetch
from boot_resources.source import failures as source_failures
from boot_resources.store import blocks, facts, partial, storage

logger = logging.getLogger(__name__)
_ATTEMPTS = 5
"""How often in a row a transfer may break off without bringing a byte."""
_PAUSE = 1.0

Arrived = Callable[[int], None]
"""Called with the number of bytes that came from upstream since the last call."""


class UpstreamWrong(errors.BootResourcesError):
    """The source gives bytes that are not those that it signed."""


class Mixed(errors.BootResourcesError):
    """What came now and what came before do not make the object; it is fetched from its start."""


class Stopped(errors.BootResourcesError):
    """The controller is stopping; what came so far is kept."""


def fetch_object(
    store: storage.Storage,
    fetcher: fetch.Fetcher,
    url: str,
    incoming: partial.Partial,
    arrived: Arrived,
    stop: threading.Event,
) -> facts.Proof:
    """Bring the missing blocks of ``incoming``, prove and hold it; closes or discards it.

    Raises:
        UpstreamWrong: the bytes are not those that were signed; nothing of them is kept.
        Mixed: the same, where some of them came in an earlier call: the source may have mended
            them since.
        source_failures.TooLarge: the source sends on after the object's end: it is another file,
            and nothing of it is kept.
        source_failures.FetchError: the source cannot be reached or refuses; what came is kept.
        Stopped: ``stop`` was set.
        OSError: the disk refused.
    """
    resumed = incoming.held_bytes > 0
    shown = address.without_credentials(url)
    try:
        for run in list(incoming.missing()):
            _fetch_run(fetcher, url, incoming, run, arrived, stop)
        proof = store.publish(incoming)
    except partial.WrongObject as error:
        incoming.discard()
        if resumed:
            raise Mixed(
                f"{shown} is not what the source signed, or its first part was not: {error}",
                "nothing of it is served; the next pass fetches it from its beginning",
            ) from error
        raise UpstreamWrong(
            f"{shown} is not what the source signed: {error}",
            "tell whoever runs the source; it is fetched again when its documents change, "
            "or with `boot-resources sync`",
        ) from error
    except source_failures.TooLarge:
        incoming.discard()
        raise
    except OSError:
        # What a failing disk took cannot be trusted (see store.disk).
        incoming.discard()
        raise
    except BaseException:
        incoming.close()
        raise
    incoming.close()
    return proof


def _fetch_run(
    fetcher: fetch.Fetcher,
    url: str,
    incoming: partial.Partial,
    run: range,
    arrived: Arrived,
    stop: threading.Event,
) -> None:
    """Fetch the blocks of ``run``, going on where a transfer broke off."""
    assembler = _Assembler(incoming, run)
    validator: fetch.Validators | None = None
    fruitless = 0
    while not assembler.complete:
        before = assembler.position
        try:
            with fetcher.open_range(
                url, before, assembler.end, size=incoming.size, validator=validator
            ) as reply:
                validator = reply.validator
                skip = before - reply.start
                for chunk in reply.chunks:
                    arrived(len(chunk))
                    assembler.take(chunk[skip:])
                    skip = max(0, skip - len(chunk))
                    if stop.is_set():
                        raise Stopped("the sync was stopped; it goes on at the next start")
        except source_failures.Interrupted as error:
            fruitless = 0 if assembler.position > before else fruitless + 1
            if fruitless >= _ATTEMPTS or stop.wait(_PAUSE * fruitless):
                raise
            logger.info("going on at byte %d: %s", assembler.position, error)


class _Assembler:
    """Makes blocks of chunks. ``position`` is the next byte that is needed, in the object."""

    def __init__(self, incoming: partial.Partial, run: range) -> None:
        self._incoming = incoming
        self._index = run.start
        self._buffer = bytearray()
        self.end = min(incoming.size, blocks.block_start(run.stop))

    @property
    def position(self) -> int:
        return blocks.block_start(self._index) + len(self._buffer)

    @property
    def complete(self) -> bool:
        return self.position >= self.end

    def take(self, chunk: bytes) -> None:
        while chunk:
            length = blocks.block_length(self._index, self._incoming.size)
            needed = length - len(self._buffer)
            self._buffer += chunk[:needed]
            chunk = chunk[needed:]
            if len(self._buffer) == length:
                self._incoming.write(self._index, self._buffer)
                self._buffer.clear()
                self._index += 1
