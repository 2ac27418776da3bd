"""AUROC with strata and with whole groups resampled: does a number point to the marked ones, other things being equal?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Marked", "auroc", "auroc_interval"]


class Marked(NamedTuple):
    """One item that a detector gave a value."""

    value: float
    """Higher points to it."""
    marked: bool
    """Whether it is one of those to be found."""
    stratum: Hashable = 0
    """Items are compared within their stratum only."""


def auroc(higher: Sequence[float], lower: Sequence[float]) -> float:
    """Return the chance that a draw of `higher` exceeds one of `lower`, ties counted half; 0.5 tells nothing.

    >>> auroc([2, 3], [1, 2])
    0.875
    """
    from scipy.stats import rankdata

    ranks = rankdata([*higher, *lower])
    m, n = len(higher), len(lower)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def auroc_interval(
    groups: Sequence[Sequence[Marked]], *, seed: int, resamples: int = 1999
) -> tuple[float, float, float] | None:
    """Return the AUROC over all items of `groups`, within strata, with its 95 % percentile interval, whole groups resampled.

    It is the share of pairs (a marked item, another one of its stratum) in which the marked one has the higher value, ties counted
    half. None where there is no such pair.
    """
    items = [(place, item) for place, group in enumerate(groups) for item in group]
    values = np.array([item.value for _, item in items], dtype=np.float64)
    marked = np.array([item.marked for _, item in items], dtype=bool)
    names = {stratum: number for number, stratum in enumerate(dict.fromkeys(item.stratum for _, item in items))}
    strata = np.array([names[item.stratum] for _, item in items], dtype=np.int64)
    owners = np.array([place for place, _ in items], dtype=np.int64)
    # Pairs between any two groups are counted once; a resample only weighs them by how often it drew either.
    pairs = np.zeros((len(groups), len(groups)))
    won = np.zeros_like(pairs)
    others = np.flatnonzero(~marked)
    for place in np.flatnonzero(marked):
        rivals = others[strata[others] == strata[place]]
        wins = (values[place] > values[rivals]) + 0.5 * (values[place] == values[rivals])
        np.add.at(pairs[owners[place]], owners[rivals], 1.0)
        np.add.at(won[owners[place]], owners[rivals], wins)
    if not pairs.sum():
        return None
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, len(groups), (resamples, len(groups)))
    counts = np.stack([np.bincount(row, minlength=len(groups)) for row in drawn]).astype(np.float64)
    total = np.einsum("rg,gh,rh->r", counts, pairs, counts, optimize=True)
    higher = np.einsum("rg,gh,rh->r", counts, won, counts, optimize=True)
    low, high = np.quantile(higher[total > 0] / total[total > 0], [0.025, 0.975])
    return float(won.sum() / pairs.sum()), float(low), float(high)
