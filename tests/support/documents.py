"""The repository's documents, taken apart as far as tests hold them against the code."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
ALL = (
    "README.md",
    "CHANGELOG.md",
    *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))),
)
"""Every document that tells users something, by its path below ``ROOT``."""

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name: str) -> str:
    """Return the text of a document, for example ``docs/commands.md``."""
    return (ROOT / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks in that language."""
    return [body for found, body in _FENCE.findall(text) if found == language]


def sections(text: str, level: int) -> dict[str, str]:
    """Return what stands under each heading of ``level``, up to the next heading as high."""
    prose = _FENCE.sub(lambda fence: fence[0].replace("#", "\0"), text)
    parts = re.split(rf"^(#{{1,{level}}}) (.+)$", prose, flags=re.MULTILINE)
    marks, titles, bodies = parts[1::3], parts[2::3], parts[3::3]
    found = zip(marks, titles, bodies, strict=True)
    return {title: body.replace("\0", "#") for mark, title, body in found if len(mark) == level}


def rows(text: str) -> list[list[str]]:
    """Return the cells of every row of every table, headers and rules left out."""
    lines = text.splitlines()
    found = []
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if line.startswith("|") and not _is_rule(line) and not _is_rule(below):
            found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def _is_rule(line: str) -> bool:
    return line.startswith("|") and not line.strip("|- ")


def code(cell: str) -> str:
    """Return what stands between the backticks of a cell that is code and nothing else."""
    return cell[1:-1] if cell.startswith("`") and cell.endswith("`") else ""
