"""What the attacks share: each port that strangers reach, of a real controller; and a feed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources.service import doors
from support import feed as feeds
from support import ports, tiers, wire


@pytest.fixture(scope="module", params=["machine port", "plane port"])
def door(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[wire.Door]:
    """Give a door that soon closes on those who say nothing."""
    directory = tmp_path_factory.mktemp("door")
    opened = ports.machine_port if request.param == "machine port" else ports.plane_port
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(doors, "IDLE_SECONDS", 3.0)
        patched.setattr(doors, "LINGER_SECONDS", 0.2)
        with opened(directory) as (door, _):
            yield door


@pytest.fixture(scope="module")
def lasting_feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[feeds.Feed]:
    """Give a feed that a whole module attacks, one attack after the other."""
    _need_gpg()
    yield from feeds.began(tmp_path_factory.mktemp("feed"))


@pytest.fixture
def feed(lasting_feed: feeds.Feed) -> feeds.Feed:
    """Give the module's feed, well again where an attack before did not end as it must."""
    if lasting_feed.status():
        lasting_feed.heal()
        lasting_feed.sync()
    assert lasting_feed.status() == []
    return lasting_feed


@pytest.fixture
def own_feed(tmp_path: Path) -> Iterator[feeds.Feed]:
    """Give a feed to a test that changes more than its documents, such as the time."""
    _need_gpg()
    yield from feeds.began(tmp_path)


def _need_gpg() -> None:
    if shutil.which("gpg") is None or shutil.which("gpg-agent") is None:
        tiers.missing("gpg is not installed: apt install gpg gpg-agent")
