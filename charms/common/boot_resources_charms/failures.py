"""What can go wrong on a machine, each with a sentence that says what to do about it.

Both are refusals as the engine's own are (``boot_resources.errors``): ``str()`` is one sentence
that says what happened, ``cure`` one that says what to do next. A charm turns them into a status
or into the failure of an action, never into a traceback.
"""

import contextlib
import subprocess
from collections.abc import Iterator

from boot_resources import errors


class InstallFailed(errors.BootResourcesError):
    """The machine could not be made ready for the service. The next hook tries it again."""


class CommandFailed(errors.BootResourcesError):
    """The ``boot-resources`` command refused, or could not be run.

    Attributes:
        status: what it exited with: 1 refused, 2 wrong settings, 3 the service does not answer,
            4 something was found that is not right; negative where a signal ended it.
    """

    def __init__(self, message: str, cure: str = "", status: int = errors.EXIT_FAILED) -> None:
        super().__init__(message, cure)
        self.status = status


@contextlib.contextmanager
def installing(doing: str, cure: str) -> Iterator[None]:
    """Turn what the machine refuses within the block into an ``InstallFailed``.

    Args:
        doing: what the block does, as in ``could not DOING``.
        cure: what to do where it fails.
    """
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise InstallFailed(f"could not {doing}: {_reason(error)}", cure) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        named = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{named}"
    said = getattr(error, "stderr", None)
    return said.strip() if isinstance(said, str) and said.strip() else str(error)
