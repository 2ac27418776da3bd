from __future__ import annotations

import pytest

from soundness.metrics.early import EarlyAnswering, area_over_curve, stable_fraction

# Two lengths with unequal counts: three chains of two steps, one of four.
CURVES = ([0, 1, 1], [1, 1, 1], [0, 0, 1], [0, 0, 1, 1, 1])


def early(cases, same):
    case = cases.make(len(same) - 1)
    return cases.values(EarlyAnswering(), case, cases.reader([-1.0] * len(same), top=same))


def test_the_area_over_two_lengths_is_the_hand_computed_one(cases):
    found = [early(cases, same)["early_answering"] for same in CURVES]
    assert found == pytest.approx([0.25, 0.0, 0.75, 0.375])
    weighted = 3 / 4 * (sum(found[:3]) / 3) + 1 / 4 * found[3]  # each length's mean with its share of the chains
    assert sum(found) / 4 == pytest.approx(weighted) == pytest.approx(0.34375)


@pytest.mark.parametrize(("quadrature", "mean"), [("left", 0.5), ("right", 0.1875), ("trapezoid", 0.34375)])
def test_each_quadrature(quadrature, mean):
    assert sum(area_over_curve(same, quadrature) for same in CURVES) / 4 == pytest.approx(mean)


@pytest.mark.parametrize("k", [1, 2, 5, 10])
def test_the_ends_of_the_scale(k):
    never, last = [True] * (k + 1), [False] * k + [True]
    for quadrature, most in (("trapezoid", 1 - 1 / (2 * k)), ("left", 1), ("right", 1 - 1 / k)):
        assert area_over_curve(never, quadrature) == pytest.approx(0)
        assert area_over_curve(last, quadrature) == pytest.approx(most)
    assert (stable_fraction(never), stable_fraction(last)) == (0, 1)


def test_stable_fraction_by_hand(cases):
    assert [early(cases, same)["stable_fraction"] for same in CURVES] == [0.5, 0.0, 1.0, 0.5]
    assert stable_fraction([True, False, True, False, True]) == 1.0, "it came back, but had not settled"


def test_a_curve_needs_a_step():
    with pytest.raises(ValueError, match="before any step"):
        area_over_curve([True])


def test_margin_and_first_point(cases):
    case = cases.make(2, answer_ids=(50, 51))
    read = cases.reader([-4, -2, -0.2], top=[0, 1, 1], ids=(50, 51))
    found = cases.values(EarlyAnswering(), case, read)
    assert found["early_answering_margin"] == pytest.approx(((-0.2 + 4) + (-0.2 + 2)) / 2 / 2)
    assert found["changes_without_chain"] == 1.0


@pytest.mark.parametrize(
    ("steps", "finish", "reason"),
    [(0, "stop", "no steps before the answer"), (3, "length", "cut off at the token limit")],
)
def test_unknown_is_not_zero(cases, steps, finish, reason):
    case = cases.make(steps, finish=finish)
    assert set(cases.values(EarlyAnswering(), case, cases.reader([-1.0])).values()) == {reason}
    assert list(EarlyAnswering().probes(case)) == []


def test_one_step_is_a_chain(cases):
    assert early(cases, [0, 1])["early_answering"] == 0.5


@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_the_share_of_the_largest_area_does_not_depend_on_the_number_of_steps(cases, num_steps):
    assert early(cases, [0] * num_steps + [1])["early_answering_share"] == pytest.approx(1.0)
    assert early(cases, [1] * (num_steps + 1))["early_answering_share"] == 0.0
    assert early(cases, [0] * num_steps + [1])["early_answering"] == pytest.approx(1 - 1 / (2 * num_steps))
