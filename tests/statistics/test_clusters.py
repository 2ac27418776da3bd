from __future__ import annotations

import numpy as np
import pytest

from soundness.records import Score
from soundness.statistics.clusters import paired_spread


def scores(writer: str, values: np.ndarray) -> list[Score]:
    return [Score("m", f"p{i:04}", j, writer, "self", float(v)) for i, row in enumerate(values) for j, v in enumerate(row)]


def test_planted_components_are_found() -> None:
    rng = np.random.default_rng(0)
    n, samples = 3000, 4
    base = rng.normal(size=(n, 1)) + rng.normal(0, 1.0, (n, samples))
    tuned = base.mean(axis=1, keepdims=True) * 0 + rng.normal(0, 2.0, (n, 1)) + rng.normal(0, 0.5, (n, samples))
    found = paired_spread(scores("b", base), scores("t", tuned))
    assert found is not None
    assert found.between == pytest.approx(1 + 4, rel=0.1) and found.within == pytest.approx(1 + 0.25, rel=0.1)
    whole = (tuned.mean(axis=1) - base.mean(axis=1)).std(ddof=1)
    assert found.sd(samples) == pytest.approx(whole, rel=1e-6) and found.sd(1) > found.sd(4) > found.sd(64)


def test_single_samples_count_as_between_and_too_few_problems_as_nothing() -> None:
    rng = np.random.default_rng(1)
    found = paired_spread(scores("b", rng.normal(size=(20, 1))), scores("t", rng.normal(size=(20, 1))))
    assert found is not None and found.within == 0.0 and found.sd(1) == found.sd(8)
    assert paired_spread(scores("b", np.ones((1, 3))), scores("t", np.ones((1, 3)))) is None
