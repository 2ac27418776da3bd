from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from soundness.comparison.spread import Change, Share, paired_interval, share_interval
from soundness.records import Score


def share(values: list[float | None], span: tuple[float, float] = (0.0, 1.0)) -> Share:
    rows = [Score("m", str(i), 0, "x", "self", v, "" if v is not None else "cut off") for i, v in enumerate(values)]
    return Share.of(rows, span)


def change(base: list[float | None], tuned: list[float | None]) -> Change:
    return Change(share(base), share(tuned))


def test_a_share_interval_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    for k, n in ((0, 20), (7, 30), (30, 30)):
        expected = binomtest(k, n).proportion_ci(method="wilson")
        assert share_interval(k / n, n) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(("gained", "lost", "n"), [(3, 9, 60), (0, 1, 44), (12, 2, 30)])
def test_the_ends_of_a_paired_interval_are_as_far_off_as_its_confidence_says(gained: int, lost: int, n: int) -> None:
    # Tango 1998: (gained - lost - n delta) over its standard error at the likeliest shares that differ by delta, found by search.
    def statistic(delta: float) -> float:
        def unlikely(down: float) -> float:
            up = down + delta
            shares = (up, down, 1 - up - down)
            if min(shares) < 0:
                return np.inf
            counts = (gained, lost, n - gained - lost)
            return -sum(count * np.log(share) if count else 0.0 for count, share in zip(counts, shares, strict=True))

        grid = np.linspace(max(0.0, -delta), (1 - delta) / 2, 200_001)[1:-1]
        down = min(grid[::100], key=unlikely)
        near = grid[(grid > down - 0.005) & (grid < down + 0.005)]
        down = min(near, key=unlikely)
        return (gained - lost - n * delta) / np.sqrt(n * (2 * down + delta * (1 - delta)))

    low, high = paired_interval(gained, lost, n)
    assert statistic(low) == pytest.approx(1.96, abs=0.01) and statistic(high) == pytest.approx(-1.96, abs=0.01)
    mirrored = paired_interval(lost, gained, n)
    assert mirrored == pytest.approx((-high, -low))


@pytest.mark.parametrize(("p_gain", "p_loss", "n"), [(0.02, 0.02, 50), (0.1, 0.1, 60), (0.0, 0.1, 50), (0.05, 0.15, 100)])
def test_paired_intervals_cover(p_gain: float, p_loss: float, n: int) -> None:
    rng = np.random.default_rng(0)
    draws = rng.multinomial(n, [p_gain, p_loss, 1 - p_gain - p_loss], size=800)
    held = [low <= p_gain - p_loss <= high for low, high in (paired_interval(g, b, n, 0.9) for g, b, _ in draws)]
    assert np.mean(held) > 0.86


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=5, max_size=40))
def test_exchanging_the_models_mirrors_the_interval(pairs: list[tuple[bool, bool]]) -> None:
    one, two = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    low, high = change(one, two).interval()
    assert change(two, one).interval() == pytest.approx((-high, -low), abs=1e-9)
    assert low <= np.mean(two) - np.mean(one) <= high


def test_no_difference_at_all_still_allows_one() -> None:
    same = change([1.0] * 20, [1.0] * 20)
    assert same.value == 0 and same.most_lost() > 0.1
    assert change([1.0] * 50, [1.0] * 50).most_lost() < 0.1


@pytest.mark.parametrize("n", [50, 60, 100, 200])
def test_a_fall_at_the_bound_is_seldom_ruled_out(n: int) -> None:
    bound = 0.1
    passed = [k for k in range(n) if Change(share([1.0] * n), share([0.0] * k + [1.0] * (n - k))).most_lost() < bound]
    assert sum(binom.pmf(k, n, bound) for k in passed) <= 0.05


def test_falls_and_rises() -> None:
    fallen = change([1.0] * 60, [0.0] * 10 + [1.0] * 50)
    assert fallen.fell(0.02, 0.05) and not fallen.fell(0.02, 0.2) and not fallen.rose(0.02, 0.05)
    risen = change([0.0] * 10 + [1.0] * 50, [1.0] * 60)
    assert risen.rose(0.02, 0.05) and risen.most_lost() < 0.05
    assert not change([1.0] * 60, [0.0] * 5 + [1.0] * 55).fell(0.02, 0.05)  # five of five is chance at one in 16
    assert not change([], []).fell(0.5, 0.0)


def test_fractions_are_tested_by_all_sign_flips() -> None:
    base, tuned = [0.5 + 0.01 * i for i in range(12)], [0.2 + 0.02 * i for i in range(12)]
    assert change(base, tuned).fell(0.02, 0.05)


def test_what_is_unknown_is_taken_at_its_worst() -> None:
    known = [1.0] * 40
    # Ten of the tuned model's problems are unknown: they may all have been lost, or none.
    unclear = change([1.0] * 50, [*known, *[None] * 10])
    assert unclear.value == 0 and unclear.measured == 0.8
    assert unclear.most_lost() > 0.2 and not unclear.fell(0.02, 0.05)
    assert unclear.interval(worst=True)[0] < -0.2 < 0 < unclear.interval(worst=False)[1]
    # Unknown in the base: at the worst it was 1 there, where the tuned model is 1 as well.
    assert change([*known, *[None] * 10], [1.0] * 50).most_lost() < 0.1
    # A fall on known problems has to outweigh what is unknown.
    assert change([1.0] * 50, [0.0] * 50).fell(0.02, 0.05)
    assert not change([1.0] * 50, [*[0.0] * 8, *[None] * 42]).fell(0.02, 0.5)


def test_shares_count_every_problem() -> None:
    half = share([1.0] * 10 + [None] * 10)
    assert half.value == 1.0 and half.n == 20
    assert half.low() == pytest.approx(share_interval(0.5, 20)[0]) and half.high() == 1.0
    assert half.reasons == {"cut off": 10} and half.on_known().low() == pytest.approx(share_interval(1.0, 10)[0])
    assert share([]).value is None and (share([]).low(), share([]).high()) == (0.0, 1.0)


def test_differences_of_gains_reach_two() -> None:
    swing = change([1.0] * 30, [-1.0] * 30)
    assert swing.value == -2 and swing.interval()[0] == pytest.approx(-2, abs=0.3) and swing.most_lost() > 1.7


def test_samples_of_a_problem_are_averaged_and_the_missing_among_them_bounded() -> None:
    scores = [
        Score("m", "a", i, "x", "self", v, "" if v is not None else "cut off") for i, v in enumerate([1.0, 0.0, None, None])
    ]
    found = Share.of(scores)
    assert found.known == {"a": 0.5} and found.bounds == {"a": (0.25, 0.75)}
    assert Share.of(scores, (-1.0, 1.0)).bounds == {"a": (-0.25, 0.75)}


def test_what_would_settle_it() -> None:
    few = change([1.0] * 20, [1.0] * 20)
    needed = few.problems_to_settle(0.1, 0.05, 0.02)
    assert needed is not None and 30 < needed < 40
    assert change([1.0] * needed, [1.0] * needed).most_lost() < 0.1
    # Half-way between: more of the same shows a fall.
    small = change([1.0] * 50, [0.0] * 4 + [1.0] * 46)
    needed = small.problems_to_settle(0.05, 0.05, 0.02)
    assert needed is not None and 60 < needed < 140
    assert change([1.0, 0.0] * 20, [0.0, 1.0] * 20).problems_to_settle(0.001, 0.5, 0.02) is None
    assert change([], []).problems_to_settle(0.1, 0.1, 0.1) is None
