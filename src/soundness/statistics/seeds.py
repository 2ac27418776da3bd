"""Intervals over training seeds: few, and each a whole training run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["seed_interval"]


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
