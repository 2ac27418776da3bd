"""What an audit would cost on this machine, measured on a few problems before hours are spent."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from soundness.auditing import audit
from soundness.metrics.base import MetricGroup
from soundness.metrics.case import Case
from soundness.models.cached import CachedModel
from soundness.models.load import load_model
from soundness.progress import Progress
from soundness.records import Probe
from soundness.scoring.score import group_tokens
from soundness.tasks.base import Task

__all__ = ["Cost", "Part", "estimate_cost"]

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
    """Return what `soundness.auditing` with the same arguments would write and read, and the time this machine needs for it.

    A few problems are audited for real in a folder that is then removed, and scaled up.
    """
    few = replace(task, problems=task.problems[:_WARM_UP])
    loading = {
        name: options[name] for name in ("dtype", "device", "reader", "trust_remote_code", "allow_pickle") if name in options
    }
    models = [
        CachedModel(load_model(spec, **loading), batch_size=options.get("batch_size", 8), count_tokens_read=True)
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
            **options,
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
