"""What an operator sees of an attack, and the one guard that an operator may lower."""

import datetime
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from boot_resources import units
from boot_resources.demo import signed_source
from support import command, desks, real_region

DOCUMENT = f"streams/v1/{signed_source.UBUNTU}.sjson"
MINUTE = datetime.timedelta(minutes=1)


class Office:
    """A real region and the command that asks it; its source goes forward, or back in minutes."""

    def __init__(self, world: real_region.World, settings: Path) -> None:
        self.world = world
        self._settings = settings
        self._date = units.utc_now().replace(microsecond=0)

    def run(self, *words: str) -> command.Done:
        return command.run(*words, "--settings", self._settings)

    def publish(self, back: int = 0) -> str:
        """Have the source send a newer Ubuntu document, or an older one; return its date."""
        if not back:
            self._date += 10 * MINUTE
        date = self._date - back * MINUTE
        documents = self.world.source.documents(date)
        path = DOCUMENT.replace(".sjson", ".json")
        self.world.source.write_document(path, documents[path])
        return date.isoformat()

    def sync(self) -> int:
        return self.run("sync").status

    def in_force(self) -> str:
        """Return the date of the document that is in force."""
        found = self.run("sources", "show", "--json").document["documents"]
        (date,) = (each["updated"] for each in found if each["path"] == DOCUMENT)
        return str(date)

    def lower(self, document: str = DOCUMENT, reason: str = "they lost a version") -> command.Done:
        words = ("sources", "accept-older", "--document", document, "--reason", reason)
        done = self.run(*words)
        # A sync follows by itself; this is the end of it.
        self.sync()
        return done

    def noticed(self) -> list[str]:
        (region,) = self.run("status", "--json").document
        return [each["text"] for each in region["notices"] if each["scope"] == "source"]


@pytest.fixture(scope="module")
def lasting_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    directory = tmp_path_factory.mktemp("office")
    with real_region.begin(directory) as world:
        socket = world.region.settings.control.socket
        yield Office(world, desks.name_controller(directory, "region", socket))


@pytest.fixture
def office(lasting_office: Office) -> Office:
    """Give an office whose source is well."""
    newer = lasting_office.publish()
    lasting_office.sync()
    assert lasting_office.in_force() == newer
    assert lasting_office.noticed() == []
    return lasting_office


def test_a_refused_document_is_seen_in_the_status_until_the_source_is_well(office: Office) -> None:
    images = office.run("images", "list", "--json").document["images"]
    assert office.run("sources", "check").status == 0
    office.publish(back=60)
    checked = office.run("sources", "check")
    assert (checked.status, "older than the accepted one" in checked.out) == (4, True)
    assert office.sync() == 1
    seen = office.run("status").out
    assert f"{DOCUMENT}: it is of " in seen
    assert "older than the accepted one" in seen
    assert f"boot-resources sources accept-older --document {DOCUMENT} --reason TEXT" in seen
    assert office.run("images", "list", "--json").document["images"] == images
    newer = office.publish()
    office.sync()
    assert office.in_force() == newer
    assert office.noticed() == []


def test_a_guard_is_lowered_once_and_with_a_reason(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    older = office.publish(back=60)
    done = office.lower()
    assert done.status == 0
    assert office.in_force() == older
    assert office.noticed() == []
    assert "they lost a version" in caplog.text
    assert "its guard is raised again" in caplog.text
    # The next one that goes back needs another word.
    oldest = office.publish(back=120)
    office.sync()
    assert office.in_force() == older
    assert "older than the accepted one" in office.noticed()[0]
    office.lower()
    assert office.in_force() == oldest


def test_a_guard_that_was_lowered_for_nothing_is_raised_by_the_next_document(
    office: Office,
) -> None:
    before = office.in_force()
    office.lower()
    office.publish(back=60)
    office.sync()
    assert office.in_force() == before
    assert "older than the accepted one" in office.noticed()[0]


def test_a_guard_stays_lowered_and_seen_while_no_document_can_be_accepted(
    office: Office,
) -> None:
    office.publish(back=60)
    good = (office.world.source.directory / DOCUMENT).read_bytes()
    (office.world.source.directory / DOCUMENT).write_bytes(b"nonsense")
    office.lower()
    found = " ".join(office.noticed())
    assert "it is not signed" in found
    assert f"the next {DOCUMENT} may be older than the accepted one, since: they lost" in found
    (office.world.source.directory / DOCUMENT).write_bytes(good)
    office.sync()
    assert office.noticed() == []


@pytest.mark.parametrize(
    ("document", "reason", "why"),
    [
        ("streams/v1/none.sjson", "a reason", "no document streams/v1/none.sjson was accepted"),
        (DOCUMENT.replace(".sjson", ".json"), "a reason", "was accepted from the source"),
        (DOCUMENT, "  ", "is not lowered without a reason"),
    ],
    ids=["unknown", "unsigned", "no reason"],
)
def test_a_guard_is_not_lowered_for_another_document_or_without_a_reason(
    office: Office, document: str, reason: str, why: str
) -> None:
    before = office.in_force()
    office.publish(back=60)
    done = office.lower(document, reason)
    assert done.status == 1
    assert why in done.err
    assert office.in_force() == before
