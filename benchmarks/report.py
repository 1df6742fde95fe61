"""Figures: tables to people, JSON to programs, and what they were measured on."""

import json
import os
import pathlib
import platform
from collections.abc import Mapping

from boot_resources.cli import output

Rows = list[dict[str, object]]
"""Cells by column; all rows of a table have the same columns."""


def machine() -> str:
    """Return what this host is."""
    return f"{os.cpu_count()} CPUs, {platform.platform()}"


def show(name: str, rows: Rows) -> None:
    """Print a table."""
    columns = list(rows[0])
    print(f"\n{name}")
    output.table(columns, [[str(row[column]) for column in columns] for row in rows])


def write(path: pathlib.Path, figures: Mapping[str, object]) -> None:
    """Write all figures to a file."""
    path.write_text(json.dumps(figures, indent=2) + "\n")
