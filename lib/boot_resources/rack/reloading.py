"""The settings of a rack that runs: its file is the truth, read again when it is told to.

Always true: a file that cannot be used changes nothing, and the refusal stands as a notice until
a later reading succeeds. What a running rack can change is in force when ``reload`` returns; what
it cannot is named, in the answer and as a notice, until the rack was started again or the file
says what is in force.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from boot_resources import errors, notices
from boot_resources.rack import cache as caches
from boot_resources.rack import supply as supplies
from boot_resources.rack import upkeep
from boot_resources.settings import changes
from boot_resources.settings import rack as rack_settings

logger = logging.getLogger(__name__)
Reread = Callable[[], rack_settings.RackSettings]
"""Returns the settings as the file has them now, from a worker thread; it raises
``errors.SettingsError`` where they cannot be used."""
_SCOPE = "settings"


class Reloading:
    """The settings in force. Belongs to the event loop."""

    def __init__(
        self,
        settings: rack_settings.RackSettings,
        reread: Reread,
        cache: caches.Cache,
        supply: supplies.Supply,
        board: notices.NoticeBoard,
        housekeeping: upkeep.Upkeep,
    ) -> None:
        self._in_force = settings
        self._reread = reread
        self._cache = cache
        self._supply = supply
        self._board = board
        self._upkeep = housekeeping
        self._one_at_a_time = asyncio.Lock()
        self._asked_for: set[asyncio.Task[None]] = set()

    async def reload(self) -> list[changes.Change]:
        """Read the settings file again; return what is different in it.

        Raises:
            errors.SettingsError: it cannot be used; nothing was changed.
        """
        async with self._one_at_a_time:
            try:
                asked = await asyncio.to_thread(self._reread)
            except errors.SettingsError as error:
                self._board.state(_SCOPE, [_refused(error)])
                raise
            before, self._in_force = self._in_force, self._in_force.reloaded(asked)
            found = changes.between(before, asked, self._in_force)
            await self._apply(before)
            self._board.state(_SCOPE, _waiting(found))
            for change in found:
                when = "" if change.live else " (after a restart)"
                logger.info("%s: %s, before %s%s", change.key, change.asked, change.before, when)
            logger.info("the settings were read again; %d keys changed", len(found))
            return found

    def reload_soon(self) -> None:
        """Do the same at a signal; who sent it looks into the log."""
        reloading = asyncio.get_running_loop().create_task(self._reload_for_nobody())
        self._asked_for.add(reloading)
        reloading.add_done_callback(self._asked_for.discard)

    async def _reload_for_nobody(self) -> None:
        try:
            await self.reload()
        except errors.SettingsError:
            logger.debug("the notice says what is wrong")

    async def _apply(self, before: rack_settings.RackSettings) -> None:
        now = self._in_force
        if now.log_level != before.log_level:
            logging.getLogger().setLevel(now.log_level.upper())
        if now.cache.size != before.cache.size:
            await self._cache.resize(now.cache.size)
            # What passed through under the former bound says nothing about this one.
            self._supply.passed.clear()
            self._upkeep.state()


def _refused(error: errors.SettingsError) -> notices.Notice:
    return notices.Notice(
        "refused",
        notices.Severity.WARNING,
        f"the settings file was read again and refused: {'; '.join(str(error).splitlines())}",
        error.cure or "correct it and reload; the settings before are in force",
    )


def _waiting(found: Iterable[changes.Change]) -> Iterable[notices.Notice]:
    keys = [change.key for change in found if not change.live]
    if keys:
        yield notices.Notice(
            "restart",
            notices.Severity.INFO,
            f"changed in the settings file and not in force: {', '.join(keys)}",
            "restart the rack when it suits, or put back what was there and reload",
        )
