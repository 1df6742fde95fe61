"""Answers the hook tools that a charm's processes call, over a socket in each machine's directory.

Only the run that is going on is answered: a process that outlives its hook is refused.
"""

import contextlib
import pathlib
import shutil
import socketserver
import threading
from collections.abc import Iterator

# The tools register themselves as their modules are read.
from . import action_tools, context, relation_tools, secret_tools, tools, unit_tools  # noqa: F401

TOOLS = "tools"
SOCKET = "hook-tools.socket"
_HERE = pathlib.Path(__file__).parent
_LONGEST_SOCKET = 100
_Answer = tuple[str, str, str]
"""The exit status of a tool, and what it prints to stdout and to stderr."""


class Desk:
    """Where hook tools are answered.

    Attributes:
        refusals: what was refused to charms that asked for what they must not, in order.
    """

    def __init__(self) -> None:
        self.refusals: list[context.Refusal] = []
        self._running: context.Context | None = None
        self._one_at_a_time = threading.Lock()
        self._ends = contextlib.ExitStack()

    def close(self) -> None:
        """Answer no more."""
        self._ends.close()

    def serve(self, shared: pathlib.Path) -> None:
        """Put the hook tools into a machine's shared directory, and answer them there.

        Raises:
            ValueError: the directory's path is too long for a socket in it.
        """
        socket = shared / SOCKET
        if len(str(socket)) > _LONGEST_SOCKET:
            raise ValueError(f"{socket}: longer than a socket's path may be; use a shorter one")
        directory = shared / TOOLS
        directory.mkdir(parents=True)
        shutil.copy(_HERE / "hook_tool.py", directory / ".hook-tool")
        (directory / ".hook-tool").chmod(0o755)
        shutil.copy(_HERE / "unpack.py", shared / "unpack.py")
        for name in tools.TOOLS:
            (directory / name).symlink_to(".hook-tool")
        desk = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                id_, count, *fields = self.rfile.read().decode().split("\0")
                command, named = tuple(fields[: int(count) + 1]), fields[int(count) + 1 :]
                files = dict(zip(named[::2], named[1::2], strict=True))
                self.wfile.write("\0".join(desk._answer(id_, command, files)).encode())

        server = self._ends.enter_context(
            socketserver.ThreadingUnixStreamServer(str(socket), Handler)
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        self._ends.callback(thread.join)
        self._ends.callback(server.shutdown)

    @contextlib.contextmanager
    def answering(self, running: context.Context) -> Iterator[None]:
        """Answer the tools of this run while the block lasts."""
        self._running = running
        try:
            yield
        finally:
            with self._one_at_a_time:
                self._running = None

    def _answer(self, id_: str, command: tuple[str, ...], files: dict[str, str]) -> _Answer:
        with self._one_at_a_time:
            running = self._running
            if running is None or running.id != id_:
                self._refuse("", id_, command, "no such hook is running")
                return _failed("bad request: unknown context")
            running.calls.append(command)
            try:
                output = tools.call(running, command, files)
            except context.Refused as exc:
                if not exc.ordinary:
                    self._refuse(running.unit.name, running.hook.name, command, str(exc))
                return _failed(str(exc))
            except Exception as exc:  # The charm must not hang on what is our own mistake.
                why = f"the simulator itself failed: {exc!r}"
                self._refuse(running.unit.name, running.hook.name, command, why)
                return _failed(why)
        return "0", output, ""

    def _refuse(self, unit: str, hook: str, command: tuple[str, ...], why: str) -> None:
        self.refusals.append(context.Refusal(unit, hook, command, why))


def _failed(message: str) -> _Answer:
    return "1", "", f"ERROR {message}\n"
