import pytest

from boot_resources.source import failures, limits, retrying


class Server:
    """Fails as often as it is told, then answers."""

    def __init__(self, *errors: failures.FetchError) -> None:
        self.errors = list(errors)
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


def unreachable(retry_after: float | None = None) -> failures.FetchError:
    error = failures.SourceUnreachable("http://h/", "no connection")
    error.retry_after = retry_after
    return error


def ask(server: Server, attempts: int = 5) -> tuple[str, list[float]]:
    slept: list[float] = []
    policy = retrying.Policy(attempts=attempts, sleep=slept.append, jitter=lambda: 1.0)
    return retrying.retry(policy, server), slept


def test_a_transient_failure_is_asked_again_after_longer_and_longer_waits() -> None:
    answer, slept = ask(Server(*(unreachable() for _ in range(4))))
    assert answer == "answer"
    assert slept == [0.5, 1.0, 2.0, 4.0]


def test_the_last_failure_is_what_the_caller_sees() -> None:
    server = Server(*(unreachable() for _ in range(9)))
    with pytest.raises(failures.SourceUnreachable):
        ask(server, attempts=3)
    assert server.asked == 3


@pytest.mark.parametrize(
    "error",
    [
        failures.SourceRefused("u", "404"),
        failures.TooLarge("u", "x"),
        failures.TooSlow("u", "x"),
        failures.BadReply("u", "x"),
        failures.RedirectRefused("u", "x"),
        failures.SourceUntrusted("u", "x"),
    ],
)
def test_what_asking_again_cannot_mend_is_not_asked_again(error: failures.FetchError) -> None:
    server = Server(error)
    with pytest.raises(type(error)):
        ask(server)
    assert server.asked == 1


def test_a_server_may_slow_us_down_but_not_stop_us() -> None:
    assert ask(Server(unreachable(7.0), unreachable(86400.0), unreachable(0.0)))[1] == [7, 60, 2]


def test_waits_are_bounded_and_half_of_each_is_drawn() -> None:
    assert retrying.Policy(jitter=lambda: 1.0).pause(50, None) == 30.0
    assert retrying.Policy(jitter=lambda: 0.0).pause(50, None) == 15.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_pace_is_judged_over_each_window_on_its_own() -> None:
    clock = Clock()
    pace = limits.Pace(limits.Limits(min_rate=100, window=10), clock)
    assert pace.keeps_up(5000)
    clock.now = 10.0
    assert pace.keeps_up(1)
    clock.now = 19.9
    assert pace.keeps_up(10)
    clock.now = 20.0
    assert not pace.keeps_up(10)


def test_pace_that_is_exactly_enough_is_enough() -> None:
    clock = Clock()
    pace = limits.Pace(limits.Limits(min_rate=100, window=10), clock)
    clock.now = 10.0
    assert pace.keeps_up(1000)
