from __future__ import annotations

import pytest

from soundness.statistics.seeds import mean_known, seed_interval


def test_the_interval_is_students() -> None:
    low, high = seed_interval([1.0, 3.0]) or (0.0, 0.0)
    assert (low, high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-3)
    assert seed_interval([1.0]) is None


def test_a_missing_value_is_left_out_of_the_mean_and_is_no_zero() -> None:
    assert mean_known(value for value in (0.5, None, 0.6)) == pytest.approx(0.55)
    assert mean_known([0.0]) == 0.0
    assert mean_known([]) is None and mean_known([None, None]) is None
