from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.metrics.calibration import ece, equal_mass, equal_width, reliability

CONFIDENCE, RIGHT = [0, 0.1, 0.95, 0.95], [1, 1, 1, 0]
CASES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def test_confidence_zero_is_in_the_first_bin() -> None:
    assert ece(CONFIDENCE, RIGHT) == pytest.approx(0.70)
    assert ece(CONFIDENCE[1:], RIGHT[1:]) != pytest.approx(0.70)
    assert [b.n for b in reliability(CONFIDENCE, RIGHT)] == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]


@pytest.mark.parametrize(("confidence", "bin_"), [(0.0, 0), (0.1, 0), (0.1000001, 1), (0.3, 2), (0.7, 6), (1.0, 9)])
def test_bins_are_closed_above(confidence: float, bin_: int) -> None:
    assert [b.n for b in reliability([confidence], [1])].index(1) == bin_


@given(CASES)
def test_no_case_is_lost(cases: list[tuple[float, bool]]) -> None:
    confidence, right = [c for c, _ in cases], [float(r) for _, r in cases]
    assert sum(b.n for b in reliability(confidence, right)) == len(cases)
    for bins in ("width", "mass"):
        assert 0 <= ece(confidence, right, bins=bins) <= 1
    # One bin is the plain gap between mean confidence and accuracy; more bins can only show more.
    whole = abs(np.mean(right) - np.mean(confidence))
    assert ece(confidence, right, num_bins=1) == pytest.approx(whole)
    assert ece(confidence, right) >= whole - 1e-9 and ece(confidence, right, bins="mass") >= whole - 1e-9


@given(CASES, st.integers(0, 2**32 - 1))
def test_weights_count_like_copies_and_order_means_nothing(cases: list[tuple[float, bool]], seed: int) -> None:
    columns = np.array([[c for c, _ in cases], [float(r) for _, r in cases]])
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 3, size=len(cases))
    weights[0] = 1
    for statistic in (equal_width, equal_mass):
        weighted = statistic(columns, weights[None, :].astype(float))[0]
        copies = np.repeat(columns, weights, axis=1)
        assert weighted == pytest.approx(statistic(copies, np.ones((1, copies.shape[1])))[0])
        order = rng.permutation(copies.shape[1])
        assert statistic(copies[:, order], np.ones((1, len(order))))[0] == pytest.approx(weighted)


def test_equal_mass_by_hand() -> None:
    """Two bins of two: |1 - .2| and |.5 - .7|, halves each."""
    found = equal_mass(np.array([[0.1, 0.3, 0.6, 0.8], [1, 1, 1, 0]]), np.ones((1, 4)), 2)
    assert found[0] == pytest.approx((0.8 + 0.2) / 2)


def test_nothing_to_average_is_no_number() -> None:
    assert np.isnan(equal_width(np.array([[0.5], [1.0]]), np.zeros((1, 1)))).all()
    with pytest.raises(ValueError, match="at least one"):
        ece([], [])


def test_confidence_of_a_model_that_needs_its_chain(planted, values) -> None:
    found = planted("computes", "chain-sum", ["calibration"])
    sure = 0.99**3  # space, digit, line's end
    assert values(found, "confidence") == pytest.approx([sure] * 6)
    assert max(values(found, "confidence_without_chain")) < 1e-3
    assert values(found, "brier") == pytest.approx([(1 - sure) ** 2] * 6)
    assert values(found, "stated_right") == [1.0] * 6
    ignores = planted("ignores-chain", "chain-sum", ["calibration"])
    assert values(ignores, "confidence_without_chain") == pytest.approx([sure] * 6)


def test_chain_without_an_answer_has_no_confidence(planted) -> None:
    from soundness.models.scripted import ScriptedModel
    from soundness.records import Problem
    from soundness.tasks.base import Task

    model = ScriptedModel(lambda question, written: "" if written else "I do not know.\n", name="mute")
    found = planted(model, Task("one", (Problem("p", "Count.", "five"),)), ["calibration"])
    assert {(score.value, score.reason) for score in found.scores} == {(None, "the chain states no answer")}
