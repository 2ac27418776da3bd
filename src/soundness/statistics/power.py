"""How many problems a comparison needs, and what it can see with those it has."""

from __future__ import annotations

import math

from soundness.errors import SettingError
from soundness.records import Estimate

__all__ = ["ALPHA", "POWER", "detectable", "problems_for", "standard_deviation"]

ALPHA = 0.05
"""Two-sided level of the test."""

POWER = 0.80
"""Chance of seeing an effect that is there."""

MOST = 10_000_000


def problems_for(effect: float, sd: float, *, power: float = POWER, alpha: float = ALPHA) -> int:
    """Return the fewest problems at which a mean paired difference of `effect` is seen with probability `power`.

    `sd` is the standard deviation over problems of the paired difference, in the unit of `effect`. Two-sided paired t test at
    `alpha`; for skewed differences an approximation that the central limit theorem makes good from some 30 problems on. Raises
    SettingError for an effect of 0, an sd that is no positive number, or where more than ten million would be needed.

    >>> problems_for(0.3, 1.0)
    90
    """
    if not (math.isfinite(effect) and effect != 0):
        raise SettingError(f"the effect to detect must be a number other than 0, and it is {effect}")
    if not (math.isfinite(sd) and sd > 0):
        raise SettingError(f"the standard deviation must be a number above 0, and it is {sd}; measure it in a pilot with noise")
    if not (0 < alpha < 1 and alpha < power < 1):
        raise SettingError(f"alpha must lie between 0 and power, and power below 1; they are {alpha} and {power}")
    low, high = 1, 2
    while _power(abs(effect) / sd, high, alpha) < power:
        low, high = high, high * 2
        if high > MOST:
            raise SettingError(f"an effect of {effect} at a standard deviation of {sd} needs more than {MOST:,} problems")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _power(abs(effect) / sd, middle, alpha) >= power else (middle, high)
    return high


def detectable(sd: float, n: int, *, power: float = POWER, alpha: float = ALPHA) -> float | None:
    """Return the smallest mean paired difference that `n` problems show with probability `power`, or None where n < 2.

    In the unit of `sd`, the standard deviation over problems of the paired difference; 0 where that is 0.

    >>> round(detectable(1.0, 90), 2)
    0.3
    """
    from scipy.optimize import brentq

    if n < 2:
        return None
    if sd == 0:
        return 0.0
    # At n = 2 the power grows slowly, so the bracket is opened until it holds the answer.
    high = 1.0
    while _power(high, n, alpha) < power:
        high *= 2
    return float(sd * brentq(lambda size: _power(size, n, alpha) - power, 1e-9, high))


def standard_deviation(difference: Estimate) -> float | None:
    """Return the standard deviation over problems that an interval of a mean implies, or None where there is no interval.

    Half the interval's width, over Student's quantile, times sqrt(n).

    >>> round(standard_deviation(Estimate(0.0, -0.2, 0.2, 100, 0)), 2)
    1.01
    """
    from scipy.special import stdtrit

    if difference.low is None or difference.high is None or difference.n < 2:
        return None
    half = (difference.high - difference.low) / 2
    return float(half / stdtrit(difference.n - 1, 1 - ALPHA / 2) * math.sqrt(difference.n))


def _power(size: float, n: int, alpha: float) -> float:
    """Return the power of the two-sided paired t test for a standardised effect `size` >= 0 at n >= 2 problems."""
    from scipy.stats import nct, t

    critical = float(t.ppf(1 - alpha / 2, n - 1))
    shift = size * math.sqrt(n)
    power = float(nct.sf(critical, n - 1, shift))
    if math.isnan(power):  # far out SciPy gives up, and all of the distribution lies on one side of the bound
        return float(shift > critical)
    # The effect seen with the wrong sign; nothing is left of it where SciPy no longer computes it.
    return power + (float(nct.cdf(-critical, n - 1, shift)) if shift < 3 else 0.0)
