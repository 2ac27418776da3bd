"""What a model does on a few problems at one moment of its training: the audit's measures, under the audit's names."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from soundness.chains.sample import sample_chains
from soundness.comparison.compare import estimate_corpus
from soundness.metrics import GROUPS, METRICS
from soundness.metrics.base import MetricGroup, Reader
from soundness.metrics.choosing import choose
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.records import Estimate
from soundness.scoring.score import Sampling, score_chains
from soundness.statistics.paired import NO_BOUNDS, Bounds, by_problem, compare, estimate
from soundness.tasks.base import Task

__all__ = [
    "ALWAYS",
    "NO_STEPS",
    "Loss",
    "Snapshot",
    "affordable",
    "first_problems",
    "logged_metrics",
    "loss_of",
    "take_snapshot",
]

NO_STEPS = "no_steps"
"""The metric that says how many answers come without steps: where they all do, nothing about steps can be measured."""

ALWAYS = tuple(
    name for name in ("accuracy", "accuracy_answered", "solved", "cut_off", NO_STEPS, "length_tokens") if name in METRICS
)
"""Metrics that every snapshot logs: they cost nothing beyond the chains, and no other number can be read without them."""

_ALPHA = 0.05
"""Level at which a difference without an interval counts as one."""

MATERIAL_SHARE = 0.10
"""Smallest loss that counts of a measure without bounds (nats), as a share of the base's value. A tenth: a smaller one may be
real, but nobody would stop a training for it."""

MATERIAL_FRACTION = 0.05
"""Smallest loss that counts of a measure that is a share of the problems: one problem in twenty."""

MOSTLY = 0.5
"""Share of answers without steps above which they are the rule."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a model did on the monitored problems."""

    step: int
    """Optimiser steps done."""
    values: Mapping[str, Mapping[str, float | None]]
    """Metric -> problem id -> value, None where it could not be scored."""
    estimates: Mapping[str, Estimate]
    """Logged metric -> mean over the problems (or number over all of them) with its 95 % interval."""
    num_problems: int
    """Problems asked."""
    seconds: float
    """How long it took."""

    def known(self, metric: str) -> dict[str, float]:
        """Return the values that there are, by problem id."""
        return {key: value for key, value in self.values.get(metric, {}).items() if value is not None}

    def value(self, metric: str) -> float | None:
        """Return a logged metric's value over all problems, or None where it has none."""
        found = self.estimates.get(metric)
        return None if found is None else found.value

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Snapshot:
        """Return the snapshot that `as_json` gave."""
        return cls(**{**row, "estimates": {name: Estimate(**one) for name, one in row["estimates"].items()}})


def logged_metrics(metrics: Sequence[str | MetricGroup]) -> tuple[str, ...]:
    """Return the names of what is logged where `metrics` are asked for: those named, all of a named group, and `ALWAYS`.

    Raises MetricError for an unknown name.
    """
    own = {group.name: group for group in choose(metrics) if GROUPS.get(group.name) is not group}
    names = list(ALWAYS)
    for entry in metrics:
        if isinstance(entry, str) and entry in METRICS:
            names.append(entry)
        elif isinstance(entry, str) and entry in GROUPS:
            names += [metric.name for metric in GROUPS[entry].every_metric]
    names += [metric.name for group in own.values() for metric in group.every_metric]
    return tuple(dict.fromkeys(names))


def take_snapshot(
    model: Model,
    problems: Task,
    metrics: Sequence[str | MetricGroup],
    *,
    sampling: Sampling,
    batch_size: int = 16,
    step: int = 0,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> Snapshot:
    """Return what `model` does on `problems`: one chain each, read by itself. Raises MetricError for an unknown metric."""
    begun = time.perf_counter()
    told = on_progress or (lambda what, done, total: None)
    groups, logged = choose(metrics), logged_metrics(metrics)
    reader = CachedModel(model, batch_size=batch_size)
    chains = sample_chains(
        reader,
        problems,
        seed=sampling.seed,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        splitter=sampling.splitter,
        on_progress=lambda done, total: told("sampling", done, total),
    )
    scores = score_chains(chains, problems, groups, reader, reader="self", sampling=sampling, on_progress=told).scores
    values: dict[str, dict[str, float | None]] = {}
    for name in dict.fromkeys(score.metric for score in scores):
        values[name] = by_problem(score for score in scores if score.metric == name)[0]
    estimates = {
        name: estimate(values[name], seed=sampling.seed, bounds=_bounds(name, groups)) for name in logged if name in values
    }
    for corpus in [corpus for group in groups for corpus in group.corpus if corpus.metric.name in logged]:
        found, _ = estimate_corpus(scores, corpus, chains[0].model, Reader.SELF, seed=sampling.seed)
        estimates[corpus.metric.name] = found
    kept = {name: values[name] for name in logged if name in values}
    return Snapshot(step, kept, estimates, len(problems.problems), time.perf_counter() - begun)


def _bounds(name: str, groups: Sequence[MetricGroup]) -> Bounds:
    """Return the bounds that a metric declares."""
    return next((metric.bounds for group in groups for metric in group.every_metric if metric.name == name), NO_BOUNDS)


@dataclass(frozen=True, slots=True)
class Loss:
    """A measure that is worse than the base's, beyond the interval of the paired difference, and materially."""

    metric: str
    base: float
    """Over the problems that both have a value for."""
    now: float
    """Over the same problems."""


def loss_of(metric: str, base: Snapshot, now: Snapshot, *, seed: int) -> Loss | None:
    """Return how far `metric` got worse than the base's, or None where it did not, or where that cannot be told.

    Answers without steps count where they became the rule and were not in the base, intervals included: some more are no loss.
    """
    if metric == NO_STEPS:
        before, after = base.estimates.get(metric), now.estimates.get(metric)
        if before is None or after is None or before.value is None or after.value is None:
            return None
        silent = before.high is not None and after.low is not None and before.high < MOSTLY < after.low
        return Loss(metric, before.value, after.value) if silent else None
    old, new = base.values.get(metric, {}), now.values.get(metric, {})
    common = [problem for problem in new if problem in old]
    paired = compare(
        {problem: old[problem] for problem in common},
        {problem: new[problem] for problem in common},
        seed=seed,
        bounds=NO_BOUNDS if metric not in METRICS else METRICS[metric].bounds,
    )
    change = paired.difference
    if change.value is None or paired.p is None:
        return None
    assert paired.base.value is not None and paired.tuned.value is not None
    declared = METRICS.get(metric)
    bounded = declared is not None and None not in declared.bounds
    material = MATERIAL_FRACTION if bounded else MATERIAL_SHARE * abs(paired.base.value)
    down = declared is not None and declared.direction == "down"
    worse = change.value > 0 if down else change.value < 0
    if change.low is not None and change.high is not None:
        worse = change.low > 0 if down else change.high < 0
    elif paired.p >= _ALPHA:  # all differ alike, which leaves no spread for an interval: the exchange test tells
        worse = False
    return Loss(metric, paired.base.value, paired.tuned.value) if worse and abs(change.value) >= material else None


def first_problems(task: Task, count: int) -> Task:
    """Return the task with its first `count` problems."""
    return replace(task, problems=task.problems[:count])


def affordable(seconds: float, measured: Snapshot, most: int) -> int:
    """Return how many problems fit into `seconds` at the time that each one of a snapshot took, at least 1 and at most `most`."""
    each = measured.seconds / max(measured.num_problems, 1)
    return most if each <= 0 else max(1, min(most, math.floor(seconds / each)))
