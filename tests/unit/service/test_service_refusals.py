"""What is counted, logged and noticed of those who were refused, on a clock of the test's own."""

import pytest

from boot_resources.service import refusals

HANDSHAKE, MEMBER, REQUEST, FULL = refusals.Reason


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refused(clock: Clock) -> refusals.Refusals:
    return refusals.Refusals("plane port", (HANDSHAKE, MEMBER), clock)


def test_everything_is_counted_by_reason(refused: refusals.Refusals) -> None:
    for reason in (MEMBER, MEMBER, FULL):
        refused.note(reason, "192.0.2.1", "so it is")
    assert refused.counts == {HANDSHAKE: 0, MEMBER: 2, REQUEST: 0, FULL: 1}


def test_the_last_one_is_described(refused: refusals.Refusals) -> None:
    assert refused.describe()["last"] is None
    refused.note(MEMBER, "192.0.2.1", "its key is not in the list")
    refused.note(HANDSHAKE, "192.0.2.2", "certificate has expired")
    last = refused.describe()["last"]
    assert (last["reason"], last["who"], last["why"]) == (
        "handshake",
        "192.0.2.2",
        "certificate has expired",
    )


def test_a_flood_is_logged_up_to_a_bound_and_says_that_there_was_more(
    refused: refusals.Refusals, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(500):
        refused.note(REQUEST, "192.0.2.1", "no HTTP")
    assert len(caplog.messages) == refusals.LINES + 1
    assert "counted and not logged" in caplog.messages[-1]
    caplog.clear()
    clock.now += refusals.WINDOW
    refused.note(REQUEST, "192.0.2.1", "no HTTP")
    assert caplog.messages == [
        "480 more were refused at the plane port and not logged",
        "refused 192.0.2.1 at the plane port: no HTTP",
    ]


def test_what_a_stranger_wrote_is_short_and_printable(
    refused: refusals.Refusals, caplog: pytest.LogCaptureFixture
) -> None:
    refused.note(MEMBER, "192.0.2.1", "x\r\nERROR all is lost\x1b[2J" + "y" * 100_000)
    (line,) = caplog.messages
    assert line.isprintable()
    assert len(line) < 400
    assert refused.notices()[0].text.isprintable()


def test_a_notice_stands_for_each_reason_and_goes_when_it_is_over(
    refused: refusals.Refusals, clock: Clock
) -> None:
    assert refused.notices() == []
    refused.note(REQUEST, "192.0.2.9", "strangers say anything")
    assert refused.notices() == []
    refused.note(HANDSHAKE, "192.0.2.1", "certificate has expired")
    assert [notice.key for notice in refused.notices()] == ["refused-handshake"]
    refused.note(MEMBER, "192.0.2.2", "its key is not in the list", "issue it a certificate")
    told = {notice.key: notice for notice in refused.notices()}
    assert set(told) == {"refused-handshake", "refused-member"}
    assert told["refused-member"].cure == "issue it a certificate"
    clock.now += refusals.REMEMBERED
    assert refused.notices() == []


def test_a_notice_does_not_change_with_every_refusal(
    refused: refusals.Refusals, clock: Clock
) -> None:
    refused.note(MEMBER, "192.0.2.1", "first")
    (first,) = refused.notices()
    refused.note(MEMBER, "192.0.2.2", "second")
    assert refused.notices() == [first]
    clock.now += refusals.WINDOW
    (later,) = refused.notices()
    assert "192.0.2.2" in later.text
