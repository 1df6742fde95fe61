"""The local socket on which the ``boot-resources`` command talks to a running controller.

Only the controller's own user and root may use it (mode 0600). Requests and answers are JSON; a
long job answers with one JSON document a line, the last of them its result. Whatever goes wrong,
the command gets JSON: a defect of ours becomes an answer too, and a traceback in the log.
"""

import contextlib
import json
import logging
import pathlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web

from boot_resources import errors

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AlreadyRunning(errors.BootResourcesError):
    """Another controller answers on the socket."""


@contextlib.contextmanager
def listen(path: pathlib.Path) -> Iterator[socket.socket]:
    """Listen at ``path`` for the length of the block; what nobody answers on is replaced.

    Afterwards the path is removed, unless another controller has made its own there meanwhile:
    whoever serves on the socket may close it before the block ends.

    Raises:
        AlreadyRunning: a controller answers there.
        errors.SettingsError: the path cannot be used.
    """
    with contextlib.closing(_bind(path)) as listening:
        ours = _stamp(path)
        try:
            yield listening
        finally:
            if _stamp(path) == ours:
                path.unlink(missing_ok=True)


def _bind(path: pathlib.Path) -> socket.socket:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_socket():
            _refuse_if_answered(path)
            path.unlink()
        with contextlib.ExitStack() as opened:
            listening = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listening.bind(str(path))
            # Nobody can connect before listen().
            path.chmod(0o600)
            listening.listen(64)
            opened.pop_all()
    except OSError as error:
        raise errors.SettingsError(
            f"cannot make the control socket {path}: {error.strerror or error}",
            "set control.socket to a path of at most 100 characters in a directory that this "
            "user may write",
        ) from None
    return listening


def _stamp(path: pathlib.Path) -> tuple[int, ...]:
    """Return what tells one socket file from the next: inodes alone are used again."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _refuse_if_answered(path: pathlib.Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except BlockingIOError:
            # Its queue is full: it is slow to answer, and running.
            pass
    raise AlreadyRunning(
        f"another controller is running and answers on {path}", "stop it, or use another socket"
    )


@web.middleware
async def answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever goes wrong into JSON that the command prints as it is."""
    try:
        await _check_order(request)
        return await handler(request)
    except errors.BootResourcesError as error:
        return web.json_response(refusal(error), status=409)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        return web.json_response({"error": f"bad request: {error}", "cure": ""}, status=400)
    except web.HTTPException as answer:
        return web.json_response({"error": str(answer), "cure": ""}, status=answer.status)
    except Exception as error:
        logger.exception("%s failed in a way that it should not", request.path)
        return web.json_response(_defect(error), status=500)


async def _check_order(request: web.Request) -> None:
    """Return if the body, where there is one, is an object of JSON.

    Raises:
        web.HTTPBadRequest: it is something else, or did not come whole.
    """
    if not request.can_read_body:
        return
    try:
        order = json.loads((await request.read()).decode())
    except (ValueError, RecursionError, ConnectionError, web.RequestPayloadError):
        order = None
    if not isinstance(order, dict) or (request.charset or "utf-8").lower() != "utf-8":
        raise web.HTTPBadRequest(reason="the order is no object of JSON in UTF-8")


def _defect(error: Exception) -> dict[str, Any]:
    return {"error": f"internal error: {error!r}", "cure": "see the controller's log"}


def refusal(error: errors.BootResourcesError) -> dict[str, Any]:
    """Return the JSON form of a refusal."""
    return {"error": str(error), "cure": error.cure, "exit_status": error.exit_status}


async def stream(
    request: web.Request, documents: AsyncIterator[dict[str, Any]]
) -> web.StreamResponse:
    """Answer with one JSON document a line, as they come; a refusal becomes the last one."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    try:
        await response.prepare(request)
        async with contextlib.aclosing(_with_outcome(request, documents)) as lines:
            async for line in lines:
                await response.write(json.dumps(line).encode() + b"\n")
        await response.write_eof()
    except ConnectionError:
        # The job itself goes on.
        logger.debug("a watcher of %s went away", request.path)
    return response


async def _with_outcome(
    request: web.Request, documents: AsyncIterator[dict[str, Any]]
) -> AsyncGenerator[dict[str, Any], None]:
    """Give the documents; what goes wrong becomes the last one."""
    try:
        async for document in documents:
            yield document
    except errors.BootResourcesError as error:
        yield refusal(error)
    except Exception as error:
        logger.exception("%s failed in a way that it should not", request.path)
        yield _defect(error)
