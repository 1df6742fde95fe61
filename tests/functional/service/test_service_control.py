"""The local socket: who may use it, what a refusal looks like, and the other end of it."""

import asyncio
import contextlib
import pathlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web

from boot_resources import errors
from boot_resources.service import control, doors, local, refusals


class NoSuchImage(errors.BootResourcesError):
    exit_status = errors.EXIT_DAMAGED


class Controller:
    """A controller with a few commands, on a thread of its own.

    Attributes:
        finished: set when the watcher of ``/endless`` went away.
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.finished = threading.Event()
        self._open = contextlib.ExitStack()
        self._listening = self._open.enter_context(control.listen(path))
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Controller":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._open.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application(middlewares=[control.answer_refusals])
        app.router.add_get("/status", self._status)
        app.router.add_post("/remove", self._remove)
        app.router.add_post("/count", self._count)
        app.router.add_post("/endless", self._endless)
        app.router.add_post("/number", self._number)
        app.router.add_post("/nothing", self._nothing)
        app.router.add_post("/defect", self._defect)
        app.router.add_post("/defect-half-way", self._defect_half_way)
        async with doors.opened(app, self._listening, refusals.Refusals("control socket")):
            await self._stop.wait()

    async def _status(self, request: web.Request) -> web.StreamResponse:
        return web.json_response({"query": dict(request.query)})

    async def _remove(self, request: web.Request) -> web.StreamResponse:
        name = (await request.json())["name"]
        raise NoSuchImage(f"there is no image {name}", "list them")

    async def _defect(self, _: web.Request) -> web.StreamResponse:
        raise OSError(5, "Input/output error")

    async def _defect_half_way(self, request: web.Request) -> web.StreamResponse:
        async def documents() -> AsyncIterator[dict[str, Any]]:
            yield {"number": 0}
            raise ValueError("of a kind that nobody thought of")

        return await control.stream(request, documents())

    async def _count(self, request: web.Request) -> web.StreamResponse:
        wanted: dict[str, Any] = await request.json()

        async def documents() -> AsyncIterator[dict[str, Any]]:
            for number in range(wanted["to"]):
                yield {"number": number}
            if wanted.get("refuse"):
                raise NoSuchImage("no further", "stop here")
            if wanted.get("end", True):
                yield {"done": True}

        return await control.stream(request, documents())

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        async def documents() -> AsyncIterator[dict[str, Any]]:
            while True:
                yield {"text": "x" * 10_000}
                await asyncio.sleep(0)

        try:
            return await control.stream(request, documents())
        finally:
            self.finished.set()

    async def _number(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(5)

    async def _nothing(self, request: web.Request) -> web.StreamResponse:
        return web.Response()


@pytest.fixture
def controller(tmp_path: pathlib.Path) -> Iterator[Controller]:
    with Controller(tmp_path / "run" / "region.sock") as controller:
        yield controller


@pytest.fixture
def asked(controller: Controller) -> local.Controller:
    return local.Controller("region", controller.path)


def test_only_its_owner_may_use_the_socket(controller: Controller) -> None:
    assert controller.path.stat().st_mode & 0o777 == 0o600


def test_a_question_is_answered(asked: local.Controller) -> None:
    assert asked.get("/status") == {"query": {}}
    assert asked.get("/status", name="a b/&=é") == {"query": {"name": "a b/&=é"}}


def test_a_refusal_arrives_in_its_own_words_with_its_status(asked: local.Controller) -> None:
    with pytest.raises(local.Refused, match="there is no image noble") as caught:
        asked.post("/remove", name="noble")
    assert caught.value.cure == "list them"
    assert caught.value.exit_status == errors.EXIT_DAMAGED


def test_an_order_that_lacks_something_is_a_bad_request(asked: local.Controller) -> None:
    with pytest.raises(local.Refused, match="bad request: 'name'"):
        asked.post("/remove")


def test_a_long_job_is_followed_to_its_end(asked: local.Controller) -> None:
    expected = [{"number": 0}, {"number": 1}, {"number": 2}, {"done": True}]
    assert list(asked.follow("/count", to=3)) == expected
    assert asked.post("/count", to=3) == {"done": True}


def test_a_refusal_in_the_middle_of_a_job_ends_it(asked: local.Controller) -> None:
    following = asked.follow("/count", to=1, refuse=True)
    assert next(following) == {"number": 0}
    with pytest.raises(local.Refused, match="no further") as caught:
        next(following)
    assert caught.value.cure == "stop here"


def test_a_job_that_breaks_off_is_not_taken_for_done(asked: local.Controller) -> None:
    with pytest.raises(local.Unreachable, match="stopped before it was done"):
        list(asked.follow("/count", to=2, end=False))


def test_a_watcher_that_goes_away_is_no_error(
    controller: Controller, asked: local.Controller, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket(socket.AF_UNIX) as watcher:
        watcher.connect(str(controller.path))
        watcher.sendall(b"POST /endless HTTP/1.1\r\nHost: l\r\nContent-Length: 0\r\n\r\n")
        assert watcher.recv(1000)
    assert controller.finished.wait(30)
    assert asked.get("/status") == {"query": {}}
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []


@pytest.mark.parametrize("path", ["/number", "/nothing"])
def test_whoever_answers_something_else_is_no_controller(
    asked: local.Controller, path: str
) -> None:
    with pytest.raises(local.Unreachable, match="is no region"):
        asked.post(path)


def test_where_nobody_answers_the_cure_is_said(tmp_path: pathlib.Path) -> None:
    absent = local.Controller("rack", tmp_path / "absent.sock")
    with pytest.raises(local.Unreachable, match="No such file or directory") as caught:
        absent.get("/status")
    assert "boot-resources rack run" in caught.value.cure
    assert caught.value.exit_status == errors.EXIT_UNREACHABLE


def test_a_controller_that_hangs_up_is_unreachable(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "region.sock"
    with control.listen(path) as listening:

        def hang_up() -> None:
            listening.accept()[0].close()

        hanging_up = threading.Thread(target=hang_up)
        hanging_up.start()
        with pytest.raises(local.Unreachable):
            local.Controller("region", path).get("/status")
        hanging_up.join()


def test_a_socket_that_a_dead_controller_left_is_replaced(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "region.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    with Controller(path):
        assert local.Controller("region", path).get("/status") == {"query": {}}


def test_a_controller_that_runs_keeps_its_socket(controller: Controller) -> None:
    with pytest.raises(control.AlreadyRunning, match="another controller is running"):
        with control.listen(controller.path):
            pass
    assert local.Controller("region", controller.path).get("/status") == {"query": {}}


def test_a_controller_that_is_too_busy_to_answer_keeps_its_socket(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "region.sock"
    with contextlib.ExitStack() as stack:
        busy = stack.enter_context(control.listen(path))
        busy.listen(0)
        with contextlib.suppress(BlockingIOError):
            for _ in range(200):
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(str(path))
        with pytest.raises(control.AlreadyRunning):
            stack.enter_context(control.listen(path))


def test_a_path_that_cannot_be_a_socket_is_refused_with_the_option(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "file").write_text("somebody's")
    for path in (tmp_path / ("x" * 120), tmp_path / "file", tmp_path / "file" / "sock"):
        with pytest.raises(errors.SettingsError, match="cannot make the control socket") as caught:
            with control.listen(path):
                pass
        assert "control.socket" in caught.value.cure
    assert (tmp_path / "file").read_text() == "somebody's"


def test_a_socket_goes_with_its_controller(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "region.sock"
    with Controller(path):
        assert path.is_socket()
    assert not path.exists()


def test_a_controller_that_ends_leaves_the_socket_of_the_one_that_came_after_it(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "region.sock"
    with contextlib.ExitStack() as stack:
        with control.listen(path) as old:
            # Its server stops first, and closes what it listened on.
            old.close()
            stack.enter_context(control.listen(path))
        assert path.is_socket()
    assert not path.exists()


@pytest.mark.parametrize(
    ("path", "said"), [("/defect", "Input/output error"), ("/defect-half-way", "nobody thought")]
)
def test_a_defect_is_an_answer_too_and_the_log_has_its_traceback(
    controller: Controller, caplog: pytest.LogCaptureFixture, path: str, said: str
) -> None:
    with pytest.raises(local.Refused, match="internal error") as caught:
        local.Controller("region", controller.path).post(path)
    assert said in str(caught.value)
    assert "log" in caught.value.cure
    assert "Traceback" in caplog.text


def test_what_no_controller_answers_is_refused_in_json(controller: Controller) -> None:
    with pytest.raises(local.Refused, match="Not Found"):
        local.Controller("region", controller.path).get("/no-such-question")


def test_a_controller_that_hangs_does_not_hang_the_command(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "QUESTION_SECONDS", 0.05)
    path = tmp_path / "region.sock"
    with control.listen(path):
        with pytest.raises(local.Unreachable, match="said nothing for"):
            local.Controller("region", path).get("/status")
