"""Several samples of one problem are a cluster: what more samples can do, and what only more problems can."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from soundness.records import Score

__all__ = ["Spread", "paired_spread"]


@dataclass(frozen=True, slots=True)
class Spread:
    """Where the variance of a paired difference comes from, in squared units of the metric."""

    between: float
    """Variance of the true difference over problems; more samples do not lower its part."""
    within: float
    """Variance that one sample of each model adds."""
    n: int
    """Paired problems."""

    def sd(self, samples: int = 1) -> float:
        """Return the standard deviation over problems of the difference between means of `samples` samples each.

        >>> Spread(between=3.0, within=4.0, n=10).sd(samples=4)
        2.0
        """
        return math.sqrt(self.between + self.within / samples)


def paired_spread(base: Iterable[Score], tuned: Iterable[Score]) -> Spread | None:
    """Return the spread of tuned - base on one metric, or None where fewer than two problems pair.

    One-way variance components by the method of moments: `within` pools both models' variances over samples of one problem,
    `between` is what is left of the variance over problems, at least 0. Where no problem has two samples, nothing tells the two
    apart and all counts as `between`: a plan that rests on more samples is then too pessimistic, never too hopeful.
    """
    ones, twos = _samples(base), _samples(tuned)
    paired = [name for name in sorted(ones) if name in twos]
    if len(paired) < 2:
        return None
    differences = [_mean(twos[name]) - _mean(ones[name]) for name in paired]
    total = _variance(differences)
    parts = []
    for side in (ones, twos):
        repeated = [side[name] for name in paired if len(side[name]) > 1]
        degrees = sum(len(values) - 1 for values in repeated)
        parts.append(sum(_variance(values) * (len(values) - 1) for values in repeated) / degrees if degrees else 0.0)
    shares = [sum(1 / len(side[name]) for name in paired) / len(paired) for side in (ones, twos)]
    sampling = sum(part * share for part, share in zip(parts, shares, strict=True))
    return Spread(max(total - sampling, 0.0), sum(parts), len(paired))


def _samples(scores: Iterable[Score]) -> Mapping[str, list[float]]:
    found: dict[str, list[float]] = {}
    for score in scores:
        if score.value is not None:
            found.setdefault(score.problem_id, []).append(score.value)
    return found


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: list[float]) -> float:
    mean = _mean(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
