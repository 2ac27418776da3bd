"""Training methods and comparisons of them, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from soundness.training.methods import METHODS, about

if TYPE_CHECKING:
    from soundness.atlas import Atlas

__all__ = ["print_atlas", "print_methods"]


def print_methods(console: Console) -> None:
    """Print what every method is, where it comes from, what it needs and costs, and when to use it."""
    for name in METHODS:
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
    console.print("\ntrain with: soundness train METHOD --model MODEL --task TASK --out FOLDER")


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
