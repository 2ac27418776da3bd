"""What several commands share: options with one wording, the console, and progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from soundness.errors import SettingError
from soundness.progress import silent
from soundness.terminal import console as terminal_console

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Columns", "Limit", "Out", "Quiet", "Seed", "columns_of", "group", "make_console", "progress"]

Out = Annotated[Path, typer.Option(help="Run folder; an existing one with the same settings is resumed.")]
Limit = Annotated[int | None, typer.Option(help="Use the first LIMIT problems; synthetic tasks make as many.", min=1)]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
Columns = Annotated[list[str] | None, typer.Option("--column", help="Column of the file, as question=problem; repeatable.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]


def group(help: str | None = None) -> typer.Typer:
    """Return a group of commands that shows plain help."""
    return typer.Typer(help=help, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def columns_of(pairs: list[str] | None) -> dict[str, str] | None:
    """Return `question=problem` pairs as a column map."""
    columns = {}
    for pair in pairs or []:
        field, equals, column = pair.partition("=")
        if not equals or not field or not column:
            raise SettingError(f"--column wants FIELD=COLUMN such as question=problem, and got {pair!r}")
        columns[field] = column
    return columns or None


def make_console() -> Console:
    """Return the console that results are printed on."""
    console = terminal_console()
    # A file or a pipe has no width of its own; the table needs this much to stand on one line a metric.
    return console if console.is_terminal else terminal_console(width=max(console.width, 160))


def progress(console: Console, quiet: bool) -> Any:
    """Return a context that gives the function to tell progress to."""
    from contextlib import nullcontext

    if quiet:
        return nullcontext(silent)
    from soundness.report.terminal import live_progress

    return live_progress(console)
