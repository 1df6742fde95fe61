"""Saying things: tables, colours and bars to people, plain lines to a pipe, JSON to programs."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import click
import rich.box
import rich.console
import rich.measure
import rich.progress
import rich.table
import rich.text

from boot_resources import units

STATES = {
    "available": "green",
    "syncing": "yellow",
    "superseded": "bright_black",
    "withdrawn": "red",
    "critical": "red",
    "warning": "yellow",
    "info": "cyan",
    "serving": "green",
    "right": "green",
    "wrong": "red",
}
"""The colour of each word that says how something is."""

_WIDEST = 1000

as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def console() -> rich.console.Console:
    """Return the console for standard output, as it is now."""
    return rich.console.Console(highlight=False)


def document(value: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()
) -> None:
    """Print a table: drawn on a terminal, tab-separated lines with a header to a pipe.

    Args:
        columns: their titles.
        rows: the cells; a word of ``STATES`` gets its colour.
        right: titles of the columns that are aligned to the right.
    """
    screen = console()
    if not screen.is_terminal:
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    drawn = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False)
    for title in columns:
        drawn.add_column(
            title,
            justify="right" if title in right else "left",
            overflow="fold",
            no_wrap=title in right,
        )
    for row in rows:
        drawn.add_row(*(rich.text.Text(cell, style=STATES.get(cell, "")) for cell in row))
    # What does not fit the screen is wrapped by the terminal: a name that is broken into a column
    # of pieces cannot be copied.
    natural = rich.measure.Measurement.get(
        screen, screen.options.update(max_width=_WIDEST), drawn
    ).maximum
    screen.width = max(screen.width, natural)
    screen.print(drawn)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values, one pair a line, the values aligned."""
    width = max((len(name) for name, _ in pairs), default=0)
    screen = console()
    for name, value in pairs:
        if screen.is_terminal:
            style = STATES.get(value.partition(" ")[0], "")
            line = rich.text.Text.assemble((f"{name:<{width}}  ", "bold"), (value, style))
            screen.print(line, soft_wrap=True)
        else:
            click.echo(f"{name:<{width}}  {value}")


def notices(standing: Sequence[dict[str, str]]) -> None:
    """Print notices, each with its cure and since when it stands."""
    screen = console()
    for each in standing:
        colour = STATES.get(each["severity"], "")
        head = rich.text.Text.assemble(
            (each["severity"], colour), f": {each['text']} (since {each['since']}, {each['unit']})"
        )
        screen.print(head, soft_wrap=True)
        if each["cure"]:
            screen.print(rich.text.Text(f"  cure: {each['cure']}"), soft_wrap=True)


def count(number: int, what: str) -> str:
    """Return a number of things: ``1 object``, ``2 objects``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


class Bar:
    """One progress bar, or a line for every tenth where nobody looks."""

    def __init__(self, title: str, progress: rich.progress.Progress | None) -> None:
        self._title = title
        self._progress = progress
        self._task = progress.add_task(title, total=None) if progress else None
        self._tenth = -1

    def show(self, done: int, total: int, detail: str = "") -> None:
        """Show that ``done`` of ``total`` bytes are done."""
        if self._progress is not None and self._task is not None:
            title = f"{self._title} {detail}".strip()
            self._progress.update(self._task, completed=done, total=total, description=title)
            return
        tenth = 10 * done // total if total else 10
        if tenth > self._tenth and total:
            self._tenth = tenth
            click.echo(f"{self._title} {10 * tenth} % of {units.format_size(total)}", err=True)


class _Speed(rich.progress.ProgressColumn):
    """The rate in the units of all other sizes here."""

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        """Return the rate; a question mark while it is not known."""
        speed = task.finished_speed or task.speed
        return rich.text.Text("?" if speed is None else f"{units.format_size(int(speed))}/s")


@contextlib.contextmanager
def bar(title: str, *, quiet: bool = False) -> Iterator[Bar | None]:
    """Show a progress bar for the length of the block; None where ``quiet``."""
    if quiet:
        yield None
        return
    with progress() as shown:
        yield Bar(title, shown)


@contextlib.contextmanager
def progress() -> Iterator[rich.progress.Progress | None]:
    """Give a set of progress bars for bytes; None where standard error is no terminal."""
    screen = rich.console.Console(stderr=True)
    if not screen.is_terminal:
        yield None
        return
    with rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(binary_units=True),
        _Speed(),
        rich.progress.TimeRemainingColumn(),
        console=screen,
        transient=True,
    ) as shown:
        yield shown
