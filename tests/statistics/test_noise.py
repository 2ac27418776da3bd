from __future__ import annotations

import numpy as np
import pytest

from soundness.records import Score
from soundness.statistics.noise import floor_between, floor_of_halves, floor_rows, read_floor


def scores(values: np.ndarray, metric: str = "m") -> list[Score]:
    return [Score(metric, f"p{i:04}", j, "b", "self", float(v)) for i, row in enumerate(values) for j, v in enumerate(row)]


def test_the_same_twice_is_no_noise() -> None:
    rows = scores(np.random.default_rng(0).normal(size=(10, 1)))
    floor = floor_between(rows, rows, seed=0)[("m", "self")]
    assert (floor.value, floor.low, floor.high, floor.n) == (0.0, None, None, 10)


def test_halves_show_the_noise_of_whole_runs() -> None:
    rng = np.random.default_rng(1)
    ends = []
    for samples in (4, 5):
        values = rng.normal(size=(4000, samples))
        floor = floor_of_halves(scores(values), seed=0)[("m", "self")]
        assert floor.low is not None and floor.high is not None
        ends.append((floor.high - floor.low) / (2 * 1.96))
        # Two models with that many samples each differ by noise of variance 2 / samples per problem.
        assert ends[-1] == pytest.approx((2 / samples / 4000) ** 0.5, rel=0.08)


def test_only_shared_problems_count_and_rows_read_back() -> None:
    first, second = scores(np.zeros((10, 1))), scores(np.arange(6.0)[:, None])
    floor = floor_between(first, second, seed=0)
    assert floor[("m", "self")].n == 6 and floor[("m", "self")].value == 2.5
    assert read_floor(floor_rows(floor)) == floor
    assert floor_between(first, scores(np.zeros((3, 1)), "other"), seed=0) == {}
