from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from soundness.errors import SettingError
from soundness.records import Estimate
from soundness.statistics.paired import estimate
from soundness.statistics.power import detectable, problems_for, standard_deviation


@pytest.mark.parametrize("effect", [0.1, 0.3, 0.8, 1.5])
def test_the_plan_is_that_of_statsmodels(effect: float) -> None:
    theirs = TTestPower().solve_power(effect, alpha=0.05, power=0.8)
    assert problems_for(effect, 1.0) == int(np.ceil(theirs - 1e-6)) == problems_for(-3 * effect, 3.0)


@pytest.mark.parametrize("n", [2, 3, 10, 90, 5000])
def test_what_can_be_seen_needs_so_many(n: int) -> None:
    least = detectable(2.0, n)
    assert least is not None
    assert problems_for(least * 1.0001, 2.0) <= n < problems_for(least * 0.98, 2.0) + 1
    assert detectable(2.0, 1) is None and detectable(0.0, 5) == 0.0


def test_simulated_audits_of_the_planned_size_see_the_effect_four_times_in_five() -> None:
    n, runs = problems_for(0.4, 1.0), 400
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(runs):
        found = estimate({str(i): float(v) for i, v in enumerate(rng.normal(0.4, 1.0, n))}, seed=0, resamples=499)
        assert found.low is not None
        seen += found.low > 0
    assert 0.74 <= seen / runs <= 0.86


def test_the_spread_behind_an_interval() -> None:
    values = np.random.default_rng(1).normal(0, 3, 200)
    found = estimate({str(i): float(v) for i, v in enumerate(values)}, seed=0)
    assert standard_deviation(found) == pytest.approx(values.std(ddof=1), rel=0.05)
    assert standard_deviation(Estimate(1.0, None, None, 1, 0)) is None


@pytest.mark.parametrize(("effect", "sd"), [(0.0, 1.0), (float("nan"), 1.0), (0.3, 0.0), (0.3, -1.0), (1e-6, 1.0)])
def test_plans_that_make_no_sense_are_refused(effect: float, sd: float) -> None:
    with pytest.raises(SettingError):
        problems_for(effect, sd)
