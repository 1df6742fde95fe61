"""What a source gave, as a message may hold it: short, and on one line. Pure.

Messages go to logs, terminals and a database. A source decides how long its names, its headers and
its addresses are, and which characters they have; none of that may fill a disk or move a cursor.
"""


def shown(text: str, limit: int = 200) -> str:
    """Return ``text``, at most ``limit`` characters of it; those that do not print are escaped."""
    short = text if len(text) <= limit else f"{text[:limit]}..."
    return short if short.isprintable() else ascii(short)[1:-1]
