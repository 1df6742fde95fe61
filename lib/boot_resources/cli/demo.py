"""``boot-resources demo``: all of it on this machine, with every byte counted."""

import contextlib
import dataclasses
import json
import pathlib
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click
import rich.progress

from boot_resources import errors, units
from boot_resources.cli import output

if TYPE_CHECKING:
    from boot_resources.demo import site


class _Size(click.ParamType[int]):
    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        try:
            return units.parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Choice(click.ParamType[tuple[str, str, str]]):
    name = "os/release/arch"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str, str]:
        parts = str(value).split("/")
        if not 1 <= len(parts) <= 3 or not all(parts):
            self.fail(f"{value!r} is not OS, OS/RELEASE or OS/RELEASE/ARCH", param, ctx)
        os, release, arch = (*parts, "*", "*")[:3]
        return os, release, arch


@click.command("demo")
@click.option(
    "--report",
    "report_file",
    type=click.Path(dir_okay=False, path_type=pathlib.Path),
    help="Write what was measured to this file, as JSON.",
)
@click.option(
    "--machines",
    type=click.IntRange(1, 500),
    default=20,
    show_default=True,
    help="How many machines boot at once.",
)
@click.option(
    "--size", type=_Size(), default="200M", show_default=True, help="Size of the generated source."
)
@click.option("--source", help="URL of a real source to use instead of a generated one.")
@click.option(
    "--keyring",
    type=click.Path(exists=True, dir_okay=False, path_type=pathlib.Path),
    help="File of the GPG keys that sign the real source.",
)
@click.option(
    "--select",
    "selections",
    type=_Choice(),
    multiple=True,
    help="What to take from the source, for example ubuntu/noble/amd64; repeat for more.",
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=pathlib.Path),
    help="Where to put everything; it is kept.  [default: a temporary one]",
)
@click.option("--keep", is_flag=True, help="Leave it running, and say what to try next.")
@output.as_json
@click.pass_context
def command(
    ctx: click.Context,
    report_file: pathlib.Path | None,
    machines: int,
    size: int,
    source: str | None,
    keyring: pathlib.Path | None,
    selections: tuple[tuple[str, str, str], ...],
    directory: pathlib.Path | None,
    keep: bool,
    as_json: bool,
) -> None:
    """Start a boot source, a region and a rack here, and let machines boot through them.

    Everything listens on loopback. Bytes are counted at the source and at the machines, hashes are
    taken at the machines; the product's own ledger has to say the same, or the status is 4.
    """
    from boot_resources.demo import play

    _check(source, keyring, selections)
    if keep and as_json:
        raise click.UsageError("--keep talks to people; it does not go with --json")
    with contextlib.ExitStack() as stack:
        stack.enter_context(_ending_cleanly())
        if report_file is not None:
            _make_place_for(report_file)
        if directory is None:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="boot-resources-"))
            directory = pathlib.Path(place)
        plan = play.Plan(
            directory.resolve(),
            machines,
            size,
            source=source,
            keyring=keyring.resolve() if keyring else None,
            selections=selections or (("*", "*", "*"),),
        )
        audience = stack.enter_context(_audience(quiet=as_json))
        played = stack.enter_context(play.play(plan, audience))
        audience.end()
        values = dataclasses.asdict(played.report)
        if report_file is not None:
            report_file.write_text(json.dumps(values, indent=2) + "\n")
        if as_json:
            output.document(values)
        else:
            output.facts(played.report.rows())
        for line in (*played.wrong[:10], *played.report.disagreements):
            click.secho(line, fg="red", err=True)
        if keep:
            _wait(played.site)
        ctx.exit(errors.EXIT_OK if played.report.right else errors.EXIT_DAMAGED)


def _check(
    source: str | None,
    keyring: pathlib.Path | None,
    selections: tuple[tuple[str, str, str], ...],
) -> None:
    if source is None and keyring is not None:
        raise click.UsageError("--keyring goes with --source")
    if source is not None and keyring is None:
        raise click.UsageError("--source needs the --keyring that signs it")
    if source is not None and not selections:
        raise click.UsageError(
            "--source needs at least one --select, for example --select ubuntu/noble/amd64"
        )


@contextlib.contextmanager
def _ending_cleanly() -> Iterator[None]:
    """End at SIGTERM as at Ctrl-C, so that no controller is left behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _make_place_for(path: pathlib.Path) -> None:
    """Make sure, before anything is measured, that the report can be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise errors.SettingsError(
            f"cannot write the report {path}: {error.strerror}", "choose another place"
        ) from None


class _Audience:
    """Shows scenes and bars on a terminal, lines to a pipe, nothing where ``quiet``."""

    def __init__(self, bars: rich.progress.Progress | None, *, quiet: bool) -> None:
        self._bars = bars
        self._quiet = quiet
        self._tasks: dict[str, rich.progress.TaskID] = {}

    def scene(self, text: str) -> None:
        """Say what happens next."""
        if self._bars is not None:
            self._bars.console.print(f"[bold]{text}[/bold]")
        elif not self._quiet:
            click.echo(text)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far it is."""
        if self._bars is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total)
            self._bars.update(self._tasks[what], completed=done)

    def end(self) -> None:
        """Take the bars away."""
        if self._bars is not None:
            self._bars.stop()


@contextlib.contextmanager
def _audience(*, quiet: bool) -> Iterator[_Audience]:
    if quiet:
        yield _Audience(None, quiet=True)
        return
    with output.progress() as bars:
        yield _Audience(bars, quiet=False)


def _wait(cloud: "site.Site") -> None:
    command = f"{sys.executable} -m boot_resources"
    region, rack = cloud.settings("region"), cloud.settings("rack")
    click.echo(
        f"""
It runs until Ctrl-C. In another terminal, try:

  {command} status --settings {region}
  {command} images list --settings {region}
  {command} verify --settings {region}
  {command} cache status --settings {rack}
  curl -sI {cloud.rack_url}/images/ubuntu/amd64/ga-24.04/noble/stable/boot-kernel
  curl -s {cloud.rack_metrics}
"""
    )
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    click.echo("stopping")
