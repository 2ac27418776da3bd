from __future__ import annotations

import numpy as np

from soundness.records import Comparison, Estimate
from soundness.statistics.corrections import adjust, benjamini_hochberg


def compared(tuned: str, p: float | None) -> Comparison:
    estimate = Estimate(0.0, -1.0, 1.0, 30, 0)
    return Comparison("base", tuned, "m", "self", estimate, estimate, estimate, p, "nats", "")


def test_the_correction_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p = np.random.default_rng(0).uniform(size=40) ** 3
    assert np.allclose([x for x in benjamini_hochberg(p.tolist()) if x is not None], multipletests(p, method="fdr_bh")[1])


def test_each_tuned_model_is_corrected_by_itself_and_the_untested_stay_so() -> None:
    rows = [compared("a", 0.01), compared("b", 0.01), compared("a", None), compared("a", 0.5)]
    assert [row.p_adjusted for row in adjust(rows)] == [0.02, 0.01, None, 0.5]
    assert adjust([]) == [] and benjamini_hochberg([None]) == [None]


def test_chance_alone_is_seldom_flagged() -> None:
    rng = np.random.default_rng(1)
    flagged = sum(
        min(x for x in benjamini_hochberg(rng.uniform(size=40).tolist()) if x is not None) <= 0.05 for _ in range(400)
    )
    assert 0.02 <= flagged / 400 <= 0.08
