"""McNemar's test: right against wrong on the same problems."""

from __future__ import annotations

__all__ = ["exact_p"]


def exact_p(gained: int, lost: int) -> float:
    """Return the two-sided exact p of `gained` problems that only the tuned model solves against `lost` that only the base does.

    Problems on which both agree say nothing of the difference. Under no difference each other one is a fair coin: binomial with
    n = gained + lost and probability 1/2 (McNemar 1947, exact form). 1 where there is none.

    >>> exact_p(8, 1)
    0.0390625
    """
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
