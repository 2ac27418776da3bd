from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from soundness.records import Estimate, Score
from soundness.statistics.paired import by_problem, compare, comparison, derive_seed, estimate
from soundness.statistics.proportions import paired_interval

number = st.floats(-50, 50).map(lambda x: round(x, 3))
values = st.dictionaries(st.text(min_size=1, max_size=4), st.none() | number, max_size=12)
FEW = 199


def about(low: float | None, high: float | None) -> Any:
    return (None if low is None else pytest.approx(low, abs=1e-9), None if high is None else pytest.approx(high, abs=1e-9))


def noisy(n: int, shift: float, seed: int) -> dict[str, float | None]:
    rng = np.random.default_rng(seed)
    return {f"p{i:03}": float(x) for i, x in enumerate(rng.normal(shift, 1, n))}


def check(found: Estimate) -> None:
    for part in (found.value, found.low, found.high):
        assert part is None or math.isfinite(part)
    assert (found.value is None) == (found.n == 0)
    assert (found.low is None) == (found.high is None)
    assert found.low is None if found.n < 2 else True
    if found.low is not None and found.high is not None and found.value is not None:
        assert found.low <= found.value <= found.high


@settings(max_examples=60, deadline=None)
@given(values)
def test_an_estimate_is_a_mean_within_its_interval_or_says_that_there_is_none(rows: dict[str, float | None]) -> None:
    found = estimate(rows, seed=0, resamples=FEW)
    check(found)
    known = [v for v in rows.values() if v is not None]
    assert (found.n, found.n_missing) == (len(known), len(rows) - len(known))
    if known:
        assert found.value == pytest.approx(sum(known) / len(known), abs=1e-9)


def test_zero_one_and_equal_values() -> None:
    assert estimate({}, seed=0) == Estimate(None, None, None, 0, 0)
    assert estimate({"a": None}, seed=0) == Estimate(None, None, None, 0, 1)
    assert estimate({"a": 0.1}, seed=0) == Estimate(0.1, None, None, 1, 0)
    assert estimate({str(i): 0.1 for i in range(30)}, seed=0) == Estimate(0.1, None, None, 30, 0)
    nearly = estimate({"0": 1.0, **{str(i): 0.0 for i in range(1, 30)}}, seed=0)
    assert nearly.low is not None and nearly.high is not None and 0 <= nearly.low < 1 / 30 < nearly.high


def test_values_that_break_the_acceleration_fall_back_to_percentiles() -> None:
    found = estimate({"a": 0.0, "b": 1e200, "c": 0.0}, seed=0)  # the jackknife's cubes overflow
    check(found)
    assert found.low == 0.0 and found.high == pytest.approx(1e200)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="use None"):
        estimate({"a": bad, "b": 1.0}, seed=0)


def test_the_interval_is_the_outer_one_of_scipys_two() -> None:
    from scipy.stats import bootstrap, norm, t, ttest_1samp

    rows = noisy(40, 2.0, seed=5)
    found = estimate(rows, seed=1)
    level = 1 - 2 * norm.sf((40 / 39) ** 0.5 * t.ppf(0.975, 39))
    rng = np.random.default_rng(9)
    theirs = bootstrap((list(rows.values()),), np.mean, rng=rng, method="BCa", confidence_level=level).confidence_interval
    plain = ttest_1samp(list(rows.values()), 0).confidence_interval(0.95)
    assert found.low == pytest.approx(min(theirs.low, plain.low), abs=0.02)
    assert found.high == pytest.approx(max(theirs.high, plain.high), abs=0.02)


@settings(max_examples=40, deadline=None)
@given(values)
def test_a_model_against_itself_has_no_difference(rows: dict[str, float | None]) -> None:
    found = compare(rows, rows, seed=0, resamples=FEW)
    n = sum(v is not None for v in rows.values())
    assert found.difference == Estimate(0.0 if n else None, None, None, n, len(rows) - n)
    assert found.p == (1.0 if n >= 2 else None)
    assert found.base == found.tuned


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_exchanging_base_and_tuned_mirrors_everything(base: dict[str, float | None], tuned: dict[str, float | None]) -> None:
    there, back = compare(base, tuned, seed=3, resamples=FEW), compare(tuned, base, seed=3, resamples=FEW)
    assert there.p == back.p
    assert (there.base, there.tuned) == (back.tuned, back.base)
    a, b = there.difference, back.difference
    check(a)
    if a.value is not None and b.value is not None:
        assert a.value == -b.value
        assert there.tuned.value is not None and there.base.value is not None
        assert there.tuned.value - there.base.value == pytest.approx(a.value, abs=1e-9)
    if b.low is not None and b.high is not None:
        assert (a.low, a.high) == about(-b.high, -b.low)


@settings(max_examples=30, deadline=None)
@given(values, values, st.randoms())
def test_order_does_not_matter(base: dict[str, float | None], tuned: dict[str, float | None], rng: random.Random) -> None:
    def shuffled(rows: dict[str, float | None]) -> dict[str, float | None]:
        items = list(rows.items())
        rng.shuffle(items)
        return dict(items)

    assert compare(base, tuned, seed=3, resamples=FEW) == compare(shuffled(base), shuffled(tuned), seed=3, resamples=FEW)


@settings(max_examples=60, deadline=None)
@given(values, values)
def test_every_problem_is_paired_or_counted_under_a_reason(
    base: dict[str, float | None], tuned: dict[str, float | None]
) -> None:
    found = compare(base, tuned, seed=0, resamples=FEW)
    assert found.difference.n + found.difference.n_missing == len({*base, *tuned})
    assert sum(found.missing.values()) == found.difference.n_missing == found.base.n_missing == found.tuned.n_missing


def test_the_reasons_name_the_side() -> None:
    found = compare(
        {"a": 1.0, "b": None, "c": None, "d": 2.0},
        {"a": 1.0, "b": None, "c": 1.0},
        seed=0,
        base_reasons={"b": "cut off", "c": "cut off"},
        tuned_reasons={"b": "cut off"},
    )
    assert found.missing == {"both: cut off": 1, "base: cut off": 1, "tuned: no score": 1}


def test_p_is_exact_where_few_differences_are_not_zero() -> None:
    from scipy.stats import permutation_test

    base = {str(i): 0.0 for i in range(30)}
    tuned = {**base, **{str(i): v for i, v in enumerate([0.5, 1.0, -0.25, 2.0, 1.5])}}
    data = [0.5, 1.0, -0.25, 2.0, 1.5]
    theirs = permutation_test((data, [0.0] * 5), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf)
    # Sums at least as far out as 4.75: all positive, and only the -0.25 as it is; each with its mirror image.
    assert compare(base, tuned, seed=0).p == 4 / 32 == theirs.pvalue
    # Ties must count although their floating-point sums differ in the last bit.
    tenths = {"a": 0.1, "b": 0.2, "c": 0.3, "d": -0.3}
    assert (
        compare(dict.fromkeys(tenths, 0.0), tenths, seed=0).p
        == sum(abs(a + 2 * b + 3 * c + 3 * d) >= 3 for a in (1, -1) for b in (1, -1) for c in (1, -1) for d in (1, -1)) / 16
    )


def test_sampled_p_agrees_with_scipy_and_is_never_zero() -> None:
    from scipy.stats import permutation_test

    base, tuned = noisy(40, 0.0, seed=1), noisy(40, 0.35, seed=2)
    found = compare(base, tuned, seed=0).p
    x, y = np.array(list(tuned.values())), np.array(list(base.values()))
    theirs = permutation_test(
        (x, y),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=9999,
        rng=np.random.default_rng(4),
    )
    assert found == pytest.approx(theirs.pvalue, abs=0.02) and 0.02 < theirs.pvalue < 0.5
    assert compare(base, {k: (v or 0.0) + 9 + i for i, (k, v) in enumerate(base.items())}, seed=0).p == 1 / 10_000


def test_intervals_cover_about_95_percent_and_p_is_uniform_under_no_difference() -> None:
    covered, small, runs = 0, 0, 300
    for i in range(runs):
        rng = np.random.default_rng(1000 + i)
        base = {str(k): float(v) for k, v in enumerate(rng.exponential(1.0, 50))}
        tuned = {k: v + 0.5 + float(rng.exponential(1.0)) - 1.0 for k, v in base.items()}
        found = compare(base, tuned, seed=i, resamples=799).difference
        assert found.low is not None and found.high is not None
        covered += found.low <= 0.5 <= found.high
        same = {k: v + float(rng.normal()) for k, v in base.items()}
        p = compare(base, same, seed=i, resamples=199).p
        assert p is not None
        small += p <= 0.05
    assert 0.90 <= covered / runs <= 0.985
    assert 0.015 <= small / runs <= 0.10


def test_samples_of_one_problem_count_once() -> None:
    scores = [Score("m", f"p{i}", j, "x", "-", float(i % 2)) for i in range(10) for j in range(8)]
    once, _ = by_problem(scores[::8])
    often, _ = by_problem(scores)
    assert estimate(once, seed=0) == estimate(often, seed=0)


def test_a_problem_with_some_missing_samples_keeps_the_others_and_one_with_none_its_commonest_reason() -> None:
    rows = [
        Score("m", "a", 0, "x", "-", 1.0),
        Score("m", "a", 1, "x", "-", None, "cut off"),
        Score("m", "b", 0, "x", "-", None, "no steps"),
        Score("m", "b", 1, "x", "-", None, "cut off"),
        Score("m", "b", 2, "x", "-", None, "no steps"),
        Score("m", "c", 0, "x", "-", None, "z"),
        Score("m", "c", 1, "x", "-", None, "y"),
    ]
    assert by_problem(reversed(rows)) == ({"a": 1.0, "b": None, "c": None}, {"b": "no steps", "c": "y"})


def test_a_comparison_from_scores() -> None:
    base = [Score("m", f"p{i}", 0, "b", "self", float(i)) for i in range(6)] + [
        Score("m", "q", 0, "b", "self", None, "cut off")
    ]
    tuned = [Score("m", f"p{i}", 0, "t", "self", i + 1.0) for i in range(6)] + [Score("m", "q", 0, "t", "self", 3.0)]
    found = comparison("b", "t", "m", "self", base, tuned, "nats", "more of it", 7)
    assert (found.base, found.tuned, found.metric, found.reader, found.unit) == ("b", "t", "m", "self", "nats")
    assert found.difference == Estimate(1.0, None, None, 6, 1)
    assert found.p == 2 / 64
    assert found.missing == {"base: cut off": 1}
    assert found == comparison("b", "t", "m", "self", base[::-1], tuned[::-1], "nats", "more of it", 7)


def test_the_draw_depends_on_the_seed_and_on_every_name() -> None:
    seeds = {
        derive_seed(0, "a", "b"),
        derive_seed(1, "a", "b"),
        derive_seed(0, "ab"),
        derive_seed(0, "a"),
        derive_seed(0, "b", "a"),
    }
    assert len(seeds) == 5
    rows = noisy(20, 0.0, 1)
    assert estimate(rows, seed=1) == estimate(rows, seed=1) != estimate(rows, seed=2)


ZERO_ONE = (0.0, 1.0)


def named(values: Sequence[float]) -> dict[str, float | None]:
    return {f"p{i:03}": value for i, value in enumerate(values)}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=40), st.integers(0, 9), st.integers(0, 9))
def test_a_column_of_zeros_and_ones_has_one_interval_whatever_the_seed(column: list[float], seed: int, other: int) -> None:
    found = estimate(named(column), seed=seed, bounds=ZERO_ONE)
    assert found == estimate(named(column), seed=other, resamples=FEW, bounds=ZERO_ONE)
    expected = binomtest(int(sum(column)), len(column)).proportion_ci(method="wilson")
    assert (found.low, found.high) == about(expected.low, expected.high)
    shifted = estimate(named([2 * value - 1 for value in column]), seed=seed, bounds=(-1.0, 1.0))  # the same on another scale
    assert (shifted.low, shifted.high) == about(2 * expected.low - 1, 2 * expected.high - 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0])] * 2), min_size=2, max_size=40))
def test_a_difference_of_shares_has_a_score_interval(pairs: list[tuple[float, float]]) -> None:
    base, tuned = (named(side) for side in zip(*pairs, strict=True))
    found = compare(base, tuned, seed=1, resamples=FEW, bounds=ZERO_ONE)
    gained, lost = sum(a < b for a, b in pairs), sum(a > b for a, b in pairs)
    assert (found.difference.low, found.difference.high) == about(*paired_interval(gained, lost, len(pairs)))
    back = compare(tuned, base, seed=2, resamples=FEW, bounds=ZERO_ONE)
    assert (back.difference.low, back.difference.high) == about(-found.difference.high, -found.difference.low)  # type: ignore[operator]


@pytest.mark.parametrize("n", [2, 4, 20, 100])
def test_equal_values_claim_no_certainty(n: int) -> None:
    zeros, ones, halves = (named([value] * n) for value in (0.0, 1.0, 0.5))
    for column in (zeros, ones, halves):
        alone = estimate(column, seed=0, bounds=ZERO_ONE)
        apart = compare(column, column, seed=0, bounds=ZERO_ONE).difference
        for found in (alone, apart):
            assert found.low is not None and found.high is not None and found.high - found.low > 1 / n
            check(found)
        assert estimate(column, seed=0) == Estimate(alone.value, None, None, n, 0)
        assert estimate(column, seed=0, bounds=(0.0, None)).low is None
    fell = compare(ones, zeros, seed=0, bounds=ZERO_ONE)
    assert fell.difference.value == -1.0 and fell.difference.low == -1.0 and fell.difference.high is not None
    assert fell.difference.high > -1.0 and (fell.difference.high < 0) == (n >= 4)


def test_values_between_the_bounds_are_resampled_as_before() -> None:
    column = named([0.0, 0.25, 0.5, 1.0, 1.0, 0.75])
    assert estimate(column, seed=0, bounds=ZERO_ONE) == estimate(column, seed=0)
