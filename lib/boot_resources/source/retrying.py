"""Ask again where that may help: exponential backoff with jitter, bounded in number and in time.

Only errors that call themselves ``transient`` are retried. A server's own ``Retry-After`` counts
where it is longer than ours, up to a bound: a server may slow us down, not stop us.
"""

import dataclasses
import random
import time
from collections.abc import Callable
from typing import TypeVar

from boot_resources.source import failures

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Policy:
    """How often, and after how many seconds.

    Attributes:
        attempts: how often something is asked in all.
        first: the longest wait after the first failure; it doubles with each further one.
        longest: no wait of our own is longer than this.
        longest_asked: nor any that a server asks for.
        sleep: how to wait; a caller that can be stopped waits for that as well.
        jitter: a number from 0 to 1, of which each wait takes a part of its own.
    """

    attempts: int = 5
    first: float = 0.5
    longest: float = 30.0
    longest_asked: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, failed: int, retry_after: float | None) -> float:
        """Return the seconds to wait after ``failed`` failures in a row.

        Half of the wait is fixed and half is drawn, so that many regions that failed together do
        not come back together.
        """
        own = min(self.longest, self.first * 2.0 ** (failed - 1))
        drawn = own / 2 + self.jitter() * own / 2
        return max(drawn, min(retry_after or 0.0, self.longest_asked))


def retry(policy: Policy, ask: Callable[[], T]) -> T:
    """Return what ``ask`` returns, asking again after each transient failure.

    Raises:
        failures.FetchError: the last failure, when it was not transient or was one too many.
    """
    failed = 0
    while True:
        try:
            return ask()
        except failures.FetchError as error:
            failed += 1
            if not error.transient or failed >= policy.attempts:
                raise
            policy.sleep(policy.pause(failed, error.retry_after))
