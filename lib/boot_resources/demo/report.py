"""What the demonstration measured, and whether the product's own ledger says the same.

Bytes are counted where nobody can flatter: what left the boot source, at the source; what came to
machines, and whether it was right, at the machines. What the product says of itself has to agree.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from boot_resources import units


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of one demonstration; sizes in bytes.

    Attributes:
        regions, racks, machines: how many took part.
        images: images that the region should hold.
        objects: their distinct objects.
        bytes: bytes of these.
        upstream_bytes: payload bytes that left the source, counted there.
        rack_fill_bytes: object bytes that the rack took from the region, by the region's count.
        served_bytes: body bytes that machines received, counted there.
        mismatches: files that a machine did not get, or not right, counted there.
        seconds: from the start of the region to the last byte of the last machine.
        asked_bytes: bytes of the distinct objects that machines asked for.
        hit_ratio: share of the served bytes that did not have to come from the region.
        sync_seconds, boot_seconds: how long either half took.
        regions_detail: for each region what it holds and gave.
        disagreements: where the product's ledger says something else; empty in a good run.
    """

    regions: int
    racks: int
    machines: int
    images: int
    objects: int
    bytes: int
    upstream_bytes: int
    rack_fill_bytes: int
    served_bytes: int
    mismatches: int
    seconds: float
    asked_bytes: int
    hit_ratio: float
    sync_seconds: float
    boot_seconds: float
    regions_detail: tuple[dict[str, Any], ...]
    disagreements: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether every byte was right and everybody counted the same."""
        return not self.mismatches and not self.disagreements

    def rows(self) -> list[tuple[str, str]]:
        """Return the closing table: what, and how much."""
        verdict = "right" if self.right else "wrong"
        return [
            ("images", str(self.images)),
            ("objects", str(self.objects)),
            ("bytes wanted", _bytes(self.bytes)),
            ("bytes from upstream", f"{_bytes(self.upstream_bytes)}, counted at the source"),
            ("bytes from region to rack", _bytes(self.rack_fill_bytes)),
            ("bytes asked for, distinct", _bytes(self.asked_bytes)),
            ("bytes to machines", f"{_bytes(self.served_bytes)}, counted at the machines"),
            ("hit ratio", f"{100 * self.hit_ratio:.1f} % of the bytes came from the rack's cache"),
            ("machines", str(self.machines)),
            (
                "seconds",
                f"{self.seconds:.1f} (sync {self.sync_seconds:.1f}, boot {self.boot_seconds:.1f})",
            ),
            ("every byte", verdict),
        ]


def _bytes(size: int) -> str:
    return f"{size:,} ({units.format_size(size)})"


def compare(counted: dict[str, int], told: dict[str, int]) -> tuple[str, ...]:
    """Return where the product's ledger (``told``) differs from what was ``counted``."""
    return tuple(
        f"{name}: {value:,} were counted, the ledger says {told[name]:,}"
        for name, value in counted.items()
        if told[name] != value
    )


def each_once(name: str, came: int, objects: Mapping[str, int]) -> tuple[str, ...]:
    """Return a line where not exactly the bytes of these objects ``came``."""
    wanted = sum(objects.values())
    return () if came == wanted else (f"{name}: {came:,} came, {wanted:,} are each byte once",)
