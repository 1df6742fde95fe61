"""A room whose docstring lists its modules lists all of them, and no other."""

import importlib
import pkgutil
import re

import pytest

ROOMS = ("catalog", "rack", "region", "store")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_all_its_modules(room: str) -> None:
    package = importlib.import_module(f"boot_resources.{room}")
    entries = re.findall(r"^(``.*?)(?:  |$)", package.__doc__ or "", re.MULTILINE)
    named = {name for entry in entries for name in re.findall(r"``(\w+)``", entry)}
    assert named == {module.name for module in pkgutil.iter_modules(package.__path__)}
