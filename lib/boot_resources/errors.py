"""Every refusal of the engine: what happened, and what to do next.

A ``BootResourcesError`` is an answer to an operator, never a bug report. Its ``str()`` is one
line that says what happened, to what; ``cure`` is one line that says what to do next. The
command prints both and exits with ``exit_status``. Anything else that escapes is a defect.
"""

from typing import ClassVar

EXIT_OK = 0
EXIT_FAILED = 1
"""The operation was refused or failed; the message says why."""
EXIT_USAGE = 2
"""The command line or the settings file is wrong."""
EXIT_UNREACHABLE = 3
"""The controller that the command talks to is not running, or does not answer."""
EXIT_DAMAGED = 4
"""A check was completed and found something that is not right."""


class BootResourcesError(Exception):
    """A refusal with a cure.

    Args:
        message: one line: what happened, and to what.
        cure: one line: what the operator can do about it; empty where the message says all.
    """

    exit_status: ClassVar[int] = EXIT_FAILED

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message)
        self.cure = cure


class SettingsError(BootResourcesError):
    """The settings file, or a value on the command line, cannot be used."""

    exit_status = EXIT_USAGE
