from __future__ import annotations

import numpy as np
import pytest

from soundness.metrics.lengths import LengthEffect, length_curve, peak, within_problem
from soundness.statistics.totals import estimate_total


def test_hard_problems_with_long_chains_do_not_make_length_look_bad() -> None:
    """Across problems long is wrong; within each problem the longer chains are right."""
    rows = {f"easy{i}": [(8.0, 0.0), (12.0, 1.0)] for i in range(4)} | {
        f"hard{i}": [(80.0, 0.0), (120.0, 1.0)] for i in range(4)
    }
    prepared = within_problem(rows)
    assert prepared["easy0"] == [(0.8, -0.5), (1.2, 0.5)] == prepared["hard0"]
    found = estimate_total(prepared, peak, seed=0)
    assert (found.value, found.n) == (pytest.approx(1.2), 8)
    assert (found.low, found.high) == (None, None)  # every resample says the same, which is no certainty
    best = max(length_curve(rows), key=lambda one: one["accuracy_over_problem"] or 0)
    assert (best["low"], best["high"], best["n"], best["accuracy_over_problem"]) == (1.05, 1.25, 8, 0.5)


def test_always_right_says_nothing_of_length() -> None:
    found = estimate_total(within_problem({"a": [(5.0, 1.0), (9.0, 1.0)], "b": [(5.0, 0.0)]}), peak, seed=0)
    assert found.value is None and found.n_missing == 2


def test_a_bin_of_one_chain_is_no_peak() -> None:
    columns = np.array([[1.0, 1.0, 1.0, 9.0], [0.1, 0.1, 0.1, 5.0]])
    assert peak(columns, np.ones((1, 4)))[0] == 1.0


def test_right_minus_wrong_over_the_mean(planted, values) -> None:
    found = planted("computes?slip=0.5", "chain-sum", ["length_effect"], limit=8, samples=4, temperature=1.0)
    known = [value for value in values(found, "length_right_over_wrong") if value is not None]
    assert known and set(known) == {0.0}  # planted chains are all of one length
    one = planted("computes", "chain-sum", ["length_effect"])
    assert [score.value for score in one.scores] == [None] * 6
    assert {metric.name for metric in LengthEffect().every_metric} == {"length_right_over_wrong", "length_peak"}
