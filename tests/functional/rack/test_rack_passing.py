"""An object that is larger than the cache, through a rack that is a process of its own."""

import contextlib
from pathlib import Path
from signal import SIGTERM

from boot_resources import units
from boot_resources.plane import messages
from boot_resources.rack import passthrough
from boot_resources.store import blocks
from support import cloud as clouds
from support import nursery, plane_region

MIB = units.MIB
BLOCKS = 512
SIZE = BLOCKS * MIB
NAME = "5" * 64
PATH = f"/images/{NAME}/squashfs"


def block(index: int) -> bytes:
    """Return a block of the large object: each is another."""
    return index.to_bytes(8, "big") * (blocks.BLOCK_SIZE // 8)


class Endless(clouds.Region):
    """A region with an object that is in no memory: its blocks are made as they go.

    Attributes:
        spoilt: the index of a block that it gives wrongly.
    """

    spoilt = -1

    def offer_it(self) -> None:
        digests = b"".join(bytes.fromhex(clouds.name_of(block(at))) for at in range(BLOCKS))
        block_map = blocks.BlockMap(SIZE, digests)
        self.objects[NAME] = b""
        self.maps[NAME] = block_map.to_bytes()
        item = messages.AvailableItem(
            filename="squashfs",
            ftype="squashfs",
            sha256=NAME,
            size=SIZE,
            map_digest=block_map.digest,
        )
        image = clouds.Image({}).listed().model_copy(update={"items": (item,)})
        listed = messages.AvailableImages(cluster="c", epoch=2, images=(image,))
        self.images = listed.model_dump(mode="json")

    def _send_object(self, handler: plane_region.Handler, sha256: str) -> None:
        first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes {first}-{last}/{SIZE}")
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.end_headers()
        for index in blocks.blocks_of_range(first, last + 1):
            handler.wfile.write(block(0 if index == self.spoilt else index))
            self.sent[sha256] += MIB


def test_what_is_larger_than_the_cache_passes_through_checked_in_bounded_memory(
    tmp_path: Path,
) -> None:
    members = plane_region.Cluster(tmp_path / "members")
    with contextlib.ExitStack() as stack:
        region = stack.enter_context(Endless(members.region()))
        region.offer_it()
        wishes = nursery.Wishes(tmp_path / "cache", 8 * MIB, [region.address], members)
        wishes.write(tmp_path / "rack.toml")
        shared = stack.enter_context(nursery.Nursery("support.moody:prepare"))
        rack = nursery.RackProcess(shared, tmp_path / "rack.toml", wishes.ports[0])
        rack.start()
        clouds.wait_until(lambda: rack.local.get("/status")["images"])
        part = clouds.get(rack.port, PATH, headers={"Range": f"bytes={MIB - 8}-{MIB + 7}"})
        assert part.body == block(0)[-8:] + block(1)[:8]
        before = rack.peak_memory
        machine = stack.enter_context(contextlib.closing(clouds.Machine(rack.port)))
        assert machine.ask(PATH).status == 200
        assert all(machine.take(MIB) == block(index) for index in range(BLOCKS))
        # The pool, and about as much again for what is on its way and what Python keeps.
        assert rack.peak_memory - before < 2 * passthrough.POOL_BLOCKS * MIB < SIZE
        assert region.sent.total() == SIZE
        assert rack.local.get("/cache")["objects"] == 0
        assert clouds.space_of(tmp_path / "cache") <= 8 * MIB
        region.spoilt = 7
        assert machine.ask(PATH).status == 200
        assert all(machine.take(MIB) == block(index) for index in range(7))
        assert len(machine.rest_as_it_comes()) < MIB
        rack.end(SIGTERM)
        assert "Traceback" not in rack.log.read_text()
