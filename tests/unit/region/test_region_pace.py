"""How soon a source that could not be read is asked again."""

from boot_resources.region import syncing

HOUR = 3600.0


def test_a_source_that_could_be_read_is_read_after_the_interval() -> None:
    assert syncing.source_pause(0, HOUR) == HOUR


def test_a_source_that_is_away_is_asked_soon_then_less_and_less_often() -> None:
    pauses = [syncing.source_pause(unread, HOUR) for unread in range(1, 9)]
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, HOUR]
    assert syncing.source_pause(10**6, HOUR) == HOUR


def test_no_pause_is_longer_than_the_interval() -> None:
    assert syncing.source_pause(1, 5.0) == 5.0
