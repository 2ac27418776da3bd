"""What a comparison of trainings found, as a table over seeds and a picture of accuracy against reasoning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from soundness.statistics.seeds import seed_interval

if TYPE_CHECKING:
    from soundness.atlas import Atlas, Row

__all__ = ["atlas_markdown", "write_picture"]


def atlas_markdown(atlas: Atlas) -> str:
    """Return one row per training: means over its seeds with 95 % intervals (Student's t), and every seed's verdict."""
    head = (
        "training",
        "accuracy",
        "information gain over swap, nats",
        "reliance",
        "answers without steps",
        "verdicts",
        "seconds",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    base = ("base", _number(atlas.base_accuracy), _number(atlas.base_information), _number(atlas.base_reliance), "", "", "")
    lines.append("| " + " | ".join(base) + " |")
    for name, rows in _by_training(atlas).items():
        words = Counter(row.verdict for row in rows)
        cells = (
            f"`{name}`" + ("" if rows[0].learned else " *"),
            _over_seeds([row.accuracy for row in rows]),
            _over_seeds([row.information for row in rows]),
            _over_seeds([row.reliance for row in rows]),
            _over_seeds([row.no_steps for row in rows]),
            ", ".join(f"{count} {word}" for word, count in words.most_common()),
            f"{sum(row.seconds for row in rows) / len(rows):.0f}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    seeds = len({row.seed for row in atlas.rows})
    lines += ["", f"Accuracy matched near {atlas.target:.2f}; {seeds} training seed(s), mean [95 % interval over seeds]."]
    if not all(row.learned for row in atlas.rows):
        lines.append("`*`: never clearly more accurate than the base, so not matched; its last copy is shown.")
    return "\n".join(lines) + "\n"


def write_picture(atlas: Atlas, path: Path) -> None:
    """Write an SVG: one point per trained model, accuracy against information gain; what wrote no steps is named above it."""
    import altair as alt
    import vl_convert as vl

    base = {"training": "base", "accuracy": atlas.base_accuracy, "information": atlas.base_information, "kind": "base"}
    rows = [base] + [
        {"training": row.name, "accuracy": row.accuracy, "information": row.information, "kind": "trained"}
        for row in atlas.rows
    ]
    shown = [row for row in rows if row["accuracy"] is not None and row["information"] is not None]
    names = list(dict.fromkeys(str(row["training"]) for row in shown))
    bare = sorted({row.name for row in atlas.rows if row.information is None})
    chart = (
        alt.Chart(alt.Data(values=shown))
        .mark_point(filled=True, size=90, opacity=0.85)
        .encode(
            x=alt.X("information:Q", title="information gain of the steps over swapped ones, nats"),
            y=alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False)),
            color=alt.Color("training:N", sort=names, title=None),
            shape=alt.Shape("kind:N", title=None),
        )
        .properties(
            width=460,
            height=280,
            background="white",
            title={
                "text": f"one point per training seed, accuracy matched near {atlas.target:.2f}",
                "subtitle": f"no steps to measure: {', '.join(bare)}" if bare else "",
                "anchor": "start",
            },
        )
    )
    path.write_text(vl.vegalite_to_svg(chart.to_dict()) + "\n", encoding="utf-8")


def _by_training(atlas: Atlas) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in atlas.rows:
        found.setdefault(row.name, []).append(row)
    return found


def _number(value: float | None) -> str:
    return "no steps" if value is None else f"{value:.2f}"


def _over_seeds(values: Sequence[float | None]) -> str:
    """Return the mean with its interval; where some seeds have no value, how many have."""
    known = [value for value in values if value is not None]
    if not known:
        return "no steps"
    interval = seed_interval(known)
    text = f"{sum(known) / len(known):.2f}" + ("" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]")
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)} seeds)"
