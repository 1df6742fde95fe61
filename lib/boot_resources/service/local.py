"""Talking to a running controller of this host over its local socket (see ``control``)."""

import dataclasses
import http.client
import json
import pathlib
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any

from boot_resources import errors

QUESTION_SECONDS = 60.0
"""How long a question, or the next line of a long job, may take; a job says how far it is."""
ORDER_SECONDS = 600.0
"""How long an order may take that says nothing until it is carried out."""


class Unreachable(errors.BootResourcesError):
    """The controller is not running, or this user may not talk to it."""

    exit_status = errors.EXIT_UNREACHABLE


class Refused(errors.BootResourcesError):
    """The controller refused; its own words, and the status that the command exits with."""

    def __init__(self, message: str, cure: str, exit_status: int) -> None:
        super().__init__(message, cure)
        self.exit_status = exit_status  # type: ignore[misc]


class _Connection(http.client.HTTPConnection):
    """HTTP over a local socket."""

    def __init__(self, path: pathlib.Path, patience: float) -> None:
        super().__init__("localhost", timeout=patience)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclasses.dataclass(frozen=True)
class Controller:
    """A controller on this host: which kind, and the socket on which it answers."""

    kind: str
    socket: pathlib.Path

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return the answer to a question.

        Raises:
            Unreachable: nobody answers.
            Refused: the controller's own refusal.
        """
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        return self._last(self._ask("GET", target, None, QUESTION_SECONDS))

    def post(self, path: str, **values: Any) -> dict[str, Any]:
        """Give an order and return what came of it.

        Raises:
            Unreachable: nobody answers.
            Refused: the controller's own refusal.
        """
        return self._last(self._ask("POST", path, values, ORDER_SECONDS))

    def follow(self, path: str, **values: Any) -> Iterator[dict[str, Any]]:
        """Give an order and yield what the controller says of it, until it is done.

        Raises:
            Unreachable: nobody answers, or the controller stopped half-way.
            Refused: the controller's own refusal.
        """
        done = False
        for document in self._ask("POST", path, values, QUESTION_SECONDS):
            done = bool(document.get("done"))
            yield document
        if not done:
            raise Unreachable(f"the {self.kind} stopped before it was done", "start it, ask again")

    def _last(self, documents: Iterator[dict[str, Any]]) -> dict[str, Any]:
        answers = list(documents)
        if not answers:
            raise self._stranger()
        return answers[-1]

    def _ask(
        self, method: str, path: str, values: dict[str, Any] | None, patience: float
    ) -> Iterator[dict[str, Any]]:
        connection = _Connection(self.socket, patience)
        try:
            body = None if values is None else json.dumps(values)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            for line in reply:
                yield self._read(line)
        except TimeoutError:
            raise Unreachable(
                f"the {self.kind} controller on {self.socket} said nothing for {patience:g} "
                "seconds",
                "see its log; it may hang, or its disk or its database may",
            ) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Unreachable(
                f"the {self.kind} controller does not answer on {self.socket}: {reason}",
                f"start it with `boot-resources {self.kind} run`, or name its settings file with "
                "--settings; its socket is for its own user and root",
            ) from None
        finally:
            connection.close()

    def _read(self, line: bytes) -> dict[str, Any]:
        try:
            document = json.loads(line)
        except ValueError:
            raise self._stranger() from None
        if not isinstance(document, dict):
            raise self._stranger()
        if "error" in document:
            raise Refused(
                document["error"],
                document.get("cure", ""),
                document.get("exit_status", errors.EXIT_FAILED),
            )
        return document

    def _stranger(self) -> Unreachable:
        return Unreachable(f"whoever answers on {self.socket} is no {self.kind}")
