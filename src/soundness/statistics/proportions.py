"""Intervals of shares and of differences of shares, which have a width where all values are equal too.

A bootstrap of equal values gives an interval without width: 0 of 4 would be 0 for certain. Score intervals say what so few problems
leave open. They depend on the values alone, so that one column of zeros and ones has one interval wherever it is shown.
"""

from __future__ import annotations

import math

__all__ = ["normal_quantile", "paired_interval", "share_interval"]


def share_interval(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a mean of n values between 0 and 1; shares of 0 and 1 have one too.

    Exact in its variance for values 0 and 1, too wide for values between them (Wilson 1927).

    >>> [round(end, 3) for end in share_interval(1.0, 20)]
    [0.839, 1.0]
    """
    z = normal_quantile(confidence)
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
    z = normal_quantile(confidence)
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


def normal_quantile(confidence: float) -> float:
    """Return the normal quantile of a two-sided interval: 1.96 for .95."""
    from scipy.special import ndtri

    return float(ndtri((1 + confidence) / 2))
