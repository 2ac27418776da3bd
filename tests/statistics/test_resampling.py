from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from soundness.statistics.mcnemar import exact_p
from soundness.statistics.resampling import MANY, _ends_drawn, _ends_expanded, _is_smooth, bootstrap_means, sign_flip_p
from soundness.studies.validation import coverage_of


def test_rows_together_are_rows_alone() -> None:
    rows = np.random.default_rng(0).normal(size=(5, 30))
    together = bootstrap_means(rows, seed=3, resamples=499)
    for row, ends in zip(rows, together, strict=True):
        assert np.array_equal(bootstrap_means(row[None], seed=3, resamples=499)[0], ends)


def test_intervals_move_and_scale_with_their_values_and_mirror() -> None:
    rows = np.random.default_rng(1).exponential(size=(1, 25))
    low, high = bootstrap_means(rows, seed=0)[0]
    assert bootstrap_means(3 * rows + 7, seed=0)[0] == pytest.approx([3 * low + 7, 3 * high + 7])
    assert bootstrap_means(-rows, seed=0)[0] == pytest.approx([-high, -low])


def test_no_end_lies_inside_students_interval_or_beyond_the_values() -> None:
    rows = np.random.default_rng(2).normal(size=(200, 10))
    ends = bootstrap_means(rows, seed=0, resamples=999)
    means, half = rows.mean(axis=1), 2.2622 * rows.std(axis=1, ddof=1) / 10**0.5
    assert (ends[:, 0] <= means - half + 1e-4).all() and (ends[:, 1] >= means + half - 1e-4).all()
    assert (ends[:, 1] - ends[:, 0]).mean() == pytest.approx(2 * half.mean(), rel=0.1), "and little is added to it"
    rare = np.array([[0.0] * 19 + [-1.0]])
    assert bootstrap_means(rare, seed=0)[0, 1] == 0.0, "no value is above 0, and no mean is said to be"


@pytest.mark.parametrize("shape", ["normal", "heavy tails (t3)", "some fall far"])
def test_twenty_problems_are_enough_for_shapes_without_very_large_values(shape: str) -> None:
    assert 0.93 <= coverage_of(shape, 20, 800, seed=1, resamples=999) <= 0.975


def test_a_constant_row_is_certain() -> None:
    assert bootstrap_means(np.full((1, 5), 2.0), seed=0).tolist() == [[2.0, 2.0]]


def test_right_against_wrong_is_mcnemar_whatever_the_number() -> None:
    for gained, lost in ((30, 12), (3, 0), (200, 160)):
        differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * 50)
        assert sign_flip_p(differences, seed=0) == exact_p(gained, lost) == binomtest(gained, gained + lost).pvalue
    assert exact_p(0, 0) == 1.0


def test_zeros_change_no_p() -> None:
    values = np.random.default_rng(4).normal(0.3, 1, 37)
    assert sign_flip_p(values, seed=1) == sign_flip_p(np.concatenate([values, np.zeros(20)]), seed=1)


@pytest.mark.parametrize("shape", ["normal", "exponential", "rare", "thirds"])
def test_many_problems_get_the_interval_that_draws_would_give(shape: str) -> None:
    rng = np.random.default_rng(5)
    values = {
        "normal": rng.normal(0.2, 1, MANY),
        "exponential": rng.exponential(size=MANY) - 1,
        "rare": (rng.random(MANY) < 0.02).astype(float),
        "thirds": rng.integers(-3, 4, MANY) / 3,
    }[shape][None]
    assert _is_smooth(values).all(), "or the draws are compared with themselves"
    z = np.array([-1.9633, 1.9633])  # Student's quantile at MANY - 1 degrees of freedom, widened
    expanded = _ends_expanded(values, z)[0]
    drawn = _ends_drawn(values, z, seed=1, resamples=9_999)[0]
    step = 1 / MANY if shape == "rare" else 0.0  # means of zeros and ones lie this far apart, and draws end on one of them
    assert expanded == pytest.approx(drawn, abs=0.06 * (drawn[1] - drawn[0]) / 2 + step / 2)
    outer = bootstrap_means(values, seed=0)[0]
    assert outer[0] <= expanded[0] and outer[1] >= expanded[1], "Student's interval lies around it or within it"


def test_one_value_that_outweighs_all_others_is_drawn_whatever_the_number() -> None:
    values = np.zeros((1, 3 * MANY))
    values[0, 0] = 1.0
    assert not _is_smooth(values).any()
    assert bootstrap_means(values, seed=0)[0, 0] == 0.0


@pytest.mark.parametrize("shift", [0.0, 0.04, 0.08])
def test_many_pairs_get_the_p_that_flips_would_give(shift: float) -> None:
    values = np.random.default_rng(6).standard_t(4, size=MANY) + shift
    flipped = [abs((values * signs).sum()) for signs in np.random.default_rng(7).choice([-1.0, 1.0], size=(20_000, MANY))]
    share = np.mean(np.asarray(flipped) >= abs(values.sum()))
    assert sign_flip_p(values, seed=0) == pytest.approx(share, abs=4 * (share * (1 - share) / 20_000) ** 0.5 + 1e-4)
    assert sign_flip_p(np.abs(values), seed=0) < 1e-100
