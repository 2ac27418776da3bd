"""How many problems does an audit need? Planned from a pilot, a run folder or a guess."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundness.auditing import audit
from soundness.comparison.labels import ACCURACY
from soundness.comparison.thresholds import THRESHOLDS, Thresholds
from soundness.errors import MetricError, SettingError, near
from soundness.metrics import METRICS
from soundness.progress import Progress
from soundness.records import Score
from soundness.runs.folder import Run, open_run
from soundness.statistics.clusters import paired_spread
from soundness.statistics.mcnemar import exact_p
from soundness.statistics.paired import by_problem
from soundness.statistics.power import ALPHA, POWER, detectable, problems_for
from soundness.statistics.proportions import paired_interval
from soundness.tasks.base import Task

__all__ = [
    "CHANCE",
    "SIZES",
    "Plan",
    "SoundPlan",
    "chance_of_sound",
    "plan_for_sound",
    "plan_for_sound_from_run",
    "plan_from_pilot",
    "plan_from_run",
    "plan_from_sd",
]

SIZES = (20, 50, 100, 200, 500, 1000)
"""Numbers of problems for which a plan says what they can see."""

CHANCE = 0.9
"""Chance with which two equal models are to be called sound."""

_FEWEST = 5
_MOST = 20_000  # problems; models that need more differ too much from draw to draw for this rule


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


# --- for the word itself ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SoundPlan:
    """How many problems two equal models need to be called sound, and on what grounds."""

    problems: int | None
    """Problems for a chance of `CHANCE`; None where more than twenty thousand would be needed."""
    accuracy_differs: float
    """Share of problems of which one model answers right and the other not, by chance alone."""
    following_differs: float
    """Share of problems on which one model follows its steps and the other does not, by chance alone."""
    grounds: str
    """Where these two are from."""
    table: tuple[tuple[int, float], ...]
    """(problems, chance of `sound`)."""


def chance_of_sound(n: int, *, accuracy_differs: float, following_differs: float, thresholds: Thresholds = THRESHOLDS) -> float:
    """Return the chance that two models which differ by chance alone get `sound` over n problems.

    Accuracy and following have to be kept, neither of them to fall; the two are taken as independent, and that the steps carry as
    given. One sample a problem.

    >>> [round(chance_of_sound(n, accuracy_differs=0.18, following_differs=0.0), 2) for n in (30, 50, 100)]
    [0.0, 0.71, 0.95]
    """
    t = thresholds
    if n < t.problems:
        return 0.0
    return _kept(n, accuracy_differs, t.ability_bound, t.ability_least, t) * _kept(
        n, following_differs, t.dependence_bound, t.dependence_least, t
    )


def _kept(n: int, differs: float, bound: float, least: float, t: Thresholds) -> float:
    """Return the chance that a measure counts as kept which differs on that share of the problems, as often up as down."""
    from scipy.stats import binom

    counts = range(int(binom.ppf(1e-6, n, differs)), int(binom.ppf(1 - 1e-6, n, differs)) + 1)
    total, most = 0.0, -1
    for differing in counts:
        # One more that differs allows at most one more lost, and mostly none less.
        most = _most_lost(n, differing, most, bound, least, t)
        total += float(binom.pmf(differing, n, differs) * binom.cdf(most, differing, 0.5))
    return total


def _most_lost(n: int, differing: int, start: int, bound: float, least: float, t: Thresholds) -> int:
    """Return how many of the differing problems may be lost for a measure to count as kept, from `start` on; -1 where none."""

    def kept(lost: int) -> bool:
        gained = differing - lost
        fell = lost - gained >= least * n and exact_p(gained, lost) <= t.p
        return not fell and paired_interval(gained, min(lost + 0.5, n - gained), n, t.confidence)[0] > -bound

    lost = min(max(start, 0), differing)
    while lost >= 0 and not kept(lost):
        lost -= 1
    while 0 <= lost < differing and kept(lost + 1):
        lost += 1
    return lost


def plan_for_sound(accuracy_differs: float, following_differs: float, grounds: str = "given") -> SoundPlan:
    """Return how many problems give two equal models `sound` with a chance of `CHANCE`; SettingError for no share."""
    for share in (accuracy_differs, following_differs):
        if not 0 <= share <= 1:
            raise SettingError(f"a share of problems lies between 0 and 1, and it is {share}")

    def chance(n: int) -> float:
        return chance_of_sound(n, accuracy_differs=accuracy_differs, following_differs=following_differs)

    low, high = 1, 32
    while chance(high) < CHANCE:
        low, high = high, 2 * high
        if high > _MOST:
            break
    while high <= _MOST and high - low > max(1, low // 50):  # two digits are enough
        middle = (low + high) // 2
        low, high = (low, middle) if chance(middle) >= CHANCE else (middle, high)
    table = tuple((n, chance(n)) for n in SIZES[1:5])
    return SoundPlan(high if high <= _MOST else None, accuracy_differs, following_differs, grounds, table)


def plan_for_sound_from_run(run: str | Path | Run, tuned: str | None = None) -> SoundPlan:
    """Return that plan for the share of problems on which a run's two models differ in accuracy and in following.

    For its first tuned model unless another is named. Where tuning changed something that share is too high, and so is the plan.
    Raises MetricError where either was not measured.
    """
    run = run if isinstance(run, Run) else open_run(run)
    shares = {}
    for metric in (ACCURACY, "following"):
        found = run.comparison(metric, tuned)
        rows = [s for s in run.scores() if (s.metric, s.reader) == (metric, found.reader)]
        base, other = (by_problem(s for s in rows if s.writer == name)[0] for name in (found.base, found.tuned))
        pairs = [(base[name], other[name]) for name in base if base[name] is not None and other.get(name) is not None]
        if len(pairs) < _FEWEST:
            raise MetricError(f"{metric} pairs {len(pairs)} problems in {run.path}; at least {_FEWEST} are needed: audit more")
        shares[metric] = sum(abs((one or 0.0) - (two or 0.0)) for one, two in pairs) / len(pairs)
    return plan_for_sound(shares[ACCURACY], shares["following"], f"{run.path}")
