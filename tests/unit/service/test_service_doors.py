"""Who leaves when the house is full: decisions on plain values."""

from boot_resources.service import doors


def guest(address: str, since: float, *, busy: bool = False) -> doors.Guest:
    return doors.Guest(address, since, busy)


def test_the_oldest_idle_guest_leaves_first() -> None:
    oldest = guest("a", 1)
    guests = [guest("a", 2), guest("b", 0, busy=True), oldest, guest("a", 3)]
    assert doors.who_leaves(guests, "a") is oldest
    assert doors.who_leaves(guests, "b") is oldest


def test_the_address_with_most_idle_guests_gives_one_up() -> None:
    greedy = [guest("greedy", number) for number in (7, 8, 9)]
    assert doors.who_leaves([guest("a", 1), guest("b", 2), *greedy], "c") is greedy[0]


def test_where_all_are_busy_the_greediest_address_makes_room_for_another() -> None:
    greedy = [guest("greedy", number, busy=True) for number in (5, 4, 6)]
    assert doors.who_leaves([guest("a", 1, busy=True), *greedy], "b") is greedy[1]


def test_nobody_loses_a_place_to_who_would_then_have_more() -> None:
    guests = [guest(address, 0, busy=True) for address in ("a", "a", "b", "b")]
    assert doors.who_leaves(guests, "a") is None
    assert doors.who_leaves(guests, "b") is None
    assert doors.who_leaves([guest("a", 0, busy=True), guest("b", 0, busy=True)], "c") is None


def test_machines_behind_one_address_keep_their_places() -> None:
    guests = [guest("router", number, busy=True) for number in range(100)]
    assert doors.who_leaves(guests, "router") is None
