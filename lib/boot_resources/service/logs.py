"""The log: to standard error, which systemd and Juju keep; one record is one line.

Always true: nothing that a stranger wrote (a path, a name in a certificate) can begin a line of
its own, move the cursor of a terminal or hide what follows. Only a traceback of ours has lines.
"""

import logging
from typing import Any

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_CHATTY = ("urllib3", "alembic", "gnupg")
"""Libraries that tell of every step, and some of what crosses it."""


def configure(level: str) -> None:
    """Log what is at least as severe as ``level``."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(_FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def printable(text: str) -> str:
    """Return ``text`` with everything that does not print, line feeds too, written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


class OneLine(logging.Formatter):
    """Writes messages in one line each, and what a traceback quotes without its escapes."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line of a record."""
        record.message = printable(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        """Return a traceback; its lines are ours, what they quote may not be."""
        return "\n".join(
            f"  {printable(line)}" for line in super().formatException(ei).split("\n")
        )
