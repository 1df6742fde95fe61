"""Crowds at the doors: many, slow, silent, greedy. Others are served, and memory is bounded."""

import contextlib
import logging
import resource
import select
import socket
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.service import doors, places
from support import cloud as clouds
from support import endurance, towns, wire

CROWD = 1000
GROWTH = 160 * units.MIB
"""Bytes by which a process may grow while a crowd is at its door."""


@pytest.fixture(scope="module", autouse=True)
def many_descriptors() -> None:
    """Let this process have both ends of a crowd's connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[towns.Town]:
    """Give a region and a rack, each a process that may be crowded; they stop cleanly."""
    with towns.Town(tmp_path_factory.mktemp("town")) as town:
        town.site.start("region")
        town.wait_for_images()
        town.site.start("rack")
        clouds.wait_until(lambda: town.site.rack.get("/status")["images"])
        yield town
        assert (town.site.stop("rack"), town.site.stop("region")) == (0, 0)
        for controller in ("region", "rack"):
            assert "Traceback" not in town.log(controller)


def rss(pid: int) -> int:
    """Return the bytes of memory that a process has now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("it is no process")


def open_files(town: towns.Town) -> int:
    """Return how many descriptors the region has open."""
    return len(list(Path(f"/proc/{town.site.pid('region')}/fd").iterdir()))


@contextlib.contextmanager
def crowd(port: int, count: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open connections that say as much and no more."""
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            opened.append(stack.enter_context(clouds.raw_connection(port)))
            opened[-1].sendall(said)
        yield opened


def served(town: towns.Town) -> None:
    """Fail unless a machine and a member get what they ask for."""
    truth = town.source.truth[0]
    name = (truth.os, truth.arch, truth.subarch, truth.release, truth.label, truth.version)
    got = clouds.get(town.rack_port, "/".join(("/images", *name, truth.filename)))
    assert (got.status, clouds.name_of(got.body)) == (200, truth.sha256)
    with contextlib.closing(town.member()) as member:
        assert member.get("/v1/health").status == 200


# The first bytes of a ClientHello whose rest never comes.
BEGUN = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def test_a_thousand_handshakes_that_never_end_do_not_stop_service(town: towns.Town) -> None:
    before = rss(town.site.pid("region"))
    descriptors = open_files(town)
    half = CROWD // 2
    with crowd(town.plane_port, half) as silent, crowd(town.plane_port, half, BEGUN) as begun:
        served(town)
        growth = rss(town.site.pid("region")) - before
        assert growth < GROWTH
        assert open_files(town) > CROWD
        for each in (*silent, *begun):
            assert wire.rest(each) == b""
    served(town)
    clouds.wait_until(lambda: open_files(town) < descriptors + half)
    endurance.tally("handshakes", opened=CROWD, grown=growth)
    assert town.site.region.get("/status")["refused"]["handshake"] >= CROWD
    refused = [line for line in town.log("region").splitlines() if "refused" in line]
    assert len(refused) < CROWD / 4


def test_a_thousand_machines_that_say_nothing_do_not_stop_service(town: towns.Town) -> None:
    before = rss(town.site.pid("rack"))
    with crowd(town.rack_port, CROWD):
        served(town)
        assert rss(town.site.pid("rack")) - before < GROWTH


def test_ten_thousand_requests_at_once_are_answered_in_their_order(town: towns.Town) -> None:
    asked = b"".join(
        b"GET /images/n%d HTTP/1.1\r\nHost: rack\r\n\r\n" % number for number in range(10_000)
    )
    last = b"GET /images/last HTTP/1.1\r\nHost: rack\r\nConnection: close\r\n\r\n"
    with clouds.raw_connection(town.rack_port) as machine:
        with futures.ThreadPoolExecutor(1) as beside:
            sending = beside.submit(machine.sendall, asked + last)
            found = wire.answers(wire.rest(machine))
            sending.result()
    bodies = [answer.body.split(b"'")[1] for answer in found]
    assert bodies == [*(b"n%d" % number for number in range(10_000)), b"last"]


def test_who_asks_without_end_and_never_reads_is_not_given_memory(town: towns.Town) -> None:
    question = b"GET /images/nothing HTTP/1.1\r\nHost: rack\r\n\r\n" * 1000
    before = rss(town.site.pid("rack"))
    with crowd(town.rack_port, 20) as greedy:
        for each in greedy:
            each.setblocking(False)
        deadline = time.monotonic() + clouds.PATIENCE
        # As much as they take; where nothing fits for a while, they take no more.
        while writable := select.select([], greedy, [], 1.0)[1]:
            assert time.monotonic() < deadline, "it takes everything"
            for each in writable:
                with contextlib.suppress(BlockingIOError):
                    each.send(question)
        served(town)
        assert rss(town.site.pid("rack")) - before < GROWTH


def test_a_body_without_end_is_not_read_to_its_end(town: towns.Town) -> None:
    head = b"GET /images/nothing HTTP/1.1\r\nHost: rack\r\nContent-Length: 10737418240\r\n\r\n"
    before = rss(town.site.pid("rack"))
    with clouds.raw_connection(town.rack_port) as machine:
        machine.sendall(head)
        with contextlib.suppress(ConnectionError):
            while True:
                machine.sendall(bytes(units.MIB))
    assert rss(town.site.pid("rack")) - before < GROWTH
    served(town)


class Story:
    """A rack with few places, and an object that no buffer holds."""

    def __init__(self, directory: Path) -> None:
        self.content = clouds.noise(12 * units.MIB)
        self.image = clouds.Image({"squashfs": self.content, "boot-kernel": b"kernel"})
        self.cloud = clouds.Cloud(directory)
        self.rack = self.cloud.rack(self.cloud.region(self.image), size=64 * units.MIB)
        assert clouds.get(self.rack, self.image.path("squashfs")).body == self.content

    def connect(self, address: str) -> socket.socket:
        """Return a connection from an address of this host on which nothing was said yet."""
        machine = socket.socket()
        machine.settimeout(clouds.PATIENCE)
        machine.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        machine.bind((address, 0))
        machine.connect(("127.0.0.1", self.rack.port))
        return machine

    def ask(self, file: str) -> bytes:
        """Return what asks for a file of the image."""
        return f"GET {self.image.path(file)} HTTP/1.1\r\nHost: rack\r\n\r\n".encode()

    def occupy(self, address: str) -> socket.socket:
        """Ask for the object from an address of this host, and take only its first byte."""
        machine = self.connect(address)
        machine.sendall(self.ask("squashfs"))
        assert machine.recv(1) == b"H"
        return machine

    def rest_is_right(self, machine: socket.socket) -> bool:
        """Return whether a machine that had a byte gets all that is still due to it."""
        came = bytearray(b"H")
        while b"\r\n\r\n" not in came or len(came) < came.index(b"\r\n\r\n") + 4 + len(
            self.content
        ):
            piece = machine.recv(units.MIB)
            if not piece:
                return False
            came += piece
        return bytes(came[came.index(b"\r\n\r\n") + 4 :]) == self.content


PLACES = 16
SEATS = PLACES - PLACES // places.HALL
"""Places of those who have asked."""


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    monkeypatch.setattr(doors, "_affordable", lambda: PLACES)
    story = Story(tmp_path)
    with story.cloud:
        yield story


def test_who_says_nothing_gives_way_when_the_house_is_full(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "GRACE_SECONDS", 0.0)
    with crowd(story.rack.port, 3 * PLACES):
        assert clouds.get(story.rack, story.image.path("boot-kernel")).body == b"kernel"
    assert story.rack.status()["refused"]["full"] >= 2 * PLACES


def test_one_address_cannot_keep_the_others_out(story: Story) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(SEATS):
            stack.enter_context(story.occupy("127.0.0.2"))
        assert clouds.get(story.rack, story.image.path("boot-kernel")).body == b"kernel"
        clouds.wait_until(
            lambda: any(n["key"] == "refused-full" for n in story.rack.status()["notices"])
        )


def test_a_flood_that_says_nothing_crowds_out_only_its_own_address(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "GRACE_SECONDS", 2 * clouds.PATIENCE)
    with contextlib.ExitStack() as stack:

        def flood() -> None:
            for _ in range(3 * PLACES):
                stack.enter_context(story.connect("127.0.0.9"))

        served = [stack.enter_context(story.occupy("127.0.0.2")) for _ in range(SEATS)]
        flood()
        machine = stack.enter_context(story.connect("127.0.0.3"))
        flood()
        # Of all who came all but two are gone: one of the flood, and the machine.
        gone = 6 * PLACES + 1 - (PLACES - SEATS)
        clouds.wait_until(lambda: story.rack.status()["refused"]["full"] >= gone)
        machine.sendall(story.ask("squashfs"))
        assert machine.recv(1) == b"H"
        assert story.rest_is_right(machine)
        # Room was made by the latest of the address with most, and by no other.
        assert not story.rest_is_right(served.pop())
        assert all(story.rest_is_right(each) for each in served)


def test_machines_behind_one_address_share_all_places_and_keep_theirs(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        machines = [stack.enter_context(story.occupy("127.0.0.1")) for _ in range(SEATS)]
        with clouds.raw_connection(story.rack) as one_too_many:
            one_too_many.sendall(story.ask("boot-kernel"))
            (answer,) = wire.answers(wire.rest(one_too_many))
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert all(story.rest_is_right(machine) for machine in machines)
        # They are silent now.
        monkeypatch.setattr(places, "GRACE_SECONDS", 0.0)
        assert clouds.get(story.rack, story.image.path("boot-kernel")).body == b"kernel"


def test_a_head_that_comes_a_byte_at_a_time_is_cut_off(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "IDLE_SECONDS", 1.5)
    with crowd(story.rack.port, PLACES // 2, b"GET / HTTP/1.1\r\nX: ") as slow:
        waiting = set(slow)
        deadline = time.monotonic() + clouds.PATIENCE
        while waiting:
            assert time.monotonic() < deadline, "it waits without end"
            for each in select.select(list(waiting), [], [], 0.1)[0]:
                waiting.remove(each)
            for each in waiting:
                with contextlib.suppress(ConnectionError):
                    each.send(b"x")
        assert clouds.get(story.rack, story.image.path("boot-kernel")).body == b"kernel"


def test_who_takes_no_byte_is_given_up(
    story: Story, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(doors, "SILENCE_SECONDS", 1.0)
    with caplog.at_level(logging.DEBUG, "boot_resources.rack.serving"):
        with story.occupy("127.0.0.1") as machine:
            clouds.wait_until(lambda: "a machine went away" in caplog.text)
            assert len(wire.rest(machine)) < len(story.content)
