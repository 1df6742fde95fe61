import shutil
from collections.abc import Iterator

import pytest

from support import keys as signing_keys
from support import tiers


@pytest.fixture(scope="session")
def keys() -> Iterator[signing_keys.Keys]:
    if shutil.which("gpg") is None or shutil.which("gpg-agent") is None:
        tiers.missing("gpg is not installed: apt install gpg gpg-agent")
    yield from signing_keys.make()
