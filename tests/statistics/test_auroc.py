from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from soundness.statistics.auroc import Marked, auroc, auroc_interval


def test_it_is_the_chance_of_a_greater_draw() -> None:
    assert auroc([1, 1], [0, 0]) == 1.0 and auroc([0.0], [1.0]) == 0.0 and auroc([1, 1], [1]) == 0.5
    rng = np.random.default_rng(0)
    ups, downs = rng.normal(0.5, 1, 40), rng.normal(0, 1, 60)
    assert auroc(ups, downs) == pytest.approx(mannwhitneyu(ups, downs).statistic / (40 * 60))


def test_intervals_hold_the_value_and_need_both_kinds() -> None:
    assert auroc_interval([[Marked(1.0, True)]], seed=0) is None
    assert auroc_interval([[Marked(1.0, True, "a"), Marked(0.0, False, "b")]], seed=0) is None
    found = auroc_interval(
        [[Marked(2.0, True), Marked(1.0, False)], [Marked(1.5, True), Marked(1.0, False), Marked(3.0, False)]], seed=0
    )
    assert found is not None and found[0] == pytest.approx(4 / 6) and found[1] <= found[0] <= found[2]


def test_a_detector_that_is_its_stratum_tells_nothing_within_it() -> None:
    # Marked items stand late; a detector that only counts the position finds them, and nothing within one position.
    rng = np.random.default_rng(1)
    groups = [[Marked(float(i), bool(rng.random() < i / 8), i) for i in range(6)] for _ in range(200)]
    pooled = auroc_interval([[item._replace(stratum=0) for item in group] for group in groups], seed=0, resamples=99)
    within = auroc_interval(groups, seed=0, resamples=99)
    assert pooled is not None and within is not None
    assert pooled[0] > 0.7 and within[0] == pytest.approx(0.5)
