"""Many metrics, one comparison: how many flags would chance alone raise?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from soundness.records import Comparison

__all__ = ["adjust", "benjamini_hochberg"]


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Return p adjusted so that, of what is flagged at 0.05, at most 5 % is expected to be false; None stays None.

    Benjamini and Hochberg (1995), valid for independent and for positively dependent tests, which metrics of the same chains
    mostly are. What could not be tested takes no part.

    >>> benjamini_hochberg([0.01, None, 0.04, 0.03])
    [0.03, None, 0.04, 0.04]
    """
    from scipy.stats import false_discovery_control

    known = [p for p in p_values if p is not None]
    adjusted = iter(false_discovery_control(known).tolist() if known else [])
    return [None if p is None else float(next(adjusted)) for p in p_values]


def adjust(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with `p_adjusted`, corrected over all metrics and readers of one tuned model."""
    adjusted: dict[int, float | None] = {}
    for name in dict.fromkeys(one.tuned for one in comparisons):
        places = [place for place, one in enumerate(comparisons) if one.tuned == name]
        adjusted.update(zip(places, benjamini_hochberg([comparisons[place].p for place in places]), strict=True))
    return [replace(one, p_adjusted=adjusted[place]) for place, one in enumerate(comparisons)]
