"""Numbers over all problems at once (a calibration error, the length of a peak), with their intervals.

A statistic is a function of rows and of their weights, so that every resample and every exchange of the two models is one more row
of weights. The unit of resampling is the problem: all rows of a problem come and go together, and both models meet the same draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundness.records import Estimate
from soundness.statistics.paired import PairedDifference, derive_seed

__all__ = ["RESAMPLES", "Rows", "Statistic", "compare_totals", "estimate_total", "interval"]

Floats = NDArray[np.float64]

Rows = Mapping[str, Sequence[tuple[float, ...]]]
"""Problem id -> its rows, one tuple of numbers per chain."""

Statistic = Callable[[Floats, Floats], Floats]
"""(columns (C, n), weights (R, n)) -> (R,) numbers, NaN where the weights leave it undefined."""

RESAMPLES = 1_999
UNDEFINED = "undefined on these problems"
_BLOCK = 2_000_000
_ROUNDING = 1e-12
_MOST_UNDEFINED = 0.05
"""Share of resamples that may lack a number before the interval is given up."""


def interval(draws: Floats) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of resampled numbers, or None where more than one in twenty is NaN."""
    known = draws[np.isfinite(draws)]
    if len(known) < (1 - _MOST_UNDEFINED) * len(draws):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def estimate_total(rows: Rows, statistic: Statistic, *, seed: int, resamples: int = RESAMPLES) -> Estimate:
    """Return the statistic over all rows with its 95 % percentile bootstrap interval over problems.

    None where it is undefined; no interval where fewer than two problems have rows.
    """
    names = sorted(name for name, found in rows.items() if found)
    columns, owner = _stack(rows, names)
    values = _draws(columns, owner, statistic, _counts(len(names), seed, resamples)) if names else np.full(1, np.nan)
    return _estimate(values, len(names), len(rows) - len(names))


def compare_totals(
    base: Rows,
    tuned: Rows,
    statistic: Statistic,
    *,
    seed: int,
    reasons: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
) -> PairedDifference:
    """Return tuned minus base over the problems that both have rows for, resampled together, with a paired permutation p.

    p comes from exchanging the two models' rows problem by problem. A problem without rows on either side is counted as missing,
    under its reason in `reasons`. Exchanging the sides changes the difference's sign and keeps p.
    """
    every = sorted({*base, *tuned})
    names = [name for name in every if base.get(name) and tuned.get(name)]
    paired = set(names)
    lacking = [(reasons or {}).get(name, "no score") for name in every if name not in paired]
    missing = {reason: lacking.count(reason) for reason in sorted(set(lacking))}
    if not names:
        none = Estimate(None, None, None, 0, len(lacking))
        return PairedDifference(none, none, none, None, missing)
    one, own = _stack(base, names)
    two, owner = _stack(tuned, names)
    counts = _counts(len(names), seed, resamples)
    first, second = _draws(one, own, statistic, counts), _draws(two, owner, statistic, counts)
    estimates = [_estimate(draws, len(names), len(lacking)) for draws in (first, second, second - first)]
    p = None
    if len(names) >= 2 and np.isfinite(second[0] - first[0]):
        both, whose = np.concatenate([one, two], axis=1), np.concatenate([own, owner])
        kept = np.concatenate([np.ones(len(own)), np.zeros(len(owner))])
        flips = _flips(len(names), seed, resamples)
        parts = []
        for rows in _slices(len(flips), both.shape[1]):
            given = np.abs(flips[rows][:, whose] - kept[None, :])  # 1 where the row counts for the first side
            parts.append(statistic(both, 1 - given) - statistic(both, given))
        shuffled = np.concatenate(parts)
        known = shuffled[np.isfinite(shuffled)]
        observed = abs(second[0] - first[0]) - 1e-12
        p = float((np.count_nonzero(np.abs(known) >= observed) + 1) / (len(known) + 1))
    if estimates[2].value is None:
        missing = {**missing, UNDEFINED: len(names)}
        estimates = [Estimate(e.value, e.low, e.high, 0 if e.value is None else e.n, len(every)) for e in estimates]
    return PairedDifference(estimates[0], estimates[1], estimates[2], p, missing)


def _stack(rows: Rows, names: Sequence[str]) -> tuple[Floats, NDArray[np.int64]]:
    """Return the columns (C, n) and each row's problem as an index into `names`."""
    flat = [row for name in names for row in rows[name]]
    owner = np.repeat(np.arange(len(names)), [len(rows[name]) for name in names])
    columns = np.asarray(flat, dtype=np.float64).T if flat else np.empty((0, 0))
    if not np.isfinite(columns).all():
        raise ValueError("a number to be summed up is not finite; leave out what is not known")
    return columns, owner


@lru_cache(maxsize=2)
def _counts(num: int, seed: int, resamples: int) -> NDArray[np.uint16]:
    """Return how often each problem is drawn: row 0 each once, then `resamples` draws; shape (1 + resamples, num)."""
    counts = np.ones((1 + (resamples if num >= 2 else 0), num), dtype=np.uint16)
    rng = np.random.default_rng(derive_seed(seed, "totals"))
    for row in range(1, len(counts)):
        # A count above 65,535 would need a problem drawn as often among `num` draws, which has no chance worth a wider type.
        counts[row] = np.bincount(rng.integers(0, num, size=num), minlength=num)
    counts.flags.writeable = False
    return counts


@lru_cache(maxsize=2)
def _flips(num: int, seed: int, resamples: int) -> NDArray[np.int8]:
    """Return 0 or 1 for every problem: whether the two models' rows change places; shape (resamples, num)."""
    flips = np.random.default_rng(derive_seed(seed, "exchange")).integers(0, 2, size=(resamples, num), dtype=np.int8)
    flips.flags.writeable = False
    return flips


def _slices(num_weights: int, num_rows: int) -> Iterator[slice]:
    """Yield stretches of the weights so that a block of weights times rows stays within `_BLOCK` numbers."""
    step = max(1, _BLOCK // max(1, num_rows))
    for start in range(0, num_weights, step):
        yield slice(start, start + step)


def _draws(columns: Floats, owner: NDArray[np.int64], statistic: Statistic, counts: NDArray[np.uint16]) -> Floats:
    """Return the statistic for every row of counts, a block of rows at a time."""
    blocks = _slices(len(counts), columns.shape[1])
    return np.concatenate([statistic(columns, counts[rows][:, owner].astype(np.float64)) for rows in blocks])


def _estimate(draws: Floats, num: int, num_missing: int) -> Estimate:
    """Return row 0 as the value and the rest as its interval."""
    if not np.isfinite(draws[0]):
        return Estimate(None, None, None, 0, num + num_missing)
    draws = np.where(np.abs(draws) < _ROUNDING, 0.0, draws)  # equal sums taken in another order are equal
    value = float(draws[0])
    ends = interval(draws[1:]) if len(draws) > 1 else None
    # Where no resample moved it, how far it may be off cannot be told from these problems.
    if ends is None or ends[1] - ends[0] <= _ROUNDING * max(1.0, abs(value)):
        return Estimate(value, None, None, num, num_missing)
    return Estimate(value, min(ends[0], value), max(ends[1], value), num, num_missing)
