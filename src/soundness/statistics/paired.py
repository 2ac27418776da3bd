"""Means and paired differences over problems, each with a 95 % interval.

The unit of resampling is the problem: samples of one problem are averaged first, so that asking a question ten times does not
count as ten questions. Everything is sorted by problem id before it meets the generator, whose draws depend on the run's seed and
the number of problems alone: order does not matter, and one more metric moves no other number.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from soundness.records import Comparison, Estimate, Reader, Score
from soundness.statistics.proportions import paired_interval, share_interval
from soundness.statistics.resampling import RESAMPLES, bootstrap_means, derive_seed, sign_flip_p

__all__ = [
    "NO_BOUNDS",
    "RESAMPLES",
    "Bounds",
    "PairedDifference",
    "by_problem",
    "compare",
    "comparison",
    "derive_seed",
    "estimate",
]

Bounds = tuple[float | None, float | None]
"""Smallest and largest value that a metric can take, None where there is no end."""

NO_BOUNDS: Bounds = (None, None)

ABSENT = "no score"
"""The reason given for a problem that the other side has and this side does not mention."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """Tuned minus base over the problems that both could be scored on."""

    base: Estimate
    """The base's mean over the paired problems."""
    tuned: Estimate
    """The tuned model's mean over the same problems; `tuned.value - base.value` is `difference.value`, to rounding."""
    difference: Estimate
    """Mean of tuned - base."""
    p: float | None
    """Two-sided p of the paired permutation (sign flip) test, or None where n < 2."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Reason -> number of problems left out for it; the numbers add up to `difference.n_missing`."""


def by_problem(scores: Iterable[Score]) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return each problem's mean over its samples, and the reason for each problem that has none.

    Samples without a value are left out of the mean. A problem without any value is None, with its most common reason (the
    first in the alphabet among equals). Both come back sorted by problem id; every problem is in the first.

    >>> scores = [Score("m", "b", 0, "x", "-", 1.0), Score("m", "b", 1, "x", "-", 0.0)]
    >>> by_problem([*scores, Score("m", "a", 0, "x", "-", None, "cut off")])
    ({'a': None, 'b': 0.5}, {'a': 'cut off'})
    """
    values: defaultdict[str, list[float]] = defaultdict(list)
    reasons: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for score in scores:
        if score.value is None:
            reasons[score.problem_id][score.reason] += 1
        else:
            values[score.problem_id].append(float(score.value))
    means = {name: _mean(values[name]) if name in values else None for name in sorted({*values, *reasons})}
    return means, {name: _most_common(reasons[name]) for name, mean in means.items() if mean is None}


def estimate(
    values: Mapping[str, float | None], *, seed: int, resamples: int = RESAMPLES, bounds: Bounds = NO_BOUNDS
) -> Estimate:
    """Return the mean over problems with its 95 % interval, in the unit of `values`.

    `values` maps problem id to the mean over its samples, `bounds` are the smallest and the largest value that one can take. Where
    every value is one of the two bounds it is a share and its interval Wilson's, whatever the seed. Otherwise the interval is the
    wider, at each end, of a bootstrap interval (BCa, widened for small n) and Student's. Where all values are equal there is no
    spread to take one from: between bounds the interval is Wilson's, which is too wide then, and without bounds there is none.
    None too where n < 2; without a single value the mean is None as well. Raises ValueError on a value that is not finite: unknown
    is None.

    >>> found = estimate({"a": 1.0, "b": 1.0, "c": None}, seed=0, bounds=(0, 1))
    >>> (found.value, round(found.low, 3), found.high, found.n, found.n_missing)
    (1.0, 0.342, 1.0, 2, 1)
    >>> estimate({"a": 3.0, "b": 3.0}, seed=0)
    Estimate(value=3.0, low=None, high=None, n=2, n_missing=0)
    """
    known = [value for _, value in sorted(values.items()) if value is not None]
    return _estimates([known], len(values) - len(known), seed, resamples, [_share_of(bounds)])[0]


def compare(
    base: Mapping[str, float | None],
    tuned: Mapping[str, float | None],
    *,
    seed: int,
    base_reasons: Mapping[str, str] | None = None,
    tuned_reasons: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    bounds: Bounds = NO_BOUNDS,
) -> PairedDifference:
    """Return the mean paired difference tuned - base with its 95 % interval and its two-sided p.

    All three estimates are over the problems that both sides have a value for, resampled together, with the intervals of `estimate`;
    that of a difference of shares is Tango's score interval. A problem that either side lacks is counted in `n_missing` and, under
    its reason, in `missing`. Exchanging the two sides changes the sign of the
    difference, mirrors its interval and keeps p. p comes from all sign flips of the differences where there are few, otherwise
    from `resamples` seeded ones. Raises ValueError on a value that is not finite.

    >>> compare({"a": 1.0, "b": 2.0}, {"a": 2.0, "b": 3.0, "c": 9.0}, seed=0).difference
    Estimate(value=1.0, low=None, high=None, n=2, n_missing=1)
    >>> found = compare(dict.fromkeys("abcd", 0.0), dict.fromkeys("abcd", 0.0), seed=0, bounds=(0, 1)).difference
    >>> (found.value, round(found.low, 2), round(found.high, 2))
    (0.0, -0.49, 0.49)
    """
    paired: list[tuple[float, float]] = []
    missing: Counter[str] = Counter()
    for name in sorted({*base, *tuned}):
        one, two = base.get(name), tuned.get(name)
        if one is not None and two is not None:
            paired.append((one, two))
        else:
            reason_one = None if one is not None else (base_reasons or {}).get(name, ABSENT)
            reason_two = None if two is not None else (tuned_reasons or {}).get(name, ABSENT)
            missing[_reason(reason_one, reason_two)] += 1
    ones, twos = [one for one, _ in paired], [two for _, two in paired]
    differences = [two - one for one, two in paired]
    rules = [_share_of(bounds), _share_of(bounds), _difference_of_shares(bounds)]
    base_estimate, tuned_estimate, difference = _estimates([ones, twos, differences], missing.total(), seed, resamples, rules)
    p = sign_flip_p(np.asarray(differences), seed=seed, resamples=resamples) if len(differences) >= 2 else None
    return PairedDifference(base_estimate, tuned_estimate, difference, p, dict(sorted(missing.items())))


def comparison(
    base_name: str,
    tuned_name: str,
    metric: str,
    reader: Reader,
    base_scores: Iterable[Score],
    tuned_scores: Iterable[Score],
    unit: str,
    direction: str,
    seed: int,
    *,
    resamples: int = RESAMPLES,
    bounds: Bounds = NO_BOUNDS,
) -> Comparison:
    """Return tuned minus base on one metric under one reader, paired by problem, from the scores of both.

    `seed` is the run's: metrics over as many problems share their resamples. `bounds` are the metric's. The scores are of that
    metric alone.
    """
    base_scores, tuned_scores = list(base_scores), list(tuned_scores)
    assert all(score.metric == metric for score in (*base_scores, *tuned_scores)), f"scores of another metric than {metric}"
    base, base_reasons = by_problem(base_scores)
    tuned, tuned_reasons = by_problem(tuned_scores)
    paired = compare(
        base,
        tuned,
        seed=seed,
        base_reasons=base_reasons,
        tuned_reasons=tuned_reasons,
        resamples=resamples,
        bounds=bounds,
    )
    return Comparison(
        base=base_name,
        tuned=tuned_name,
        metric=metric,
        reader=reader,
        base_estimate=paired.base,
        tuned_estimate=paired.tuned,
        difference=paired.difference,
        p=paired.p,
        unit=unit,
        direction=direction,
        missing=paired.missing,
    )


def _mean(values: Sequence[float]) -> float:
    """Return the mean, the same for every order of `values`."""
    return math.fsum(values) / len(values)


def _most_common(reasons: Counter[str]) -> str:
    """Return the reason counted most often, the first in the alphabet among equals."""
    return min(reasons, key=lambda reason: (-reasons[reason], reason))


def _reason(base: str | None, tuned: str | None) -> str:
    """Return why a pair is incomplete, naming the side that lacks a value."""
    if base == tuned:
        return f"both: {base}"
    return "; ".join(f"{side}: {reason}" for side, reason in (("base", base), ("tuned", tuned)) if reason is not None)


Rule = Callable[[Sequence[float]], tuple[float | None, float | None] | None]
"""Gives the interval of values that no bootstrap is right for, (None, None) where there is none, None where a bootstrap is."""


def _share_of(bounds: Bounds) -> Rule:
    """Return the rule for values between `bounds`."""
    low, high = bounds

    def rule(values: Sequence[float]) -> tuple[float | None, float | None] | None:
        constant = min(values) == max(values)
        if low is None or high is None:
            return (None, None) if constant else None
        if not constant and not all(value in (low, high) for value in values):
            return None
        ends = share_interval((_mean(values) - low) / (high - low), len(values))
        return low + (high - low) * ends[0], low + (high - low) * ends[1]

    return rule


def _difference_of_shares(bounds: Bounds) -> Rule:
    """Return the rule for differences of two values between `bounds`."""
    low, high = bounds

    def rule(differences: Sequence[float]) -> tuple[float | None, float | None] | None:
        constant = min(differences) == max(differences)
        if low is None or high is None:
            return (None, None) if constant else None
        width = high - low
        if not constant and not all(difference in (-width, 0.0, width) for difference in differences):
            return None
        gained = math.fsum(difference for difference in differences if difference > 0) / width
        lost = -math.fsum(difference for difference in differences if difference < 0) / width
        ends = paired_interval(gained, lost, len(differences))
        return width * ends[0], width * ends[1]

    return rule


def _estimates(
    rows: Sequence[Sequence[float]], n_missing: int, seed: int, resamples: int, rules: Sequence[Rule]
) -> list[Estimate]:
    """Return one estimate per row; all rows are over the same n problems and share their resamples."""
    n = len(rows[0])
    if not all(math.isfinite(value) for row in rows for value in row):
        raise ValueError("a value to be averaged is not finite; use None for what is not known")
    if n < 2:
        return [Estimate(row[0] if n else None, None, None, n, n_missing) for row in rows]
    means = [_mean(row) for row in rows]
    ends = {index: found for index, (row, rule) in enumerate(zip(rows, rules, strict=True)) if (found := rule(row)) is not None}
    rest = [index for index in range(len(rows)) if index not in ends]
    if rest:
        drawn = bootstrap_means(np.asarray([rows[index] for index in rest]), seed=seed, resamples=resamples)
        ends.update((index, (float(low), float(high))) for index, (low, high) in zip(rest, drawn, strict=True))
    estimates = []
    for index, mean in enumerate(means):
        low, high = ends[index]
        # The two `min`/`max` only guard against rounding and against extreme skew, where BCa may step past the mean itself.
        low, high = None if low is None else min(low, mean), None if high is None else max(high, mean)
        estimates.append(Estimate(mean, low, high, n, n_missing))
    return estimates
