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

from soundness.statistics.proportions import paired_interval, share_interval
from soundness.statistics.resampling import derive_seed, sign_flip_p

__all__ = ["Change", "Share"]

_RESAMPLES = 1_999  # of a sign-flip test on values that are neither 0 nor 1; decisions are taken at .02, far above 1 in 2,000


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
