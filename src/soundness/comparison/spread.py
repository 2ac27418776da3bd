"""How much a bounded measure may differ between two models: intervals that hold where there is next to nothing to see.

A share that is 1 for both models on every problem differs by 0 with no spread at all, and no bootstrap gives that an interval. What
it allows is still known: on 20 problems a fall of a tenth may go unseen. Score intervals say so. What could not be measured is a
value between two bounds, and whatever is said has to hold at the worst of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from soundness.statistics.resampling import derive_seed, sign_flip_p

__all__ = ["Change", "Share", "paired_interval", "share_interval"]

_RESAMPLES = 1_999  # of a sign-flip test on values that are neither 0 nor 1; decisions are taken at .02, far above 1 in 2,000


def share_interval(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a mean of n values between 0 and 1; shares of 0 and 1 have one too.

    Exact in its variance for values 0 and 1, too wide for values between them (Wilson 1927).

    >>> [round(end, 3) for end in share_interval(1.0, 20)]
    [0.839, 1.0]
    """
    z = _quantile(confidence)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_interval(gained: float, lost: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the score interval of (gained - lost) / n, the difference of two shares on the same n problems (Tango 1998).

    `gained` and `lost` are the sums of the differences up and down; where differences are fractions the interval is too wide rather
    than too narrow. It has a width even where nothing differed.

    >>> [round(end, 3) for end in paired_interval(0, 0, 50, 0.9)]
    [-0.051, 0.051]
    """
    z = _quantile(confidence)
    seen = (gained - lost) / n

    def distance(delta: float) -> float:
        """Return how far what was seen lies from `delta`, in standard errors under `delta`."""
        b = -gained - lost + (2 * n - gained + lost) * delta
        c = -lost * delta * (1 - delta)
        share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)  # of problems lost, the likeliest one under `delta`
        variance = n * max(2 * share + delta * (1 - delta), 0.0)
        off = gained - lost - n * delta
        return math.inf if variance == 0 else abs(off) / math.sqrt(variance)

    def end(outer: float) -> float:
        inner = seen
        for _ in range(60):  # bisection to the last bit that matters
            middle = (inner + outer) / 2
            if distance(middle) <= z:
                inner = middle
            else:
                outer = middle
        return inner

    return end(-1.0), end(1.0)


def _quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))


@dataclass(frozen=True)
class Share:
    """One model's values of a measure between 0 and 1, by problem, with bounds for what could not be measured."""

    known: Mapping[str, float]
    """Problem -> value."""
    unknown: Mapping[str, str]
    """Problem -> why there is none; the value may be anything from 0 to 1."""

    @property
    def n(self) -> int:
        """Problems asked."""
        return len(self.known) + len(self.unknown)

    @cached_property
    def value(self) -> float | None:
        """Mean over what is known, or None where nothing is."""
        return math.fsum(self.known.values()) / len(self.known) if self.known else None

    def low(self, confidence: float = 0.95) -> float:
        """Return the lower end of the interval over all problems asked, each unknown one at 0."""
        return share_interval(math.fsum(self.known.values()) / self.n, self.n, confidence)[0] if self.n else 0.0

    def high(self, confidence: float = 0.95) -> float:
        """Return the upper end of the interval over all problems asked, each unknown one at 1."""
        total = math.fsum(self.known.values()) + len(self.unknown)
        return share_interval(total / self.n, self.n, confidence)[1] if self.n else 1.0


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
        both = {*self.base.known, *self.base.unknown} & {*self.tuned.known, *self.tuned.unknown}
        return sorted(both)

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.problems)

    @property
    def num_unknown(self) -> int:
        """Problems on which one model at least could not be measured."""
        return sum(name in self.base.unknown or name in self.tuned.unknown for name in self.problems)

    def differences(self, worst: bool | None = None) -> list[float]:
        """Return the differences problem by problem.

        Unknown values are left out with None, make the fall as deep as it can be with `worst` True, as shallow with False.
        """
        found = []
        for name in self.problems:
            base, tuned = self.base.known.get(name), self.tuned.known.get(name)
            if worst is None and (base is None or tuned is None):
                continue
            base = float(bool(worst)) if base is None else base
            tuned = float(not worst) if tuned is None else tuned
            found.append(tuned - base)
        return found

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
