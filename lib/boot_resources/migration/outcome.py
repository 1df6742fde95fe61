"""Whether all of MAAS's images are accounted for: what a migration has to come to; pure.

Always true: a migration has succeeded only when every file of every image is proved on disk, or is
set aside with a resolution. There are two: the boot source still lists the object and it is
selected, so the next sync brings it; or an operator said that the image may be lost. What the
source lists and no selection picks is open: nothing is lost by silence.
"""

import dataclasses
import enum
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet

from boot_resources import errors
from boot_resources.catalog import names, planning
from boot_resources.migration import naming

_SELECT = "; the boot source lists it: say 'boot-resources selections add {} {}', then sync"


class NothingToLose(errors.BootResourcesError):
    """An operator accepted the loss of an image of which nothing is set aside."""


class Resolution(enum.Enum):
    """What becomes of a file that was set aside."""

    REDOWNLOAD = "re-download"
    """The boot source lists it; the sync brings it."""
    LOST = "lost"
    """An operator accepted that its image does not come along."""
    OPEN = "open"
    """Somebody has to decide."""


@dataclasses.dataclass(frozen=True)
class SetAside:
    """A file that did not come, and what becomes of it; without a file it is the image itself."""

    image: names.ImageName
    filename: str
    sha256: str
    size: int
    reason: str
    resolution: Resolution

    def __str__(self) -> str:
        what = f"{self.image} {self.filename}".rstrip()
        return f"{what}: {self.reason} ({self.resolution.value})"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a migration came to.

    Attributes:
        arriving: images that the catalog gets, the oldest of each product first.
        set_aside: what did not come, in the order of MAAS's rows.
    """

    arriving: tuple[planning.WantedImage, ...]
    set_aside: tuple[SetAside, ...]

    @property
    def open(self) -> tuple[SetAside, ...]:
        """What somebody has to decide before the migration has succeeded."""
        return tuple(each for each in self.set_aside if each.resolution is Resolution.OPEN)

    @property
    def succeeded(self) -> bool:
        """Whether all of it is accounted for."""
        return not self.open


def judge(
    migrants: Iterable[naming.Migrant],
    held: AbstractSet[str],
    failed: Mapping[str, str],
    listed: AbstractSet[str],
    lost: Collection[names.ImageName],
    offered: AbstractSet[str] = frozenset(),
) -> Outcome:
    """Return what a migration came to.

    Args:
        migrants: MAAS's images.
        held: objects that are proved on disk.
        failed: why objects could not be exported, by sha256.
        listed: objects that the sync will bring from the boot source.
        lost: images whose loss an operator accepted.
        offered: objects that the sync would bring if they were selected.
    """
    arriving: list[naming.Migrant] = []
    set_aside: list[SetAside] = []
    for migrant in migrants:
        flaws = _flaws(migrant, held, failed)
        found = [_resolve(migrant, flaw, listed, lost, offered) for flaw in flaws]
        set_aside += found
        if all(each.resolution is Resolution.REDOWNLOAD for each in found):
            arriving.append(migrant)
    oldest_first = sorted(arriving, key=lambda migrant: migrant.age)
    return Outcome(tuple(each.image for each in oldest_first), tuple(set_aside))


def require_something_to_lose(judged: Outcome, lost: Collection[names.ImageName]) -> None:
    """Do nothing where something of each of ``lost`` is set aside.

    Raises:
        NothingToLose: of one of them nothing is.
    """
    in_vain = set(lost) - {each.image for each in judged.set_aside}
    if in_vain:
        raise NothingToLose(
            f"nothing of {', '.join(map(str, sorted(in_vain)))} is set aside",
            "accept the loss of what 'boot-resources migrate' names as open, in its words",
        )


def _flaws(
    migrant: naming.Migrant, held: AbstractSet[str], failed: Mapping[str, str]
) -> list[naming.Flaw]:
    known = {flaw.filename: flaw for flaw in migrant.flaws}
    # What lies on disk and is proved needs nobody's word for it; a name cannot be proved.
    flaws = [f for f in migrant.flaws if not f.filename]
    for item in migrant.image.items:
        if item.sha256 not in held:
            reason = failed.get(item.sha256, "it was not exported yet")
            unknown = naming.Flaw(item.filename, item.sha256, reason)
            flaws.append(known.get(item.filename, unknown))
    return flaws


def _resolve(
    migrant: naming.Migrant,
    flaw: naming.Flaw,
    listed: AbstractSet[str],
    lost: Collection[names.ImageName],
    offered: AbstractSet[str],
) -> SetAside:
    name = migrant.image.name
    reason = flaw.reason
    if name in lost:
        resolution = Resolution.LOST
    elif flaw.sha256 in listed:
        resolution = Resolution.REDOWNLOAD
    else:
        resolution = Resolution.OPEN
        if flaw.sha256 in offered:
            reason += _SELECT.format(name.product.os, name.product.release)
    size = next((i.size for i in migrant.image.items if i.filename == flaw.filename), 0)
    return SetAside(name, flaw.filename, flaw.sha256, size, reason, resolution)
