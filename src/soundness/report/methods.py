"""Training methods and comparisons of them, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from soundness.training.common import Settings
from soundness.training.methods import METHODS, about, load_method, options_of

if TYPE_CHECKING:
    from soundness.studies.matched import Atlas

__all__ = ["print_atlas", "print_method", "print_methods"]


def print_methods(console: Console) -> None:
    """Print what every method is, where it comes from, what it needs and costs, and when to use it."""
    for name in METHODS:
        _print_about(name, console)
    console.print("\ntrain with: soundness train METHOD --model MODEL --task TASK --out FOLDER")
    console.print("its options: soundness methods METHOD")


def print_method(name: str, console: Console) -> None:
    """Print what one method is, its options and the settings that all methods share. Raises SettingError for an unknown name."""
    kind = load_method(name).Config
    _print_about(name, console)
    for title, of in (
        (f"options of {name}: -o NAME=VALUE, or at the top level of --config FILE", kind),
        ("settings of all methods: [settings] in --config FILE, or the command's own options", Settings),
    ):
        table = Table(
            title=escape(title), title_justify="left", title_style="bold", box=None, pad_edge=False, show_header=False
        )
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column()
        for one in options_of(of()):
            kinds = f" One of {one.kind.removeprefix('one of ')}." if one.kind.startswith("one of ") else ""
            table.add_row(escape(one.name), escape(_shown(one.default)), escape(one.says + kinds))
        console.print()
        console.print(table)


def _print_about(name: str, console: Console) -> None:
    found = about(name)
    console.print(f"[bold]{name}[/bold]  {found.title}")
    for label, text in (
        ("paper", "; ".join(found.papers)),
        ("needs", found.needs),
        ("cost", found.cost),
        ("when", found.when),
        *(("differs", one) for one in found.differs),
    ):
        console.print(f"    {label:8}{text}", style="dim" if label == "differs" else None)


def _shown(default: object) -> str:
    """Return a default as it would be written on the command line; nothing where there is none."""
    if default is None or default in ("", {}):
        return "-"
    if isinstance(default, bool):
        return str(default).lower()
    return str(list(default)) if isinstance(default, tuple) else str(default)


def print_atlas(atlas: Atlas, console: Console) -> None:
    """Print one row per trained model at the matched accuracy, and where the page is."""
    table = Table(title=f"accuracy matched near {atlas.target:.2f} (base {atlas.base_accuracy:.2f})", title_justify="left")
    for heading in ("training", "seed", "step", "accuracy", "information gain over swap", "reliance", "verdict"):
        table.add_column(heading)
    for row in atlas.rows:
        table.add_row(
            row.name,
            str(row.seed),
            str(row.step),
            *("-" if value is None else f"{value:.2f}" for value in (row.accuracy, row.information, row.reliance)),
            row.verdict,
        )
    console.print(table)
    for line in atlas.notes:
        console.print(f"note: {line}", style="yellow")
    console.print(f"page: {atlas.page}")
