"""The ``boot-resources`` command, run for one unit.

Always true: it gets an environment of its own, so that nothing of a hook's takes part; no secret
is among its arguments; whatever it says, what comes out of here is a document, lines of text, or
a ``failures.CommandFailed`` with its own words.
"""

import dataclasses
import json
import pathlib
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from . import failures

_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
}
_PATIENCE = 3600.0
"""How long an order may take (seconds); it has limits of its own, and this is for what hangs."""
_CURE = "cure: "
_BADNESS = ("in the way", "critical", "warning")
"""How the engine begins a line about what is in the way, the worst first."""
_REMARK = re.compile(
    r"(?P<kind>info|warning|critical|in the way): (?P<text>.*?)(?: \(since [^()]*\))?$"
)
_PROGRESS = re.compile(r"\D{0,30} ?\d+ (% of |of \d+ large objects$)|giving the space back$")
SHOWN = 300
"""How much is quoted of what should not have been said (characters)."""


@dataclasses.dataclass(frozen=True)
class Command:
    """The command of one version of the engine, for one settings file."""

    launcher: pathlib.Path
    settings: pathlib.Path

    def ask(self, *arguments: str) -> Any:
        """Run it with ``--json`` and return its document.

        Raises:
            failures.CommandFailed: it refused, or could not be run.
        """
        try:
            ended = subprocess.run(
                self._line(*arguments, "--json"),
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=_ENVIRONMENT,
                cwd="/",
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise self._not_run(error) from error
        try:
            document = json.loads(ended.stdout)
        except ValueError:
            said = ended.stderr.strip() or ended.stdout.strip()
            raise self._failed(arguments, said.splitlines(), ended.returncode) from None
        for refusal in _refusals(document):
            raise failures.CommandFailed(
                str(refusal["error"]), str(refusal.get("cure", "")), ended.returncode
            )
        # `status` answers with a list, for all controllers of a machine; here one is meant.
        return document[0] if isinstance(document, list) and len(document) == 1 else document

    def follow(self, *arguments: str) -> Iterator[str]:
        """Run it and yield its lines as they come.

        Raises:
            failures.CommandFailed: after the last line, where it did not exit with 0.
        """
        try:
            running = subprocess.Popen(
                self._line(*arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=_ENVIRONMENT,
                cwd="/",
            )
        except OSError as error:
            raise self._not_run(error) from error
        said = []
        with running:
            assert running.stdout is not None, "it was asked for"
            for line in running.stdout:
                said.append(line.rstrip())
                yield said[-1]
        if running.returncode:
            raise self._failed(arguments, said, running.returncode)

    def _line(self, *arguments: str) -> list[str]:
        return [str(self.launcher), *arguments, "--settings", str(self.settings)]

    def _not_run(self, error: Exception) -> failures.CommandFailed:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return failures.CommandFailed(
            f"could not run {self.launcher}: {reason}", "the next hook installs it again"
        )

    def _failed(
        self, arguments: Iterable[str], said: Iterable[str], status: int
    ) -> failures.CommandFailed:
        why, cure = refusal(said)
        named = f"boot-resources {' '.join(arguments)}"
        return failures.CommandFailed(why or f"{named} ended with status {status}", cure, status)


def refusal(lines: Iterable[str]) -> tuple[str, str]:
    """Return why a process ended, and the cure, from what it wrote; empty where it says neither.

    A refusal of the engine is one line ``error: ...`` for each thing that is wrong, and a line
    ``cure: ...``; of the command line it is ``Error: ...``. Where there is none, the worst thing
    that it found in the way is the reason. Of a traceback the last line is the error.
    """
    why: list[str] = []
    cure = last = ""
    found: list[_Remark] = []
    is_defect = False
    for line in (each.strip() for each in lines):
        remark = _Remark.read(line)
        if line.lower().startswith("error: "):
            # What stands apart from the lines before it is another refusal, and the later one.
            why = [*why, line[7:]] if last.startswith("error: ") else [line[7:]]
            cure = ""
        elif remark is not None:
            found.append(remark)
        elif line.startswith(_CURE):
            if found and last == found[-1].line:
                found[-1].cure = line[len(_CURE) :]
            else:
                cure = line[len(_CURE) :]
        is_defect = is_defect or line.startswith("Traceback (")
        last = line or last
    if why:
        return "; ".join(dict.fromkeys(why)), cure
    if is_defect:
        return last[:SHOWN], ""
    return _worst(found)


def results(lines: Iterable[str]) -> tuple[str, ...]:
    """Return what a process said besides how far it is, what it remarked, and the cures."""
    return tuple(
        line
        for line in (each.strip() for each in lines)
        if line and not (_Remark.read(line) or line.startswith(_CURE) or _PROGRESS.match(line))
    )


@dataclasses.dataclass
class _Remark:
    """A line about something that is not as it should be, or that is worth knowing."""

    line: str
    kind: str
    text: str
    cure: str = ""

    @classmethod
    def read(cls, line: str) -> "_Remark | None":
        found = _REMARK.match(line)
        return cls(line, found["kind"], found["text"]) if found else None


def _worst(found: Sequence[_Remark]) -> tuple[str, str]:
    """Return the text and the cure of the worst remark; empty where none is bad."""
    bad = [each for each in found if each.kind in _BADNESS]
    if not bad:
        return "", ""
    worst = min(bad, key=lambda each: _BADNESS.index(each.kind))
    others = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return worst.text + others, worst.cure


def _refusals(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the refusals in a document: it may be one, or a list of answers may have some."""
    for each in document if isinstance(document, list) else [document]:
        if isinstance(each, dict) and "error" in each:
            yield each
