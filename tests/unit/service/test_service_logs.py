"""One record is one line, whatever a stranger wrote into it."""

import logging

import pytest

from boot_resources.service import logs


def written(message: str, *args: object, error: BaseException | None = None) -> str:
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("n", logging.ERROR, __file__, 1, message, args, exc_info)
    return logs.OneLine("%(levelname)s %(message)s").format(record)


@pytest.mark.parametrize(
    "text",
    [
        "a\nERROR b",
        "a\r\nb",
        "\x1b[2J",
        "\x9b2J",
        "a\x00b",
        "\u202egnp.",
        "\u2028",
        "\udcff",
        "\x7f",
    ],
)
def test_a_message_is_one_printable_line(text: str) -> None:
    assert written("refused %s", text).isprintable()
    assert logs.printable(text).encode()


def test_plain_words_stay_as_they_are() -> None:
    assert written("größer als %d €, «日本»", 5) == "ERROR größer als 5 €, «日本»"


def test_a_traceback_has_lines_and_none_begins_like_a_record() -> None:
    try:
        raise ValueError("x\nERROR all is lost\x1b[2J")
    except ValueError as error:
        head, *rest = written("a defect", error=error).split("\n")
    assert head == "ERROR a defect"
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_the_log_goes_to_standard_error_at_its_level(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr(root, "level", root.level)
    for name in logs._CHATTY:
        logger = logging.getLogger(name)
        monkeypatch.setattr(logger, "level", logger.level)
    # What pytest has there is not ours to close.
    root.handlers.clear()
    logs.configure("warning")
    logging.getLogger("x").info("quiet")
    logging.getLogger("x").warning("a\nb")
    logging.getLogger("gnupg").info("quiet")
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" x: ")[2] for line in said] == [r"a\nb"]
