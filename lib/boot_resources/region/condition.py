"""What an operator should know of this region's disk, said from what is so now.

A damaged object is spoken of until it is held again, or nobody wants it any more; a stranger until
somebody moved it away. Of many damaged objects a few are named and the rest counted.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from boot_resources import notices
from boot_resources.store import audit, storage

logger = logging.getLogger(__name__)
SCOPE = "storage"
"""The scope of notices about this region's disk."""
_SHOWN = 3
"""How many damaged objects get a notice of their own; the log names all."""
_FETCHED_AGAIN = "it is fetched again; what is left of it is in damaged/; check the disk's health"
_ALL_FETCHED_AGAIN = (
    "they are fetched again; what is left of them is in damaged/, and the log names each; check "
    "the disk's health"
)


class DiskCondition:
    """The losses of one store that are not made good yet. Safe to use from several threads."""

    def __init__(self, store: storage.Storage, board: notices.NoticeBoard) -> None:
        self._store = store
        self._board = board
        self._lock = threading.Lock()
        self._damaged: dict[str, audit.Finding] = {}

    def found(self, findings: Iterable[audit.Finding]) -> None:
        """Note objects that are not sound, and say so."""
        with self._lock:
            self._damaged |= {finding.sha256: finding for finding in findings}
        self.state()

    def state(self, wanted: AbstractSet[str] | None = None) -> None:
        """Say what is so now.

        Args:
            wanted: the objects that this region should hold, where that is known: no others are
                fetched again.
        """
        try:
            strangers = sorted(path.name for path in self._store.strangers())
        except OSError as error:
            logger.warning("the store cannot be looked through: %s", error)
            strangers = []
        held = self._store.held()
        with self._lock:
            self._damaged = {
                sha256: finding
                for sha256, finding in self._damaged.items()
                if sha256 not in held and (wanted is None or sha256 in wanted)
            }
            self._board.state(SCOPE, _notices(list(self._damaged.values()), strangers))


def _notices(damaged: Sequence[audit.Finding], strangers: list[str]) -> Iterable[notices.Notice]:
    for finding in damaged[:_SHOWN]:
        yield notices.Notice(
            finding.sha256[:12],
            notices.Severity.WARNING,
            f"object {finding.sha256[:12]} was {finding.verdict}: {finding.detail}",
            _FETCHED_AGAIN,
        )
    if len(damaged) > _SHOWN:
        yield notices.Notice(
            "more-damaged",
            notices.Severity.WARNING,
            f"{len(damaged) - _SHOWN} more objects were not what was proved",
            _ALL_FETCHED_AGAIN,
        )
    if strangers:
        yield notices.Notice(
            "strangers",
            notices.Severity.INFO,
            f"{len(strangers)} names among the objects are not ours, for example "
            f"{strangers[0]!r}; they are left alone",
            "move them away if nobody needs them there",
        )
