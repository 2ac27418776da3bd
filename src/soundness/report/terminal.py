"""An audit on a terminal: progress while it runs, then the table and the verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from soundness.comparison.labels import DECIDING, INFORMATION, RELIANCE
from soundness.metrics import METRICS
from soundness.progress import Progress as Told
from soundness.records import Comparison, Estimate, Verdict, Word
from soundness.runs.folder import Run
from soundness.terminal import visible

__all__ = ["figure", "live_progress", "print_run", "spread"]

_COLOURS = {
    Word.SOUND: "green",
    Word.GREW: "green",
    Word.HOLLOWED: "red",
    Word.LOST: "red",
    Word.LOST_AND_HOLLOWED: "red",
    Word.NOTHING: "yellow",
    Word.SAME: "yellow",
    Word.INSUFFICIENT: "yellow",
    Word.BROKEN: "red",
}
_NOT_APPLICABLE = {"both: not a choice problem"}
_WIDE = 160
_BESIDE = "beside: "
"""How the verdict marks what it tells and does not count."""
_MAIN = {
    *DECIDING,
    *((metric, "self") for metric in ("info_gain", *INFORMATION, *RELIANCE, "ece")),
    *((metric, "-") for metric in ("accuracy", "length_tokens", "length_steps")),
}
"""(metric, reader) of the lines that a reader needs first: what the verdict rests on and what is told beside it."""
_READERS = {"base": "base reads", "tuned": "base's chains"}


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


def spread(estimate: Estimate, gap: str = " ") -> str:
    """Return an estimate as `value [low, high]`, `gap` between the two."""
    if estimate.value is None:
        return "-"
    if estimate.low is None:
        return figure(estimate.value)
    return f"{figure(estimate.value)}{gap}[{figure(estimate.low)}, {figure(estimate.high)}]"


@contextmanager
def live_progress(console: Console) -> Iterator[Told]:
    """Give a function that shows what is being done, how far it is and how long it will take."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
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
                tasks[what] = progress.add_task(visible(what), total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield told


def print_run(run: Run, console: Console, *, every: bool = False) -> None:
    """Print per tuned model the measures that its verdict rests on, or with `every` all that were taken, and the verdict."""
    left_out: set[str] = set()
    for verdict in run.verdicts:
        mine = [c for c in run.comparisons if c.tuned == verdict.tuned and (every or (c.metric, c.reader) in _MAIN)]
        mine = mine or [c for c in run.comparisons if c.tuned == verdict.tuned]  # none of the main ones was asked for
        if mine:  # a broken model has none
            console.print(_comparisons(mine, console.width))
        _print_missing(mine, console)
        console.print(_panel(verdict))
        left_out |= {c.metric for c in run.comparisons if c.tuned == verdict.tuned} - {c.metric for c in mine}
    rows = run.document.get("estimates", [])
    for writer in dict.fromkeys(row["writer"] for row in rows):
        console.print(_estimates(writer, [row for row in rows if row["writer"] == writer]))
    for name, about in run.document.get("models", {}).items():
        for note in about.get("notes", []):
            console.print(_line(f"note on {name}: {note}", "yellow"))
    for change in run.changes():
        console.print(_line(f"note: {change}", "yellow"))
    if left_out:
        measures = "measure is" if len(left_out) == 1 else "measures are"
        console.print(_line(f"{len(left_out)} more {measures} in the run: soundness show {run.path}", "dim"))
    console.print(_line(f"kept in {run.path}", "dim"))


def _line(text: str, style: str = "") -> Text:
    """Return text as it is, harmless on a terminal."""
    return Text(visible(text), style=style)


def _shown(comparison: Comparison) -> bool:
    """Return whether a comparison has its line: what others than the writer read is shown for the verdict's measures alone."""
    return comparison.reader not in _READERS or comparison.metric in ("following", "info_gain", *INFORMATION, *RELIANCE)


def _comparisons(comparisons: Sequence[Comparison], width: int) -> Table:
    first = comparisons[0]
    table = Table(
        title=_line(f"{first.tuned} against {first.base}"), title_justify="left", box=SIMPLE_HEAD, caption_justify="left"
    )
    for name in ("metric", "base", "tuned", "tuned - base", "p adj", "n", "out"):
        table.add_column(name, justify="left" if name == "metric" else "right", no_wrap=True)
    gap = " " if width >= _WIDE else "\n"  # on a narrow terminal the interval stands below its value
    order = {name: place for place, name in enumerate(METRICS)}
    for one in sorted(
        filter(_shown, comparisons), key=lambda c: (order.get(c.metric, len(order)), c.reader in _READERS, c.reader)
    ):
        difference = one.difference
        if difference.value is None and set(one.missing) <= _NOT_APPLICABLE:
            continue
        clear = difference.low is not None and difference.high is not None and (difference.low > 0 or difference.high < 0)
        table.add_row(
            _line(f"  {one.metric} ({_READERS[one.reader]})", "dim") if one.reader in _READERS else _line(one.metric),
            spread(one.base_estimate, gap),
            spread(one.tuned_estimate, gap),
            Text(spread(difference, gap), style="bold" if clear else ""),
            figure(one.p if one.p_adjusted is None else one.p_adjusted),
            str(difference.n),
            str(difference.n_missing or ""),
        )
    table.caption = (
        "means over problems with 95 % bootstrap intervals, paired by problem; out: problems that could not be scored;\n"
        "p adj: permutation test, corrected over all metrics (Benjamini-Hochberg); bold: the interval of the difference\n"
        "excludes 0; (base reads): the base scores both models' chains; (base's chains): both read what the base wrote"
    )
    return table


def _print_missing(comparisons: Sequence[Comparison], console: Console) -> None:
    """Say how many problems could not be scored and why, one line per reason and the metrics that it touches."""
    why: dict[tuple[str, int], list[str]] = {}
    for one in comparisons:
        for reason, count in one.missing.items():
            if reason not in _NOT_APPLICABLE:
                why.setdefault((reason, count), []).append(one.metric)
    if not why:
        return
    console.print("not scored:", style="dim")
    for (reason, count), metrics in sorted(why.items(), key=lambda item: (-item[0][1], item[0][0])):
        names = list(dict.fromkeys(metrics))
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        console.print(_line(f"  {count} {'problem' if count == 1 else 'problems'}: {reason} ({shown})", "dim"))


def _panel(verdict: Verdict) -> Panel:
    text = _line(f"{verdict.sentence}\n")
    beside = [line for line in verdict.evidence_against if line.startswith(_BESIDE)]
    against = [line for line in verdict.evidence_against if line not in beside]
    beside = [line.removeprefix(_BESIDE) for line in beside]
    for title, lines in (("for it", verdict.evidence_for), ("against it", against), ("beside it", beside)):
        if lines:
            text.append(f"\n{title}\n", style="bold")
            for line in lines:
                text.append(visible(f"  - {line}\n"))
    text.rstrip()
    return Panel(
        text,
        title=_line(f"{verdict.tuned}: {verdict.word.value}", "bold"),
        border_style=_COLOURS[verdict.word],
        title_align="left",
    )


def _estimates(writer: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(title=_line(f"chains of {writer}"), title_justify="left", box=SIMPLE_HEAD)
    for name in ("metric", "estimate", "unit", "n", "missing", "why"):
        table.add_column(name, justify="right" if name in ("estimate", "n", "missing") else "left")
    for row in rows:
        estimate = Estimate(*(row[name] for name in ("value", "low", "high", "n", "n_missing")))
        why = "; ".join(f"{count} {reason}" for reason, count in row["missing"].items())
        cells = (row["metric"], spread(estimate), row["unit"], str(estimate.n), str(estimate.n_missing or ""), why)
        table.add_row(*map(_line, cells))
    return table


def duration(seconds: float) -> str:
    """Return seconds as people say them.

    >>> [duration(s) for s in (0.4, 42, 200, 9000)]
    ['under 1 s', '42 s', '3.3 min', '2.5 h']
    """
    if seconds < 1:
        return "under 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
