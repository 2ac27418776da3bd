from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.metrics.coverage import coverage_curves, crossing, pass_at_k, vote
from soundness.records import Chain, Outcome, Problem, Prompt

PROBLEM = Problem("1", "?", "4")


def test_without_replacement() -> None:
    assert pass_at_k(4, 1, 2) == 0.5  # with replacement it would be .4375


@given(st.integers(1, 8), st.integers(0, 8), st.integers(1, 8))
def test_pass_at_k_counts_subsets(n: int, c: int, k: int) -> None:
    c = min(c, n)
    found = pass_at_k(n, c, k)
    if k > n:
        assert found is None
        return
    draws = list(combinations(range(n), k))
    assert found == pytest.approx(sum(any(i < c for i in draw) for draw in draws) / len(draws))


def voted(*answers: str | None):
    chains = [
        Chain(
            "1",
            "m",
            i,
            0,
            Prompt("", ()),
            (),
            "",
            "stop",
            answer=a,
            outcome=Outcome.RIGHT if a in ("4", "4.0") else Outcome.WRONG,
        )
        for i, a in enumerate(answers)
    ]
    assert vote(chains, PROBLEM) == vote(chains[::-1], PROBLEM)
    found = vote(chains, PROBLEM)
    return found.answers, found.share, found.right


def test_the_vote_compares_by_value_and_splits_ties() -> None:
    assert voted("5", "4", "4.0") == (("4",), pytest.approx(2 / 3), 1.0)
    assert voted("5", "4", "4.0", "5") == (("4", "5"), 0.5, 0.5)
    assert voted("5", None, None, None) == (("5",), 0.25, 0.0)
    assert voted(None, None) == ((), 0.0, 0.0)


def test_crossing_is_interpolated() -> None:
    assert crossing([0.2, 0.5, 0.9], [0.5, 0.6, 0.7]) == pytest.approx(2 + 0.1 / 0.3)
    assert crossing([0.2, 0.5], [0.2, 0.9]) is None
    assert crossing([0.2, 0.5, 0.6], [0.4, 0.5, 0.7]) is None  # touches, and goes back


def test_one_sample_is_no_coverage(planted) -> None:
    found = planted("computes", "chain-sum", ["coverage"])
    assert found.scores and all(score.value is None and "--samples" in score.reason for score in found.scores)


def test_samples_of_a_slipping_model(planted, values) -> None:
    found = planted("computes?slip=0.5", "chain-sum", ["accuracy", "coverage"], limit=10, samples=4, temperature=1.0)
    assert len(values(found, "pass_at_1")) == 10
    solved = values(found, "solved")
    assert sum(values(found, "pass_at_1")) / 10 == pytest.approx(sum(solved) / 40)
    for one, half, whole in zip(*(values(found, m) for m in ("pass_at_1", "pass_at_half", "coverage")), strict=True):
        assert one <= half <= whole
    chains = {}
    for case in found.cases:
        chains.setdefault(case.problem.id, []).append(case.chain)
    problems = {case.problem.id: case.problem for case in found.cases}
    table = coverage_curves({"base": chains, "tuned": chains}, problems, "base", seed=0)
    curve = [estimate["value"] for estimate in table["models"][0]["pass_at"]]
    assert curve[0] == pytest.approx(sum(solved) / 40) and curve == sorted(curve) and len(curve) == 4
    assert table["crossings"][0]["k"] is None and table["crossings"][0]["crossed"] == 0.0
