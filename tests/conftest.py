"""What holds for every test: the top folder is the tier, and databases can be had by fixture.

What could not run is named with its reason in pytest's own summary (``-ra``).
"""

from pathlib import Path

import pytest

from support import tiers

HERE = Path(__file__).resolve().parent

pytest_plugins = ["support.clocks", "support.databases"]


def pytest_configure(config: pytest.Config) -> None:
    for tier, meaning in tiers.TIERS.items():
        config.addinivalue_line("markers", f"{tier}: {meaning}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            tier = item.path.relative_to(HERE).parts[0]
            if tier in tiers.TIERS:
                item.add_marker(tier)
