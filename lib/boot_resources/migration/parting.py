"""Images that were taken over once and that this cluster parted with since do not come back.

An operator removed them, or a newer version took their place. MAAS has them still, so every later
run finds them again. Passed over is only what was taken over in just these files, all of which
were proved here: nothing that never came is lost that way.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

import sqlalchemy as sa

from boot_resources.catalog import handovers, holdings, wanting
from boot_resources.migration import naming

Migrants = tuple[naming.Migrant, ...]


def divide(
    conn: sa.Connection, migrants: Iterable[naming.Migrant], held: AbstractSet[str]
) -> tuple[Migrants, Migrants]:
    """Return the images that are to come, and those that this cluster parted with.

    Args:
        conn: what the catalog has now.
        migrants: MAAS's images.
        held: objects that are proved on disk.
    """
    known = handovers.find(conn)
    taken_over = known.taken_over if known else {}
    present = wanting.read_images(conn).keys()
    proved = held | holdings.let_go(conn)

    def is_parted(each: naming.Migrant) -> bool:
        files, name = each.image.files(), each.image.name
        came = files.items() <= taken_over.get(str(name), {}).items()
        return came and name not in present and proved >= set(files.values())

    divided: dict[bool, list[naming.Migrant]] = {True: [], False: []}
    for each in migrants:
        divided[is_parted(each)].append(each)
    return tuple(divided[False]), tuple(divided[True])
