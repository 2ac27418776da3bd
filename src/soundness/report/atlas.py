"""What a comparison of trainings found, on one page: a table over seeds, a picture of accuracy against reasoning, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundness.files import write_text
from soundness.report import document
from soundness.report.document import Block, Table
from soundness.statistics.seeds import seed_interval

if TYPE_CHECKING:
    from soundness.studies.matched import Atlas, Row

__all__ = ["blocks", "picture", "write_atlas"]

PICTURE = "accuracy against the information gain of the steps, one point per trained model"


def write_atlas(atlas: Atlas, folder: Path) -> None:
    """Write the page as atlas.html and as atlas.md with atlas.svg beside it."""
    svg = picture(atlas)
    write_text(folder / "atlas.svg", svg)
    write_text(folder / "atlas.md", document.markdown(blocks(atlas), lambda name: "atlas.svg"))
    write_text(folder / "atlas.html", document.html("trainings compared", blocks(atlas), {PICTURE: svg}))


def blocks(atlas: Atlas) -> Iterator[Block]:
    """Yield the parts of the page, in order."""
    seeds = len({row.seed for row in atlas.rows})
    yield Block(heading="Trainings compared at matched accuracy")
    trainings = f"{len(_by_training(atlas.rows))} trainings of {atlas.model} on {atlas.task}, {seeds} training seed(s) each"
    yield Block(
        text=f"{trainings}, audited on the same problems. Accuracy is matched near {atlas.target:.2f}: of every training the kept "
        "copy nearest to it is shown. Mean [95 % interval over seeds, Student's t]."
    )
    yield Block(table=_table("At matched accuracy", atlas, atlas.rows, starred=True))
    if not all(row.learned for row in atlas.rows):
        yield Block(text="*: never clearly more accurate than the base in every seed, so not matched; its last copy is shown.")
    yield Block(picture=PICTURE)
    yield Block(heading="At the end of training")
    yield Block(text="The same models after their last step. Here accuracies differ, and with them the chains.")
    yield Block(table=_table("At the end of training", atlas, atlas.ends))
    if atlas.notes:
        yield Block(heading="Notes")
        yield Block(points=atlas.notes)
    if atlas.sweeps:
        yield Block(heading="Learning rates tried")
        yield Block(text="With the accuracy of the best copy of the first seed, on problems neither trained nor audited on.")
        rates = list(dict.fromkeys(rate for found in atlas.sweeps.values() for rate in found))
        rates.sort(key=float)
        rows = tuple((name, *(_tried(found, rate) for rate in rates)) for name, found in atlas.sweeps.items())
        yield Block(table=Table("Learning rates tried", ("training", *rates), rows))
    yield Block(heading="The audit")
    yield Block(text="Every measure, verdict and chain of these models", link=atlas.audit)


def _tried(found: Mapping[str, float | None], rate: str) -> str:
    if rate not in found:
        return ""
    value = found[rate]
    return "diverged" if value is None else f"{value:.2f}"


def _table(title: str, atlas: Atlas, rows: Sequence[Row], *, starred: bool = False) -> Table:
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
    base = (atlas.base_accuracy, atlas.base_information, atlas.base_reliance, atlas.base_no_steps)
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


def picture(atlas: Atlas) -> str:
    """Return an SVG: one point per trained model, accuracy against information gain; what wrote no steps is named above it."""
    import altair as alt
    import vl_convert as vl

    base = {"training": "base", "accuracy": atlas.base_accuracy, "information": atlas.base_information, "kind": "base"}
    rows = [base] + [
        {"training": row.name, "accuracy": row.accuracy, "information": row.information, "kind": kind}
        for kind, several in (("matched", atlas.rows), ("last step", atlas.ends))
        for row in several
    ]
    shown = [row for row in rows if row["accuracy"] is not None and row["information"] is not None]
    names = list(dict.fromkeys(str(row["training"]) for row in shown))
    seeds = len({row.seed for row in atlas.ends})
    silent = Counter(row.name for row in atlas.ends if row.information is None)
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
                "text": f"one point per training seed, where accuracy is near {atlas.target:.2f} and after the last step",
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
