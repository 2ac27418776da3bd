"""What a matched comparison found, on a page and in a terminal: a table over seeds, accuracy against reasoning, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table as TerminalTable
from rich.text import Text

from soundness.files import write_text
from soundness.report import document
from soundness.report.document import Block, Table
from soundness.statistics.seeds import seed_interval

if TYPE_CHECKING:
    from soundness.studies.matched import MatchedComparison, Row

__all__ = ["blocks", "picture", "print_comparison", "write_page"]

PICTURE = "accuracy against the information gain of the steps, one point per trained model"


def write_page(found: MatchedComparison, folder: Path) -> None:
    """Write the page as matched.html and as matched.md with matched.svg beside it."""
    svg = picture(found)
    write_text(folder / "matched.svg", svg)
    write_text(folder / "matched.md", document.markdown(blocks(found), lambda name: "matched.svg"))
    write_text(folder / "matched.html", document.html("trainings compared", blocks(found), {PICTURE: svg}))


def blocks(found: MatchedComparison) -> Iterator[Block]:
    """Yield the parts of the page, in order."""
    seeds = len({row.seed for row in found.rows})
    yield Block(heading="Trainings compared at matched accuracy")
    trainings = f"{len(_by_training(found.rows))} trainings of {found.model} on {found.task}, {seeds} training seed(s) each"
    yield Block(
        text=f"{trainings}, audited on the same problems. Accuracy is matched near {found.target:.2f}: of every training the kept "
        "checkpoint nearest to it is shown. Mean [95 % interval over seeds, Student's t]."
    )
    yield Block(table=_table("At matched accuracy", found, found.rows, starred=True))
    if not all(row.learned for row in found.rows):
        yield Block(
            text="*: never clearly more accurate than the base in every seed, so not matched; its last checkpoint is shown."
        )
    yield Block(picture=PICTURE)
    yield Block(heading="At the end of training")
    yield Block(text="The same models after their last step. Here accuracies differ, and with them the chains.")
    yield Block(table=_table("At the end of training", found, found.ends))
    if found.notes:
        yield Block(heading="Notes")
        yield Block(points=found.notes)
    if found.sweeps:
        yield Block(heading="Learning rates tried")
        yield Block(
            text="With the accuracy of the best checkpoint of the first seed, on problems neither trained nor audited on."
        )
        rates = list(dict.fromkeys(rate for found in found.sweeps.values() for rate in found))
        rates.sort(key=float)
        rows = tuple((name, *(_tried(found, rate) for rate in rates)) for name, found in found.sweeps.items())
        yield Block(table=Table("Learning rates tried", ("training", *rates), rows))
    yield Block(heading="The audit")
    yield Block(text="Every measure, verdict and chain of these models", link=found.audit)


def _tried(found: Mapping[str, float | None], rate: str) -> str:
    if rate not in found:
        return ""
    value = found[rate]
    return "diverged" if value is None else f"{value:.2f}"


def _table(title: str, found: MatchedComparison, rows: Sequence[Row], *, starred: bool = False) -> Table:
    """Return one line per training; `starred` marks those that could not be matched."""
    head = (
        "training",
        "learning rate",
        "accuracy",
        "information gain over swap, nats",
        "reliance",
        "answers without steps",
        "verdicts",
        "seconds",
    )
    base = (found.base_accuracy, found.base_information, found.base_reliance, found.base_no_steps)
    cells = [("base", "", *map(_number, base), "", "")]
    for name, own in _by_training(rows).items():
        words = Counter(row.verdict for row in own)
        cells.append(
            (
                name + (" *" if starred and not own[0].learned else ""),
                ", ".join(dict.fromkeys("-" if row.learning_rate is None else f"{row.learning_rate:g}" for row in own)),
                _over_seeds([row.accuracy for row in own], fraction=True),
                _over_seeds([row.information for row in own]),
                _over_seeds([row.reliance for row in own], fraction=True),
                _over_seeds([row.no_steps for row in own], fraction=True),
                ", ".join(f"{count} {word}" for word, count in words.most_common()),
                f"{sum(row.seconds for row in own) / len(own):.0f}",
            )
        )
    return Table(title, head, tuple(cells))


def picture(found: MatchedComparison) -> str:
    """Return an SVG: one point per trained model, accuracy against information gain; what wrote no steps is named above it."""
    import altair as alt
    import vl_convert as vl

    base = {"training": "base", "accuracy": found.base_accuracy, "information": found.base_information, "kind": "base"}
    rows = [base] + [
        {"training": row.name, "accuracy": row.accuracy, "information": row.information, "kind": kind}
        for kind, several in (("matched", found.rows), ("last step", found.ends))
        for row in several
    ]
    shown = [row for row in rows if row["accuracy"] is not None and row["information"] is not None]
    names = list(dict.fromkeys(str(row["training"]) for row in shown))
    seeds = len({row.seed for row in found.ends})
    silent = Counter(row.name for row in found.ends if row.information is None)
    bare = [f"{name} ({count} of {seeds} seeds)" for name, count in silent.items()]
    chart = (
        alt.Chart(alt.Data(values=shown))
        .mark_point(filled=True, size=90, opacity=0.85)
        .encode(
            x=alt.X("information:Q", title="information gain of the steps over swapped ones, nats"),
            y=alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False)),
            color=alt.Color("training:N", sort=names, title=None, scale=alt.Scale(scheme="tableau20")),
            shape=alt.Shape("kind:N", title=None, sort=["base", "matched", "last step"]),
        )
        .properties(
            width=460,
            height=280,
            background="white",
            title={
                "text": f"one point per training seed, where accuracy is near {found.target:.2f} and after the last step",
                "subtitle": f"no steps to measure after the last step: {', '.join(bare)}" if bare else "",
                "anchor": "start",
            },
        )
    )
    return str(vl.vegalite_to_svg(chart.to_dict())) + "\n"


def _by_training(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.name, []).append(row)
    return found


def _number(value: float | None) -> str:
    return "no steps" if value is None else f"{value:.2f}"


def _over_seeds(values: Sequence[float | None], *, fraction: bool = False) -> str:
    """Return the mean with its interval, of a fraction within 0..1; where some seeds have no value, how many have."""
    known = [value for value in values if value is not None]
    if not known:
        return "no steps"
    interval = seed_interval(known)
    if interval is not None and fraction:
        interval = max(interval[0], 0.0), min(interval[1], 1.0)
    text = f"{sum(known) / len(known):.2f}" + ("" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]")
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)} seeds)"


def print_comparison(found: MatchedComparison, console: Console) -> None:
    """Print one row per trained model at the matched accuracy, and where the page is."""
    table = TerminalTable(
        title=f"accuracy matched near {found.target:.2f} (base {found.base_accuracy:.2f})", title_justify="left"
    )
    for heading in ("training", "seed", "step", "accuracy", "information gain over swap", "reliance", "verdict"):
        table.add_column(heading)
    for row in found.rows:
        table.add_row(
            Text(row.name),
            str(row.seed),
            str(row.step),
            *("-" if value is None else f"{value:.2f}" for value in (row.accuracy, row.information, row.reliance)),
            row.verdict,
        )
    console.print(table)
    for line in found.notes:
        console.print(f"note: {line}", style="yellow", markup=False)
    console.print(f"page: {found.page}", markup=False)
