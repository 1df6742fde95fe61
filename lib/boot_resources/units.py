"""Sizes in bytes and times in seconds, as people write them and as people read them.

Sizes are powers of 1024, as Juju's are: ``4G`` is 4 × 1024³ bytes.
"""

import datetime
import fractions
import re

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

LONGEST = 100 * 365 * 86400.0
"""The longest duration in seconds, a century: timers and databases refuse to wait much longer."""

_NUMBER = r"(?P<number>\d{1,30}(?:\.\d{1,30})?)"
_SIZE = re.compile(rf"{_NUMBER}\s*(?:(?P<unit>[KMGTP])(?:iB|B)?|B)?", re.IGNORECASE | re.ASCII)
_EXPONENT = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_DURATION = re.compile(rf"{_NUMBER}\s*(?P<unit>ms|s|m|h|d)", re.IGNORECASE | re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_size(text: str | int) -> int:
    """Return the number of bytes that ``text`` means: ``"4G"``, ``"512M"``, ``"1.5T"``, ``4096``.

    Raises:
        ValueError: where it is not a size; the message shows the form.
    """
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    match = _SIZE.fullmatch(str(text).strip())
    if match is None or isinstance(text, bool):
        raise ValueError(f"{text!r} is not a size; write for example 512M, 4G or 1.5T")
    exponent = _EXPONENT[match["unit"].upper()] if match["unit"] else 0
    # A float would lose bytes of sizes beyond 8 PiB.
    return int(fractions.Fraction(match["number"]) * KIB**exponent)


def format_size(size: float) -> str:
    """Return ``size`` bytes as people read it, with powers of 1024: ``"1.5 GiB"``."""
    if abs(size) < KIB:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= KIB
        # What would be rounded to 1024.0 is one of the next unit.
        if abs(size) < KIB - 0.05:
            return f"{size:.1f} {unit}"
    return f"{size / KIB:.1f} PiB"


def parse_duration(text: str | float) -> float:
    """Return the number of seconds that ``text`` means: ``"90s"``, ``"30m"``, ``"1h"``, ``60``.

    Raises:
        ValueError: where it is not a duration; the message shows the form.
    """
    if isinstance(text, int | float) and not isinstance(text, bool) and text >= 0:
        seconds = text
    else:
        match = _DURATION.fullmatch(str(text).strip())
        if match is None or isinstance(text, bool):
            raise ValueError(f"{text!r} is not a duration; write for example 90s, 30m, 1h or 7d")
        seconds = float(match["number"]) * _SECONDS[match["unit"].lower()]
    if seconds > LONGEST:
        raise ValueError(f"{text!r} is longer than a century")
    return float(seconds)


def format_duration(seconds: float) -> str:
    """Return ``seconds`` as people read it: ``"0.4 s"``, ``"2 min 5 s"``, ``"3 h 20 min"``."""
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if round(seconds, 1) < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def utc_now() -> datetime.datetime:
    """Return this host's clock, in UTC, with its time zone attached."""
    return datetime.datetime.now(datetime.UTC)
