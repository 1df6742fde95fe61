"""Who has a place at a port, and who leaves where all are taken: decided on plain values.

Always true: one place in ``HALL`` is kept for those who have asked nothing yet. Whoever needs a
place where there is none

1. takes that of who has been silent longest, if that is ``GRACE_SECONDS`` or more;
2. else that of the latest of the address with most, if it keeps as many as the other then has;
3. else is turned away.

This is asked twice of each guest. When it comes, 2 looks at those who have asked nothing yet:
who says nothing never cuts off who is served. When it asks for the first time, 1 and 2 look at
those who have asked; of one address, who waits for no answer goes before who does. So machines
behind one address share all places, several addresses share them equally where they are too few,
and a flood of silent connections crowds out its own address, and who has long been silent too.

Each call takes as long among many as among few.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Generic, TypeVar

GRACE_SECONDS = 2.0
"""For which nobody counts as silent: since it came, shook hands, or had its last answer."""
HALL = 8
"""Of as many places one is kept for those who have asked nothing yet; of fewer, one, too."""


@dataclasses.dataclass(frozen=True, eq=False)
class Guest:
    """One open connection.

    Attributes:
        address: where it comes from, without the port; empty on a local socket.
    """

    address: str


AnyGuest = TypeVar("AnyGuest", bound=Guest)


class Places(Generic[AnyGuest]):
    """The places of one port, and who has them. Times are seconds of any steady clock.

    Args:
        most: how many there are, at least ``2 * HALL`` for the rule to hold.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._seats = most - max(1, most // HALL)
        self._arriving = _Line[AnyGuest]()
        self._resting = _Line[AnyGuest]()
        self._served = _Line[AnyGuest]()
        self._newcomers = _Shares()
        self._seated = _Shares()

    def __len__(self) -> int:
        return len(self._arriving) + len(self._resting) + len(self._served)

    def __iter__(self) -> Iterator[AnyGuest]:
        return itertools.chain(self._arriving, self._resting, self._served)

    def come(self, guest: AnyGuest, now: float) -> AnyGuest | None:
        """Say who leaves for a newcomer: nobody, another, or the newcomer itself."""
        leaving = None
        if len(self) >= self.most:
            leaving = self._who_makes_way(guest.address, now)
            if leaving is None:
                return guest
            self.leave(leaving)
        self._arriving.append(guest, now)
        self._newcomers.add(guest.address)
        return leaving

    def greet(self, guest: AnyGuest, now: float) -> None:
        """Let the grace of one who has asked nothing yet begin anew."""
        if self._arriving.remove(guest):
            self._arriving.append(guest, now)

    def ask(self, guest: AnyGuest, now: float) -> AnyGuest | None:
        """Say who leaves so that a guest can be served: nobody, another, or the guest itself."""
        leaving = None
        if guest in self._arriving:
            if len(self._resting) + len(self._served) >= self._seats:
                leaving = self._who_gives_up(guest.address, now)
                if leaving is None:
                    return guest
                self.leave(leaving)
            self._arriving.remove(guest)
            self._newcomers.remove(guest.address)
            self._seated.add(guest.address)
        elif not self._resting.remove(guest):
            # It was made to leave, and what it had said before is read only now.
            return guest
        self._served.append(guest, now)
        return leaving

    def rest(self, guest: AnyGuest, now: float) -> None:
        """Note that a guest has its answer; nothing where it was turned away or has left."""
        if self._served.remove(guest):
            self._resting.append(guest, now)

    def leave(self, guest: AnyGuest) -> None:
        """Give a place back; nothing where that was done before."""
        if self._arriving.remove(guest):
            self._newcomers.remove(guest.address)
        elif self._resting.remove(guest) or self._served.remove(guest):
            self._seated.remove(guest.address)

    def _who_makes_way(self, newcomer: str, now: float) -> AnyGuest | None:
        """Return who leaves for a newcomer from that address; None turns it away."""
        silent = min(self._arriving.oldest, self._resting.oldest)
        if silent <= now - GRACE_SECONDS:
            lines = (self._arriving, self._resting)
            return next(line.first() for line in lines if line.oldest == silent)
        if self._newcomers.most > self._newcomers.of(newcomer) + 1:
            return self._arriving.last_of(self._newcomers.fullest())
        return None

    def _who_gives_up(self, asking: str, now: float) -> AnyGuest | None:
        """Return who leaves for one from that address who asks; None turns that one away."""
        if self._resting.oldest <= now - GRACE_SECONDS:
            return self._resting.first()
        if self._seated.most > self._seated.of(asking) + 1:
            fullest = self._seated.fullest()
            line = self._resting if self._resting.has(fullest) else self._served
            return line.last_of(fullest)
        return None


class _Line(Generic[AnyGuest]):
    """Guests in the order in which they came to it, all of them and by address.

    An ``OrderedDict``: the first of a ``dict`` is found behind all that were removed before it.
    """

    def __init__(self) -> None:
        self._since: collections.OrderedDict[AnyGuest, float] = collections.OrderedDict()
        self._of: dict[str, collections.OrderedDict[AnyGuest, None]] = {}

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[AnyGuest]:
        return iter(self._since)

    def __contains__(self, guest: AnyGuest) -> bool:
        return guest in self._since

    @property
    def oldest(self) -> float:
        """Since when the first is in it; never, where nobody is."""
        return next(iter(self._since.values()), math.inf)

    def first(self) -> AnyGuest:
        return next(iter(self._since))

    def has(self, address: str) -> bool:
        return address in self._of

    def last_of(self, address: str) -> AnyGuest:
        return next(reversed(self._of[address]))

    def append(self, guest: AnyGuest, now: float) -> None:
        self._since[guest] = now
        self._of.setdefault(guest.address, collections.OrderedDict())[guest] = None

    def remove(self, guest: AnyGuest) -> bool:
        """Return whether it was in it."""
        if self._since.pop(guest, None) is None:
            return False
        of_address = self._of[guest.address]
        del of_address[guest]
        if not of_address:
            del self._of[guest.address]
        return True


class _Shares:
    """How many guests each address has, and which has most."""

    def __init__(self) -> None:
        self.most = 0
        self._of: dict[str, int] = {}
        self._with: dict[int, collections.OrderedDict[str, None]] = {}

    def of(self, address: str) -> int:
        return self._of.get(address, 0)

    def fullest(self) -> str:
        return next(iter(self._with[self.most]))

    def add(self, address: str) -> None:
        self._change(address, self.of(address) + 1)

    def remove(self, address: str) -> None:
        self._change(address, self.of(address) - 1)

    def _change(self, address: str, count: int) -> None:
        before = self._of.pop(address, 0)
        if before:
            del self._with[before][address]
            if not self._with[before]:
                del self._with[before]
        if count:
            self._of[address] = count
            self._with.setdefault(count, collections.OrderedDict())[address] = None
        # It moved by one: where it was alone at the top, the top went with it.
        if count > self.most or (before == self.most and before not in self._with):
            self.most = count
