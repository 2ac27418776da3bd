"""Documentation made from the code: `python -m soundness.documentation [FOLDER]` writes metrics.md, validation.md and papers/."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from soundness.errors import MetricError, near
from soundness.files import read_json, write_text
from soundness.metrics import GROUPS, METRICS
from soundness.metrics.base import Metric, MetricGroup, Reader

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["metrics_markdown", "print_metrics", "write_docs"]

_READERS = {
    Reader.SELF: "the model that wrote the chain",
    Reader.BASE: "the base, as one yardstick for both models",
    Reader.TUNED: "each tuned model, the base's chains",
    Reader.NOBODY: "nobody",
}

_INTRO = """# Metrics

*Made from the code by `python -m soundness.documentation docs`; change the descriptions there.*

Every metric is a number per chain, averaged within a problem where there are several samples, and compared between base and tuned
model problem by problem. What cannot be computed is missing with a reason and counted, never 0. The same table on a terminal:
`soundness metrics`, one metric with `soundness metrics NAME`.

How a comparison is made: the difference tuned - base is averaged over the problems that both models can be scored on. Its 95 %
interval is a bootstrap over problems (bias-corrected and accelerated, widened for few problems), its p comes from all or 9,999 sign
flips of the differences (for right against wrong that is McNemar's exact test), corrected over all metrics of one tuned model
(Benjamini-Hochberg). The *noise floor* is the base against itself. With several samples a problem it compares the odd ones with the
even ones, which costs nothing; with one sample above temperature 0 the base samples every problem once more with another seed (one
more model's writing and reading); at temperature 0 at most 24 of the base's chains are asked and read again in batches of another
shape, so that what is left is the noise of the arithmetic. A fall enters the verdict where its interval excludes 0, it
outlasts the correction, it is large enough to matter and it exceeds the floor's interval. Leave the floor out with
`--no-noise-floor`.

All of these metrics watch what the answer does when the written steps change. None of them sees what happens inside the model.
"""


def metrics_markdown() -> str:
    """Return the explanation of every metric, group by group, as Markdown."""
    parts = [_INTRO]
    for group in GROUPS.values():
        about = " ".join((type(group).__doc__ or "").split("\n\n")[0].split())
        read_by = "; ".join(_READERS[reader] for reader in group.readers)
        parts.append(f"## {group.name}\n\n{about}\n\nRead by: {read_by}. Cost per chain: {group.cost}.\n")
        parts.append(
            "| metric | unit | bounds | better | higher means | measures | does not tell | source |\n" + "|---" * 8 + "|"
        )
        parts[-1] += "".join("\n" + _row(metric) for metric in group.every_metric) + "\n"
    return "\n".join(parts)


def _row(metric: Metric) -> str:
    cells = (
        f"`{metric.name}`",
        metric.unit,
        _bounds(metric),
        metric.direction,
        metric.higher_means,
        metric.description,
        metric.limitations,
        metric.source,
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _bounds(metric: Metric) -> str:
    """Return the ends of a metric's range.

    >>> _bounds(METRICS["accuracy"]), _bounds(METRICS["info_gain"]), _bounds(METRICS["length_tokens"])
    ('0..1', '', '0 or more')
    """
    low, high = metric.bounds
    if low is None or high is None:
        return "" if low == high else f"{low:g} or more" if low is not None else f"at most {high:g}"
    return f"{low:g}..{high:g}"


def print_metrics(name: str | None, console: Console) -> None:
    """Print what every metric is, or all about one metric or group; raises MetricError for an unknown name."""
    from rich.table import Table
    from rich.text import Text

    owner = {metric.name: group for group in GROUPS.values() for metric in group.every_metric}
    if name is not None and name not in GROUPS and name not in METRICS:
        known = [*GROUPS, *METRICS]
        raise MetricError(f"unknown metric {name!r}{near(name, known)}; soundness metrics lists all")
    if name in METRICS:
        _print_one(METRICS[name], owner[name], console)
        return
    groups = [GROUPS[name]] if name is not None else list(GROUPS.values())
    for group in groups:
        table = Table(title=f"{group.name}: {group.cost}", title_justify="left", expand=True)
        for column, ratio in (
            ("metric", 4),
            ("unit", 2),
            ("higher means", 3),
            ("measures", 6),
            ("does not tell", 5),
            ("source", 3),
        ):
            table.add_column(column, ratio=ratio, overflow="fold")
        for metric in group.every_metric:
            cells = (metric.name, metric.unit, metric.higher_means, metric.description, metric.limitations, metric.source)
            table.add_row(*(Text(cell) for cell in cells))
        console.print(table)


def _print_one(metric: Metric, group: MetricGroup, console: Console) -> None:
    lines = {
        "metric": metric.name,
        "group": f"{group.name} ({', '.join(one.name for one in group.every_metric)})",
        "unit": metric.unit,
        "better": metric.direction,
        "bounds": _bounds(metric),
        "higher means": metric.higher_means,
        "measures": metric.description,
        "does not tell": metric.limitations,
        "read by": "; ".join(_READERS[reader] for reader in group.readers),
        "cost": group.cost,
        "source": metric.source,
    }
    for title, text in lines.items():
        console.print(f"{title:13} {text}", markup=False)


def write_docs(folder: Path) -> None:
    """Write metrics.md, papers/ and, where validation.json stands in `folder`/validation, validation.md."""
    from soundness.papers.page import write_docs as write_papers
    from soundness.report.validation import validation_page

    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "metrics.md", metrics_markdown())
    found = folder / "validation" / "validation.json"
    if found.is_file():
        page = validation_page(read_json(found), pictures="validation")
        write_text(folder / "validation.md", page)
    write_papers(folder / "papers")


if __name__ == "__main__":
    write_docs(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
