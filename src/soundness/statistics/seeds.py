"""Means and intervals over training seeds: few, and each a whole training run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["mean_known", "seed_interval"]


def mean_known(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that there are, or None where there is none.

    >>> mean_known([1.0, None, 2.0]), mean_known([None])
    (1.5, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def seed_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean over training seeds, by Student's t, or None below two values.

    >>> low, high = seed_interval([0.1, 0.2, 0.3])
    >>> round(low, 3), round(high, 3)
    (-0.048, 0.448)
    """
    from scipy.stats import t

    if len(values) < 2:
        return None
    found = np.asarray(values, dtype=float)
    half = float(t.ppf(0.975, len(found) - 1) * found.std(ddof=1) / np.sqrt(len(found)))
    return float(found.mean()) - half, float(found.mean()) + half
