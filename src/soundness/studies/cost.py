"""What an audit would cost on this machine, measured on a few problems before hours are spent."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from soundness.auditing import audit
from soundness.auditing.setup import sort_options
from soundness.metrics.base import MetricGroup
from soundness.metrics.case import Case
from soundness.models.cached import CachedModel
from soundness.models.load import load_model
from soundness.progress import Progress
from soundness.records import Probe
from soundness.report.terminal import duration
from soundness.scoring.score import group_tokens
from soundness.tasks.base import Task

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Cost", "Part", "estimate_cost", "print_cost"]

_WARM_UP = 4  # problems; a batch of them, as long as it takes to see how long chains become


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of work."""

    name: str
    """What is done."""
    tokens: float
    """Tokens written or read."""
    tokens_per_second: float
    """As measured here."""

    @property
    def seconds(self) -> float:
        """Expected time."""
        return self.tokens / self.tokens_per_second if self.tokens_per_second else 0.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What the whole audit would take."""

    parts: tuple[Part, ...]
    """Writing and reading, per model."""
    num_warm_up: int
    """Problems it was measured on."""
    groups: Mapping[str, float] = field(default_factory=dict)
    """Group of metrics -> tokens that its probes alone would take to read, all readers together; prefixes that groups share count
    in each, and are read once."""

    @property
    def seconds(self) -> float:
        """Expected time, loading excluded."""
        return sum(part.seconds for part in self.parts)


def estimate_cost(base: str, tuned: Sequence[str], task: Task, *, on_progress: Progress | None = None, **options: Any) -> Cost:
    """Return what an audit with the same arguments would write and read, and the time this machine needs for it.

    A few problems are audited for real in a folder that is then removed, and scaled up.
    """
    few = replace(task, problems=task.problems[:_WARM_UP])
    groups = sort_options(
        {name: value for name, value in options.items() if name not in ("sampling", "measuring", "loading", "vary")},
        sampling=options.get("sampling"),
        measuring=options.get("measuring"),
        loading=options.get("loading"),
    )
    # The noise floor at temperature 0 is a fixed number of problems, which must not be scaled up with the others.
    measuring = replace(groups.measuring, noise_floor=groups.measuring.noise_floor and bool(groups.sampling.temperature))
    models = [
        CachedModel(load_model(spec, groups.loading), batch_size=groups.sampling.batch_size, count_tokens_read=True)
        for spec in (base, *tuned)
    ]
    for model in models:  # the first pass of a process pays for memory and kernels
        model.model.read([Probe(model.render("warm up").ids, tuple(model.encode(" now")))])
    read: dict[str, float] = {}

    def count(reader: str, cases: Sequence[Case], groups: Sequence[MetricGroup]) -> None:
        for name, tokens in group_tokens(cases, groups).items():
            read[name] = read.get(name, 0.0) + tokens

    with tempfile.TemporaryDirectory() as folder:
        audit(
            models[0],
            list(models[1:]),
            few,
            out=Path(folder) / "warm-up",
            on_progress=on_progress,
            on_scored=count,
            sampling=groups.sampling,
            measuring=measuring,
            loading=groups.loading,
            vary=options.get("vary"),
        )
    scale = len(task.problems) / len(few.problems)
    parts = []
    for model in models:
        work = model.work
        if work.tokens_written:
            parts.append(Part(f"{model.name} writes", work.tokens_written * scale, work.tokens_written / work.seconds_writing))
        if work.tokens_read:
            parts.append(Part(f"{model.name} reads", work.tokens_read * scale, work.tokens_read / work.seconds_reading))
    return Cost(tuple(parts), len(few.problems), {name: tokens * scale for name, tokens in read.items()})


def print_cost(cost: Cost, console: Console) -> None:
    """Print what an audit would write and read, and how long that would take here."""
    table = Table(title="what this audit costs here", title_justify="left", box=SIMPLE_HEAD)
    for name in ("part", "tokens", "tokens/s", "time"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for part in cost.parts:
        table.add_row(part.name, f"{part.tokens:,.0f}", f"{part.tokens_per_second:,.0f}", duration(part.seconds))
    table.add_row("in all", "", "", duration(cost.seconds), style="bold")
    console.print(table)
    if cost.groups:
        share = Table(title="what each group of metrics reads by itself", title_justify="left", box=SIMPLE_HEAD)
        for name in ("group", "tokens"):
            share.add_column(name, justify="left" if name == "group" else "right")
        for group, tokens in sorted(cost.groups.items(), key=lambda item: -item[1]):
            share.add_row(group, f"{tokens:,.0f}")
        console.print(share)
        console.print("tokens that groups share, prompts and chains above all, are read once", style="dim")
    console.print(
        f"from a warm-up on {cost.num_warm_up} problems; longer chains cost more, an early end of a chain less", style="dim"
    )
