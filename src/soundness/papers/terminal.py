"""Reproductions on a terminal: what there is, and what one came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from soundness.papers.base import State
from soundness.papers.catalogue import Result, findings, load_reproduction
from soundness.papers.page import HEAD, bounds, cells, interval, rows, verdict
from soundness.report.terminal import figure

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_list", "print_result"]

_COLOURS = {State.CONFIRMED: "green", State.REFUTED: "red", State.NOT_REACHED: "yellow"}


def print_list(console: Console) -> None:
    """Print every reproduction with the state of its shipped result."""
    table = Table(title="papers, re-run small", title_justify="left")
    for heading in HEAD:
        table.add_column(heading, overflow="fold", ratio={"claim": 4, "parts of the claim": 2}.get(heading))
    for row in rows():
        table.add_row(*(Text(cell) for cell in cells(row)))
    console.print(table)
    console.print("run one with: soundness reproduce NAME --scale tiny|cpu-small|paper", style="dim")


def print_result(result: Result, console: Console) -> None:
    """Print the claim, what became of every expectation, and of the claim as a whole."""
    paper = load_reproduction(result.name).PAPER
    found, state = findings(paper, result)
    console.print(Text(f"{paper.name} ({paper.reference}): {paper.claim}"))
    table = Table(title=f"scale {result.scale}", title_justify="left")
    for heading in ("role", "should come out", "unit", "seeds", "mean [95 %]", "confirmed; refuted", "state"):
        table.add_column(heading, overflow="fold")
    for one in found:
        asked = one.expectation
        table.add_row(
            asked.role,
            Text(asked.says),
            asked.unit,
            ", ".join(figure(value) for value in one.values),
            Text(interval(one)),
            bounds(asked),
            Text(one.state.value, style=_COLOURS[one.state]),
        )
    console.print(table)
    for words in dict.fromkeys(words for seed in result.seeds for words in seed.get("skipped", ())):
        console.print(Text(f"left out: {words}", style="yellow"))
    console.print(Text(verdict(found, state), style=f"bold {_COLOURS[state]}"))
