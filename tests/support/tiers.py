"""The tiers of tests, and what happens where a machine cannot run one of them.

A test belongs to the tier that its top folder under ``tests/`` names. What a machine lacks is a
skip with its reason, so that the suite runs everywhere; with ``REQUIRE_ALL_TIERS=1``, as in CI,
the same skip is a failure, so that nothing is left out in silence.
"""

import os
from typing import NoReturn

import pytest

TIERS = {
    "unit": "pure and fast",
    "charm": "state transitions of the charms",
    "functional": "real services on this machine",
    "faults": "killed, cut off, filled up, attacked",
    "boot": "a virtual machine really boots",
    "integration": "a Juju controller",
}


def missing(reason: str) -> NoReturn:
    """End this test because the machine lacks something: a skip, or a failure in CI.

    Tests of the tier ``integration`` do not use it: they may always skip, by ``pytest.skip``.

    Args:
        reason: what is missing, and how to get it.
    """
    if os.environ.get("REQUIRE_ALL_TIERS") == "1":
        pytest.fail(f"{reason} (REQUIRE_ALL_TIERS=1 makes this a failure)", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
