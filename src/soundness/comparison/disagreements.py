"""Where a measure has two operators (two ways to write a mistake, two fillers) and they do not say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from soundness.metrics.operators import OPERATOR_PAIRS
from soundness.records import Comparison

__all__ = ["Disagreement", "disagreements"]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two operators of one measure that do not say the same of a tuned model."""

    tuned: str
    """Name of the tuned model."""
    metric: str
    """The measure with its first operator."""
    second: str
    """The measure with its second operator."""
    reader: str
    """Who read."""
    how: str
    """In what they differ, figures included."""


def disagreements(comparisons: Sequence[Comparison]) -> list[Disagreement]:
    """Return the pairs of `OPERATOR_PAIRS` that disagree: the 95 % intervals of their differences have no point in common, and do not
    lie on the same side of 0.

    Two edits of different strength may differ in size; they disagree where one fell and the other did not.
    """
    table = {(c.tuned, c.metric, c.reader): c for c in comparisons}
    found = []
    for (tuned, metric, reader), one in table.items():
        for other in (second for first, second in OPERATOR_PAIRS if first == metric):
            two = table.get((tuned, other, reader))
            if two is None:
                continue
            ends = (one.difference.low, one.difference.high, two.difference.low, two.difference.high)
            if any(end is None for end in ends):
                continue
            low, high, low_two, high_two = (float(end) for end in ends if end is not None)
            same_side = (high < 0 and high_two < 0) or (low > 0 and low_two > 0)
            if (high < low_two or high_two < low) and not same_side:
                how = f"{metric} changed by [{low:.3g}, {high:.3g}], {other} by [{low_two:.3g}, {high_two:.3g}]"
                found.append(Disagreement(tuned, metric, other, reader, how))
    return found
