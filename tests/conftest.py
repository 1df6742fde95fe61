"""What holds for every test: the shared helpers can be imported, and the folder is the tier.

The reasons of what could not run are in pytest's own summary (``-ra`` in pyproject.toml).
"""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from support import tiers  # noqa: E402  the path above must be set first

pytest_plugins = ["support.databases"]


def pytest_configure(config: pytest.Config) -> None:
    for tier, meaning in tiers.TIERS.items():
        config.addinivalue_line("markers", f"{tier}: {meaning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            tier = item.path.relative_to(HERE).parts[0]
            if tier in tiers.TIERS:
                item.add_marker(tier)
