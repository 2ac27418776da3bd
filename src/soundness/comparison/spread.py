"""How much a bounded measure may differ between two models: intervals that hold where there is next to nothing to see.

A share that is 1 for both models on every problem differs by 0 with no spread at all, and no bootstrap gives that an interval. What
it allows is still known: on 20 problems a fall of a tenth may go unseen. Score intervals say so. What could not be measured is a
value between two bounds, and whatever is said has to hold at the worst of them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from soundness.records import Score
from soundness.statistics.proportions import normal_quantile, paired_interval, share_interval
from soundness.statistics.resampling import derive_seed, sign_flip_p

__all__ = ["Change", "Share"]

_RESAMPLES = 1_999  # of a sign-flip test on values that are neither 0 nor 1; decisions are taken at .02, far above 1 in 2,000


@dataclass(frozen=True)
class Share:
    """One model's values of a bounded measure by problem, and between which bounds they lie where they could not be measured."""

    known: Mapping[str, float]
    """Problem -> mean over the samples that were measured."""
    bounds: Mapping[str, tuple[float, float]]
    """Problem -> the least and the greatest mean over all its samples, whatever those are that could not be measured."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Why samples could not be measured -> on how many problems."""

    @classmethod
    def of(cls, scores: Iterable[Score], span: tuple[float, float] = (0.0, 1.0)) -> Share:
        """Return the values in the scores of one model and metric; a sample without a value may lie anywhere in `span`."""
        samples: defaultdict[str, list[float | None]] = defaultdict(list)
        reasons: defaultdict[str, set[str]] = defaultdict(set)
        for score in scores:
            samples[score.problem_id].append(score.value)
            if score.value is None:
                reasons[score.reason].add(score.problem_id)
        known, bounds = {}, {}
        for name, values in sorted(samples.items()):
            measured = [value for value in values if value is not None]
            if measured:
                known[name] = math.fsum(measured) / len(measured)
            lowest, highest = (math.fsum([*measured, *[end] * (len(values) - len(measured))]) / len(values) for end in span)
            bounds[name] = (lowest, highest)
        return cls(known, bounds, {reason: len(names) for reason, names in sorted(reasons.items())})

    @property
    def n(self) -> int:
        """Problems asked."""
        return len(self.bounds)

    @cached_property
    def value(self) -> float | None:
        """Mean over what is known, or None where nothing is."""
        return math.fsum(self.known.values()) / len(self.known) if self.known else None

    def low(self, confidence: float = 0.95) -> float:
        """Return the lower end of the interval over all problems asked, what is unknown at its lowest; 0 without problems."""
        return (
            share_interval(math.fsum(low for low, _ in self.bounds.values()) / self.n, self.n, confidence)[0] if self.n else 0.0
        )

    def high(self, confidence: float = 0.95) -> float:
        """Return the upper end of the interval over all problems asked, what is unknown at its highest; 1 without problems."""
        return (
            share_interval(math.fsum(high for _, high in self.bounds.values()) / self.n, self.n, confidence)[1]
            if self.n
            else 1.0
        )

    def on_known(self) -> Share:
        """Return the same as if nobody had asked for what could not be measured."""
        return Share(self.known, {name: (value, value) for name, value in self.known.items()})

    def of_nothing(self) -> Share:
        """Return 0 on every problem: what this is compared with to see whether it lies above nothing."""
        return Share(dict.fromkeys(self.bounds, 0.0), dict.fromkeys(self.bounds, (0.0, 0.0)))


@dataclass(frozen=True)
class Change:
    """Tuned minus base on one measure, over all problems that were asked of both."""

    base: Share
    """The base's values."""
    tuned: Share
    """The tuned model's."""
    seed: int = 0
    """Of the sign-flip test."""

    @cached_property
    def problems(self) -> list[str]:
        """The problems that both were asked, in order."""
        return sorted({*self.base.bounds} & {*self.tuned.bounds})

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.problems)

    @cached_property
    def measured(self) -> float:
        """Share of them on which both models were measured; 0 without problems."""
        return sum(name in self.base.known and name in self.tuned.known for name in self.problems) / max(1, self.n)

    def on_known(self) -> Change:
        """Return the change over the problems on which both were measured, as if the others had not been asked."""
        return Change(self.base.on_known(), self.tuned.on_known(), self.seed)

    def differences(self, worst: bool | None = None) -> list[float]:
        """Return the differences problem by problem.

        What is unknown is left out with None; it makes the fall as deep as it can be with `worst` True, as shallow with False.
        """
        base, tuned = self.base, self.tuned
        if worst is None:
            return [
                tuned.known[name] - base.known[name] for name in self.problems if name in base.known and name in tuned.known
            ]
        end = 0 if worst else 1
        return [tuned.bounds[name][end] - base.bounds[name][1 - end] for name in self.problems]

    @cached_property
    def value(self) -> float | None:
        """Mean difference over the problems on which both were measured."""
        differences = self.differences()
        return math.fsum(differences) / len(differences) if differences else None

    def interval(self, confidence: float = 0.95, worst: bool | None = None) -> tuple[float, float]:
        """Return the interval of the mean difference, unknown values left out, at their worst or at their best."""
        differences = self.differences(worst)
        if not differences:
            return -1.0, 1.0
        gained = math.fsum(d for d in differences if d > 0)
        lost = -math.fsum(d for d in differences if d < 0)
        size = max(1.0, *map(abs, differences))  # the difference of two gains goes from -2 to 2
        low, high = paired_interval(gained / size, lost / size, len(differences), confidence)
        return size * low, size * high

    def fell(self, p: float, least: float) -> bool:
        """Return whether it fell by `least` at least, beyond chance at `p` (two-sided), whatever the unknown values are."""
        return self._moved(-1, p, least)

    def rose(self, p: float, least: float) -> bool:
        """Return whether it rose by `least` at least, beyond chance at `p` (two-sided), whatever the unknown values are."""
        return self._moved(1, p, least)

    def _moved(self, sign: int, p: float, least: float) -> bool:
        differences = self.differences(worst=sign > 0)
        if not differences or sign * math.fsum(differences) / len(differences) < max(least - 1e-12, 1e-12):
            return False
        return sign_flip_p(np.asarray(differences), seed=derive_seed(self.seed, "verdict"), resamples=_RESAMPLES) <= p

    def most_lost(self, confidence: float = 0.90) -> float:
        """Return the largest fall that the data allow, unknown values at their worst, as a number of at least 0.

        The lower end of the interval with half a problem more lost: without that correction for counts being whole numbers a fall
        that is exactly at a bound is overlooked more often than (1 - `confidence`) / 2.
        """
        differences = self.differences(worst=True)
        if not differences:
            return 1.0
        size = max(1.0, *map(abs, differences))  # the difference of two gains goes from -2 to 2
        gained = math.fsum(d for d in differences if d > 0) / size
        lost = -math.fsum(d for d in differences if d < 0) / size
        n = len(differences)
        return max(0.0, -size * paired_interval(gained, min(lost + 0.5, n - gained), n, confidence)[0])

    def problems_to_settle(self, bound: float, least: float, p: float, confidence: float = 0.90) -> int | None:
        """Return at how many problems a fall of `bound` would be ruled out, or one of `least` shown, if all else stays as it is.

        A rough figure, from scaling up what was seen; None where more than 100 times the problems would not do.
        """
        differences = self.differences(worst=True)
        if not differences:
            return None
        n, total = len(differences), math.fsum(differences)
        size = max(1.0, *map(abs, differences))
        gained = math.fsum(d for d in differences if d > 0) / size
        lost = gained - total / size
        spread = math.sqrt(math.fsum(d * d for d in differences))
        for factor in (1.1**k for k in range(49)):
            more = math.ceil(n * factor)
            ends = paired_interval(gained * more / n, min(lost * more / n + 0.5, more * (1 - gained / n)), more, confidence)
            shown = total <= -least * n and -total * math.sqrt(more / n) / spread >= normal_quantile(1 - p)
            if more > n and (-size * ends[0] < bound or shown):
                return more
        return None
