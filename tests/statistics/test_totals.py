from __future__ import annotations

import numpy as np
import pytest

from soundness.statistics.totals import compare_totals, estimate_total


def mean(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1)
    return np.where(total > 0, weights @ columns[0] / np.where(total > 0, total, 1), np.nan)


def rows(values: dict[str, list[float]]) -> dict[str, list[tuple[float]]]:
    return {name: [(value,) for value in found] for name, found in values.items()}


RNG = np.random.default_rng(7)
BASE = rows({f"p{i}": RNG.normal(0, 1, 3).tolist() for i in range(30)})
TUNED = {name: [(value + 1.0,) for (value,) in found] for name, found in BASE.items()}


def test_a_constant_shift_has_no_interval() -> None:
    found = compare_totals(BASE, TUNED, mean, seed=0)
    assert found.difference.value == pytest.approx(1.0)
    assert (found.difference.low, found.difference.high) == (None, None)
    assert found.p is not None and found.p < 0.01


def test_a_model_against_itself() -> None:
    found = compare_totals(BASE, BASE, mean, seed=0)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p) == (0.0, None, None, 1.0)


def test_sides_exchange_signs() -> None:
    other = rows({f"p{i}": RNG.normal(0.3, 1, 3).tolist() for i in range(30)})
    one, two = compare_totals(BASE, other, mean, seed=3), compare_totals(other, BASE, mean, seed=3)
    assert one.difference.value == pytest.approx(-two.difference.value) and one.p == pytest.approx(two.p)
    assert one.difference.low == pytest.approx(-two.difference.high)


def test_missing_problems_are_counted_under_their_reason() -> None:
    found = compare_totals({**BASE, "lost": []}, {**TUNED, "lost": [(1.0,)]}, mean, seed=0, reasons={"lost": "cut off"})
    assert found.missing == {"cut off": 1} and found.difference.n == 30 and found.difference.n_missing == 1


def test_undefined_is_none_with_a_reason() -> None:
    nothing = lambda columns, weights: np.full(len(weights), np.nan)  # noqa: E731
    found = compare_totals(BASE, TUNED, nothing, seed=0)
    assert found.difference.value is None and found.p is None and sum(found.missing.values()) == 30
    assert estimate_total({"a": []}, mean, seed=0).value is None
    assert estimate_total({}, mean, seed=0).n == 0


def test_one_problem_has_no_interval() -> None:
    found = estimate_total({"a": [(1.0,), (3.0,)]}, mean, seed=0)
    assert (found.value, found.low, found.high, found.n) == (2.0, None, None, 1)


def test_samples_of_a_problem_stay_together() -> None:
    """Ten copies of each row tell no more than one: the interval does not shrink."""
    once = rows({f"p{i}": [float(i % 2)] for i in range(20)})
    often = {name: found * 10 for name, found in once.items()}
    assert estimate_total(once, mean, seed=0) == estimate_total(often, mean, seed=0)


def test_intervals_cover() -> None:
    hits = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        found = estimate_total(rows({f"p{i}": [rng.normal()] for i in range(50)}), mean, seed=trial, resamples=399)
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_a_number_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        estimate_total({"a": [(float("nan"),)]}, mean, seed=0)
