"""A region that is told to stop does not go on with what takes long."""

import contextlib
import threading
from collections.abc import Iterator

import pytest

from boot_resources import errors
from boot_resources.demo import origin
from boot_resources.store import audit, objects
from support import cloud, on_thread, real_region

World = real_region.World


@contextlib.contextmanager
def asked_in_background(world: World, path: str) -> Iterator[None]:
    """Give an order and do not wait for the end of it."""

    def follow() -> None:
        with contextlib.suppress(errors.BootResourcesError):
            list(world.region.local.follow(path))

    thread = threading.Thread(target=follow)
    thread.start()
    yield
    thread.join(on_thread.PATIENCE)
    assert not thread.is_alive()


def test_a_stop_ends_the_reading_of_a_source_that_drips(own_world: World) -> None:
    world = own_world
    stopped = threading.Event()
    reading = threading.Event()

    def drip() -> Iterator[bytes]:
        while not stopped.wait(0.01):
            reading.set()
            yield b"x" * 4096

    world.origin.on_request = lambda request: (
        origin.Reply(body=drip()) if "index" in request.path else None
    )
    with asked_in_background(world, "/sync"):
        assert reading.wait(on_thread.PATIENCE)
        world.region.stop()
        # Only now may the source end.
        assert not stopped.is_set()
        stopped.set()
    world.origin.on_request = None
    world.region.start()
    cloud.wait_until(lambda: not world.region.status()["notices"])


def test_a_stop_ends_a_check(own_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world = own_world
    real = audit.check
    checked = []
    begun, stopping = threading.Event(), threading.Event()

    def wait(
        tree: objects.ObjectTree,
        sha256: str,
        advance: audit.Advance,
        cancelled: audit.Cancelled,
    ) -> audit.Finding:
        begun.set()
        # The check stands still until the region stops.
        while not cancelled():
            stopping.wait(0.005)
        finding = real(tree, sha256, advance, cancelled)
        checked.append(sha256)
        return finding

    monkeypatch.setattr(audit, "check", wait)
    with asked_in_background(world, "/verify"):
        assert begun.wait(on_thread.PATIENCE)
        world.region.stop()
    assert checked == []
    monkeypatch.undo()
    world.region.start()
    assert world.region.status()["storage"]["objects"] == len(world.objects)


def test_a_stop_ends_the_audit_of_a_start(
    own_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = own_world
    world.region.stop()
    begun = threading.Event()
    real = audit.audit

    def wait(tree: objects.ObjectTree, cancelled: audit.Cancelled) -> audit.Report:
        begun.set()
        while not cancelled():
            threading.Event().wait(0.005)
        return real(tree, cancelled)

    monkeypatch.setattr(audit, "audit", wait)
    starting = threading.Thread(target=world.region.run)
    starting.start()
    assert begun.wait(on_thread.PATIENCE)
    world.region.ask_to_stop()
    starting.join(on_thread.PATIENCE)
    assert not starting.is_alive()
    assert not world.region.settings.control.socket.exists()
    monkeypatch.undo()
    world.region.start()
    assert world.region.status()["storage"]["objects"] == len(world.objects)
