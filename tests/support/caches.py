"""What stories of a rack's cache alone share."""

from boot_resources.rack import cache as caches
from boot_resources.store import blocks
from support import cloud


async def keep(cache: caches.Cache, content: bytes) -> bool:
    """Put an object into a cache, as a fill does; return whether there was room."""
    name, block_map = cloud.name_of(content), cloud.map_of(content)
    cache.pin(name)
    incoming = await cache.admit(name, block_map)
    if incoming is not None:
        for index in range(blocks.block_count(len(content))):
            start = blocks.block_start(index)
            incoming.write(index, content[start : start + blocks.BLOCK_SIZE])
        await cache.publish(incoming)
        incoming.close()
    cache.release(name)
    return incoming is not None
