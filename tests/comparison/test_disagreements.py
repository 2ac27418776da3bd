from __future__ import annotations

from dataclasses import replace

from soundness.comparison.disagreements import disagreements
from soundness.records import Comparison, Estimate


def about(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 20, 0)


def test_operators_disagree_where_one_moves_and_the_other_does_not() -> None:
    first = Comparison("b", "t", "mistake_reliance", "self", about(0, 1), about(0, 1), about(-0.9, -0.5), 0.001, "fraction", "")
    second = replace(first, metric="mistake_reliance_operand", difference=about(-0.1, 0.1))
    (found,) = disagreements([first, second])
    assert (found.metric, found.second, found.tuned) == ("mistake_reliance", "mistake_reliance_operand", "t")
    assert disagreements([first, replace(second, difference=about(-0.2, -0.1))]) == []  # both fell
    assert disagreements([first, replace(second, difference=about(-0.6, 0.1))]) == []  # overlapping
    assert disagreements([first, replace(second, difference=Estimate(0.0, None, None, 1, 0))]) == []
