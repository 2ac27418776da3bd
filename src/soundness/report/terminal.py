"""An audit on a terminal: progress while it runs, then the table and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from soundness.audit import Progress as Told
from soundness.metrics import METRICS
from soundness.records import Comparison, Estimate, Verdict, Word
from soundness.runs.folder import Run

__all__ = ["figure", "live_progress", "print_run", "spread"]

_COLOURS = {Word.SOUND: "green", Word.HOLLOWED: "red", Word.LOST: "red", Word.INSUFFICIENT: "yellow"}
_SCORERS = {"self": "itself", "base": "base", "-": ""}


def figure(value: float | None) -> str:
    """Return a number with three significant digits, or a dash.

    >>> [figure(v) for v in (1234.5, 2.3456, 0.01234, 0.0, None)]
    ['1,234', '2.35', '0.0123', '0', '-']
    """
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if abs(value) >= 1e-4 else f"{value:.0e}"


def spread(estimate: Estimate) -> str:
    """Return an estimate as `value [low, high]`."""
    if estimate.value is None:
        return "-"
    if estimate.low is None:
        return figure(estimate.value)
    return f"{figure(estimate.value)} [{figure(estimate.low)}, {figure(estimate.high)}]"


@contextmanager
def live_progress(console: Console) -> Iterator[Told]:
    """Give a function that shows what is being done, how far it is and how long it will take."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=not console.is_terminal,
    ) as progress:
        tasks: dict[str, Any] = {}

        def told(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield told


def print_run(run: Run, console: Console) -> None:
    """Print the table of every comparison and the verdicts of `run`."""
    for verdict in run.verdicts:
        mine = [c for c in run.comparisons if c.tuned == verdict.tuned]
        console.print(_comparisons(mine))
        _print_missing(mine, console)
        console.print(_panel(verdict))
    rows = run.document.get("estimates", [])
    for writer in dict.fromkeys(row["writer"] for row in rows):
        console.print(_estimates(writer, [row for row in rows if row["writer"] == writer]))
    for name, about in run.document.get("models", {}).items():
        for note in about.get("notes", []):
            console.print(f"note on {name}: {note}", style="yellow")
    console.print(f"kept in {run.path}", style="dim")


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    first = comparisons[0]
    table = Table(title=f"{first.tuned} against {first.base}", title_justify="left", header_style="bold", caption_justify="left")
    for name in ("metric", "read by", "base", "tuned", "tuned - base", "p", "n", "missing"):
        table.add_column(name, justify="left" if name in ("metric", "read by") else "right", no_wrap=name == "metric")
    shown = {name: place for place, name in enumerate(METRICS)}
    for one in sorted(comparisons, key=lambda c: (shown.get(c.metric, 999), c.scorer != "self")):
        difference = one.difference
        if difference.value is None and one.difference.n_missing == 0:
            continue
        clear = difference.low is not None and difference.high is not None and (difference.low > 0 or difference.high < 0)
        table.add_row(
            one.metric if one.scorer != "base" else f"  {one.metric}",
            _SCORERS[one.scorer],
            spread(one.base_estimate),
            spread(one.tuned_estimate),
            Text(spread(difference), style="bold" if clear else ""),
            figure(one.p),
            str(difference.n),
            str(difference.n_missing or ""),
        )
    table.caption = "means over problems with 95 % bootstrap intervals, paired by problem; bold: the interval excludes 0"
    return table


def _print_missing(comparisons: Sequence[Comparison], console: Console) -> None:
    """Say how many problems could not be scored and why, one line per reason and the metrics that it touches."""
    why: dict[tuple[str, int], list[str]] = {}
    for one in comparisons:
        for reason, count in one.missing.items():
            why.setdefault((reason, count), []).append(one.metric)
    if not why:
        return
    console.print("not scored:", style="dim")
    for (reason, count), metrics in sorted(why.items(), key=lambda item: (-item[0][1], item[0][0])):
        names = list(dict.fromkeys(metrics))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        console.print(f"  {count} {'problem' if count == 1 else 'problems'}: {reason} ({shown})", style="dim")


def _panel(verdict: Verdict) -> Panel:
    text = Text(f"{verdict.sentence}\n")
    for title, lines in (("for it", verdict.evidence_for), ("against it", verdict.evidence_against)):
        if lines:
            text.append(f"\n{title}\n", style="bold")
            for line in lines:
                text.append(f"  - {line}\n")
    text.rstrip()
    return Panel(text, title=Text(f"{verdict.tuned}: {verdict.word.value}", style="bold"), border_style=_COLOURS[verdict.word], title_align="left")


def _estimates(writer: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=f"chains of {writer}", title_justify="left", header_style="bold")
    for name in ("metric", "estimate", "unit", "n", "missing", "why"):
        table.add_column(name, justify="right" if name in ("estimate", "n", "missing") else "left")
    for row in rows:
        estimate = Estimate(*(row[name] for name in ("value", "low", "high", "n", "n_missing")))
        why = "; ".join(f"{count} {reason}" for reason, count in row["missing"].items())
        table.add_row(row["metric"], spread(estimate), row["unit"], str(estimate.n), str(estimate.n_missing or ""), why)
    return table
