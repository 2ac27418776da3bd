"""Bootstrap intervals of means and sign-flip tests, many rows at a time on the same draws.

The draws depend on a seed and on the number of problems alone, so that all metrics of a comparison are resampled together, one
more metric moves no other number, and a thousand comparisons cost little more than one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["CONFIDENCE", "MANY", "RESAMPLES", "bootstrap_means", "derive_seed", "sign_flip_p"]

RESAMPLES = 9_999
"""Bootstrap and permutation resamples; (count + 1) / (RESAMPLES + 1) is then a round p."""

CONFIDENCE = 0.95

# Draws are made in blocks of about this many numbers, whatever n is.
BLOCK = 400_000

MANY = 1_000
"""From so many problems on, the distribution that resampling draws from is computed from its cumulants instead: 9,999 draws know a
quantile to about two percent of the interval's half-width, the expansion errs by less than a tenth of that, and time and memory no
longer grow with resamples times problems."""

# A row whose resampled mean is further from a normal shape than this (one value that outweighs all others) is drawn whatever n is.
_MOST_SKEW, _MOST_KURTOSIS = 0.3, 0.3

# All blocks of fewer than MANY problems are remembered (25 of 3 MB each for the largest), so that every metric of a run meets the
# same draws without making them again.
_REMEMBERED = 1 + MANY * RESAMPLES // BLOCK

Floats = NDArray[np.float64]


def derive_seed(seed: int, *names: str) -> int:
    """Return a 64-bit seed that depends on `seed` and every one of `names`.

    >>> derive_seed(0, "accuracy") == derive_seed(0, "accuracy")
    True
    >>> derive_seed(0, "accuracy") == derive_seed(1, "accuracy")
    False
    """
    text = json.dumps([int(seed), *names])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def bootstrap_means(rows: Floats, *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Return the 95 % interval of each row's mean, shape (M, 2), from (M, n) `rows` that share their resamples.

    Each end is the outer one of two intervals. Bias-corrected and accelerated (Efron 1987) with the expanded percentiles of
    Hesterberg (2015, sec. 5.3): the normal quantile is replaced by sqrt(n / (n - 1)) times Student's, because plain bootstrap
    intervals are too short by about that much when n is small; percentile where the correction is not defined. And Student's t,
    kept within the row's values: a heavy tail makes a symmetric sample look skewed, and the correction then shortens the wrong
    end. The value itself where a row is constant. Needs n >= 2.
    """
    from scipy.special import stdtrit

    num_rows, n = rows.shape
    assert n >= 2, "an interval needs two problems"
    means = rows.mean(axis=1)
    quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    wide = math.sqrt(n / (n - 1)) * quantile
    z = np.array([-wide, wide])
    ends = np.empty((num_rows, 2))
    smooth = _is_smooth(rows)
    ends[smooth] = _ends_expanded(rows[smooth], z)
    if not smooth.all():
        ends[~smooth] = _ends_drawn(rows[~smooth], z, seed, resamples)
    least, most = rows.min(axis=1), rows.max(axis=1)
    with np.errstate(over="ignore"):
        half = quantile * rows.std(axis=1, ddof=1) / math.sqrt(n)
    half[~np.isfinite(half)] = 0.0
    ends[:, 0] = np.minimum(ends[:, 0], np.maximum(means - half, least))
    ends[:, 1] = np.maximum(ends[:, 1], np.minimum(means + half, most))
    constant = least == most
    ends[constant] = rows[constant, :1]
    return cast(Floats, ends)


def _is_smooth(rows: Floats) -> NDArray[np.bool_]:
    """Return for each row whether its resampled mean is close enough to normal for a few terms of the expansion, shape (M,)."""
    n = rows.shape[1]
    if n < MANY:
        return np.zeros(len(rows), dtype=bool)
    skew, kurtosis = _shape_of_mean(rows)
    # A constant row has no shape (NaN): nothing is drawn for it either way.
    return ~(np.abs(skew) > _MOST_SKEW) & ~(np.abs(kurtosis) > _MOST_KURTOSIS)


def _shape_of_mean(rows: Floats) -> tuple[Floats, Floats]:
    """Return skewness and excess kurtosis of the mean of n draws from each row, shapes (M,)."""
    n = rows.shape[1]
    deviation = rows - rows.mean(axis=1)[:, None]
    with np.errstate(all="ignore"):
        scaled = deviation / deviation.std(axis=1)[:, None]
        return (scaled**3).mean(axis=1) / math.sqrt(n), ((scaled**4).mean(axis=1) - 3) / n


def _ends_expanded(rows: Floats, z: Floats) -> Floats:
    """Return the ends of the BCa interval of each row's mean from the cumulants of the resampled mean, shape (M, 2).

    Edgeworth for the bias, Cornish and Fisher (1937) to the second order for the quantiles.
    """
    from scipy.special import ndtr, ndtri

    n = rows.shape[1]
    means, spread = rows.mean(axis=1)[:, None], (rows.std(axis=1) / math.sqrt(n))[:, None]
    skew, kurtosis = (shape[:, None] for shape in _shape_of_mean(rows))
    with np.errstate(all="ignore"):
        bias = ndtri(0.5 + skew / (6 * math.sqrt(2 * math.pi)))
        acceleration = skew / 6
        x = ndtri(ndtr(bias + (bias + z) / (1 - acceleration * (bias + z))))
        x = x + (x**2 - 1) * skew / 6 + (x**3 - 3 * x) * kurtosis / 24 - (2 * x**3 - 5 * x) * skew**2 / 36
    return cast(Floats, np.where(np.isfinite(x), means + spread * x, means))


def _ends_drawn(rows: Floats, z: Floats, seed: int, resamples: int) -> Floats:
    """Return the ends of the BCa interval of each row's mean from `resamples` draws, shape (M, 2)."""
    from scipy.special import ndtr, ndtri

    num_rows, n = rows.shape
    means = rows.mean(axis=1)
    draws = np.concatenate([np.einsum("rn,mn->mr", counts, rows) for counts in _count_blocks(seed, n, resamples)], axis=1) / n
    with np.errstate(all="ignore"):
        tie = 1e-12 * np.abs(rows).mean(axis=1)  # equal sums added in another order differ in the last bits
        off = draws - means[:, None]
        below = ((off < -tie[:, None]).sum(axis=1) + 0.5 * (np.abs(off) <= tie[:, None]).sum(axis=1)) / resamples
        bias = ndtri(below)[:, None]  # (M, 1)
        deviation = rows - means[:, None]
        acceleration = ((deviation**3).sum(axis=1) / (6 * (deviation**2).sum(axis=1) ** 1.5))[:, None]
        levels = ndtr(bias + (bias + z) / (1 - acceleration * (bias + z)))  # (M, 2)
        # Past its pole the correction folds back on itself; the percentile interval takes over there as where it is undefined.
        undefined = ~(np.isfinite(levels) & (1 - acceleration * (bias + z) > 0)).all(axis=1)
    levels[undefined] = ndtr(z)
    draws.sort(axis=1)
    place = levels * (resamples - 1)
    left = np.clip(np.floor(place).astype(np.int64), 0, resamples - 2)
    row = np.arange(num_rows)[:, None]
    return cast(Floats, draws[row, left] + (place - left) * (draws[row, left + 1] - draws[row, left]))


def sign_flip_p(differences: Floats, *, seed: int, resamples: int = RESAMPLES) -> float:
    """Return the share of sign flips of (n,) `differences` whose |sum| is at least the observed one: a two-sided p.

    Under no difference each pair could as well have come the other way round. Pairs without a difference change no sum and are
    left out. Where all others have one size (right against wrong on one answer each) this is the exact McNemar test and its
    binomial is used; exact too with p = count / 2^k where 2^k <= resamples + 1; from `MANY` pairs on by the saddlepoint of the
    sum's distribution; otherwise (count + 1) / (resamples + 1).

    >>> sign_flip_p(np.array([1.0, 1.0, 1.0, 1.0, 0.0, -1.0]), seed=0)
    0.375
    """
    from soundness.statistics.mcnemar import exact_p

    differences = differences[differences != 0]
    size = np.abs(differences)
    k = len(differences)
    if k == 0:
        return 1.0
    if size.min() == size.max():
        return exact_p(int((differences > 0).sum()), int((differences < 0).sum()))
    if k >= MANY:
        return _saddlepoint_p(differences)
    # Equal sums added in another order differ in the last bits; they are ties, not losses.
    observed = abs(math.fsum(differences)) - 1e-12 * math.fsum(size)
    exact = 2**k <= resamples + 1
    total = 2**k if exact else resamples
    count = 0
    for signs in _sign_blocks(seed, k, total, exact):
        # Not `@`: a matrix product's last bits depend on the number of threads.
        count += int(np.count_nonzero(np.abs(np.einsum("rk,k->r", signs, size)) >= observed))
    return count / total if exact else (count + 1) / (resamples + 1)


def _saddlepoint_p(differences: Floats) -> float:
    """Return the two-sided p of the sum of sign flips by Lugannani and Rice (1980): relative error of order 1/k^1.5, tails too."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    scaled = np.abs(differences) / math.sqrt(math.fsum(differences**2))
    observed = abs(math.fsum(differences)) / math.sqrt(math.fsum(differences**2))
    most = math.fsum(scaled)
    if observed < 1e-3:  # the formula divides by zero at the centre, where p is 1
        return 1.0
    if observed >= most * (1 - 1e-9):  # all on one side: 2 of 2^k flips, which is 0 in a double
        return 2.0 ** (1 - len(differences))

    def excess(t: float) -> float:
        return math.fsum(scaled * np.tanh(t * scaled)) - observed

    high = 1.0
    while excess(high) < 0:
        high *= 2
    t = float(brentq(excess, 0.0, high, xtol=1e-12))
    size = t * scaled
    cumulant = math.fsum(size + np.log1p(np.exp(-2 * size)) - math.log(2))  # log cosh without overflow
    r = math.sqrt(2 * (t * observed - cumulant))
    u = t * math.sqrt(math.fsum((scaled / np.cosh(np.minimum(size, 350.0))) ** 2))
    tail = ndtr(-r) + math.exp(-(r**2) / 2) / math.sqrt(2 * math.pi) * (1 / u - 1 / r)
    return float(min(1.0, 2 * tail))


def _count_blocks(seed: int, n: int, resamples: int) -> Iterator[Floats]:
    """Yield how often each of n problems is drawn, (resamples, n) in blocks of rows."""
    rows = max(1, BLOCK // n)
    for block in range(math.ceil(resamples / rows)):
        yield (_counts if n < MANY else _counts.__wrapped__)(seed, n, block, min(rows, resamples - block * rows))


@lru_cache(maxsize=_REMEMBERED)
def _counts(seed: int, n: int, block: int, rows: int) -> Floats:
    rng = np.random.default_rng(derive_seed(seed, "bootstrap", str(block)))
    drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
    return np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def _sign_blocks(seed: int, k: int, total: int, exact: bool) -> Iterator[Floats]:
    """Yield rows of -1 and 1, (total, k) in blocks."""
    # One draw serves all k up to the next power of two: metrics differ in how many of their differences are 0.
    width = k if exact else 1 << (k - 1).bit_length()
    rows = max(1, BLOCK // width)
    for start in range(0, total, rows):
        yield _signs(seed, width, start, min(start + rows, total), exact)[:, :k]


@lru_cache(maxsize=_REMEMBERED)
def _signs(seed: int, width: int, start: int, stop: int, exact: bool) -> Floats:
    if exact:
        flips = (np.arange(start, stop)[:, None] >> np.arange(width)) & 1
    else:
        rng = np.random.default_rng(derive_seed(seed, "permutation", str(start)))
        flips = rng.integers(0, 2, size=(stop - start, width), dtype=np.int8).astype(np.int64)
    return np.where(flips, -1.0, 1.0)
