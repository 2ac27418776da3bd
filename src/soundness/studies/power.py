"""How many problems does an audit need? Planned from a pilot, a run folder or a guess."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundness.auditing import audit
from soundness.errors import MetricError, SettingError, near
from soundness.metrics import METRICS
from soundness.progress import Progress
from soundness.records import Score
from soundness.runs.folder import Run, open_run
from soundness.statistics.clusters import paired_spread
from soundness.statistics.power import ALPHA, POWER, detectable, problems_for
from soundness.tasks.base import Task

__all__ = ["SIZES", "Plan", "plan_from_pilot", "plan_from_run", "plan_from_sd"]

SIZES = (20, 50, 100, 200, 500, 1000)
"""Numbers of problems for which a plan says what they can see."""

_FEWEST = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How many problems, and on what grounds."""

    metric: str
    """Name of the metric."""
    unit: str
    """Its unit."""
    effect: float
    """Mean paired difference to detect, in that unit."""
    sd: float
    """Standard deviation over problems of the paired difference, in that unit."""
    problems: int
    """Problems for a power of `POWER` at level `ALPHA`."""
    grounds: str
    """Where `sd` is from, and on how many problems it rests."""
    table: tuple[tuple[int, float], ...]
    """(problems, smallest difference seen with that power)."""

    @property
    def assumption(self) -> str:
        """What the figures assume, in one sentence."""
        return (
            f"Two-sided paired t test at {ALPHA:.0%}, power {POWER:.0%}; problems are independent draws like those of the pilot, "
            "and differences spread as they do there. A standard deviation from few problems is itself uncertain."
        )


def plan_from_sd(metric: str, effect: float, sd: float, grounds: str = "given") -> Plan:
    """Return the plan for a known standard deviation; raises MetricError or SettingError."""
    if metric not in METRICS:
        raise MetricError(f"unknown metric {metric!r}{near(metric, METRICS)}; see soundness metrics")
    rows = ((n, detectable(sd, n)) for n in SIZES)
    table = tuple((n, least) for n, least in rows if least is not None)
    return Plan(metric, METRICS[metric].unit, effect, sd, problems_for(effect, sd), grounds, table)


def plan_from_run(
    run: str | Path | Run, metric: str, effect: float, *, tuned: str | None = None, samples: int | None = None
) -> Plan:
    """Return the plan for the spread found in a run folder, for its first tuned model unless another is named.

    `samples` plans with another number of samples a problem than the run had: sampling noise shrinks with it, differences between
    problems do not. Raises MetricError where too few problems pair, or all differences are equal.
    """
    run = run if isinstance(run, Run) else open_run(run)
    found = run.comparison(metric, tuned)
    scores = [score for score in run.scores() if (score.metric, score.reader) == (metric, found.reader)]

    def by(writer: str) -> list[Score]:
        return [score for score in scores if score.writer == writer]

    spread = paired_spread(by(found.base), by(found.tuned))
    if spread is None or spread.n < _FEWEST:
        n = spread.n if spread else 0
        raise MetricError(f"{metric} pairs {n} problems in {run.path}; a pilot needs at least {_FEWEST}: audit more problems")
    had = max(score.sample for score in scores) + 1
    sd = spread.sd(samples or had)
    if sd == 0:
        raise MetricError(
            f"all differences of {metric} in {run.path} are equal, so they say nothing of the spread; "
            "give --sd, or a pilot with a model that differs"
        )
    grounds = f"{spread.n} problems of {run.path}, {found.tuned} against {found.base}, {samples or had} sample(s) a problem"
    return plan_from_sd(metric, effect, sd, grounds)


def plan_from_pilot(
    base: str, tuned: Sequence[str], task: Task, metric: str, effect: float, *, on_progress: Progress | None = None
) -> Plan:
    """Return the plan after an audit of `task` in a folder that is then removed; with no tuned model the base is its own.

    A model held against itself, sampled at temperature 0.8, shows the spread of chance alone: a tuned model that changes some
    problems and not others spreads more.
    """
    if metric not in METRICS:
        raise MetricError(f"unknown metric {metric!r}{near(metric, METRICS)}; see soundness metrics")
    if not tuned:
        raise SettingError("a pilot compares two models: give --tuned as well as --base, or --run, or --sd")
    with tempfile.TemporaryDirectory() as folder:
        run = audit(base, tuned, task, out=Path(folder) / "pilot", metrics=[metric], noise_floor=False, on_progress=on_progress)
        plan = plan_from_run(run, metric, effect)
    grounds = f"a pilot of {len(task.problems)} problems, {tuned[0]} against {base}"
    return Plan(plan.metric, plan.unit, effect, plan.sd, plan.problems, grounds, plan.table)
