"""What goes when room is needed: a decision about plain values.

Always true: the least recently used goes first, and what is in use never goes. The walk ends as
soon as enough is found, so its cost is what goes, not what is there.
"""

import dataclasses
from collections.abc import Container, Iterable


@dataclasses.dataclass(frozen=True)
class Choice:
    """What goes, and whether that is enough.

    Attributes:
        victims: the objects, the least recently used first.
        short: bytes that are still missing when they have gone; 0 where it is enough.
    """

    victims: tuple[str, ...]
    short: int


def choose_victims(
    oldest_first: Iterable[tuple[str, int]],
    pinned: Container[str],
    excess: int,
    at_most: int | None = None,
) -> Choice:
    """Decide what goes so that ``excess`` bytes come free, and no more than that takes.

    Args:
        oldest_first: every object and the bytes it takes, the least recently used first.
        pinned: what is being served or filled.
        excess: bytes that are too much; nothing goes where it is not above 0.
        at_most: so many go at once; all that is needed unless given.
    """
    victims: list[str] = []
    for name, space in oldest_first:
        if excess <= 0 or len(victims) == at_most:
            break
        if name not in pinned:
            victims.append(name)
            excess -= space
    return Choice(tuple(victims), max(0, excess))
