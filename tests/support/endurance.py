"""How often the tests that draw lots draw, from which seed, and what they counted.

``make test`` takes a sample, the same one each time, so that a change is judged by itself and not
by luck; ``make test-long`` gives the full counts in the environment, and has the seeds drawn.
CONTRIBUTING.md lists the variables. Every such test logs its seed, which pytest shows where it
fails, and the seed given in ``BOOT_RESOURCES_SEED`` repeats it. With ``BOOT_RESOURCES_TALLY`` set
to a file, each test adds what it counted there as one line of JSON; `docs/endurance.md` is
written from those lines.
"""

import json
import logging
import os
import random
from pathlib import Path

import hypothesis

logger = logging.getLogger(__name__)
_SAMPLE_SEED = "1"


def kills(sample: int) -> int:
    """Return how many times a crash test kills a process."""
    return _count("KILLS", sample)


def states(sample: int) -> int:
    """Return how many states that a power cut could leave are tried."""
    return _count("STATES", sample)


def histories(sample: int) -> hypothesis.settings:
    """Return how Hypothesis looks for a history that breaks a promise."""
    return hypothesis.settings(
        max_examples=_count("HISTORIES", sample),
        deadline=None,  # Real sockets and disks take the time they take.
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=True,
    )


def seed(test: str) -> int:
    """Return the seed of a test that draws lots, and log how to repeat it."""
    given = os.environ.get("BOOT_RESOURCES_SEED", _SAMPLE_SEED)
    chosen = random.SystemRandom().randrange(10**9) if given == "drawn" else int(given)
    logger.warning("%s: repeat with BOOT_RESOURCES_SEED=%d", test, chosen)
    return chosen


def tally(test: str, **counted: object) -> None:
    """Add what a test counted to the tally, if one is kept."""
    if file := os.environ.get("BOOT_RESOURCES_TALLY"):
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"test": test, **counted}) + "\n")


def _count(kind: str, sample: int) -> int:
    return int(os.environ.get(f"BOOT_RESOURCES_{kind}", sample))
