from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.metrics import METRICS
from soundness.metrics.paraphrase import FRAGILE, Paraphrase, stable_from
from soundness.models.scripted import ScriptedModel
from soundness.records import Problem
from soundness.tasks.base import Task

FLIPS = ("paraphrase_flips", "paraphrase_flips_words", "paraphrase_stable_fraction", "paraphrase_regenerated_over_intact")


@pytest.mark.parametrize("world", ["chain-sum", "lookup:hops=3"])
@pytest.mark.parametrize("model", ["computes", "ignores-chain"])
def test_meaning_and_indifference_are_both_invariant(planted, values, model: str, world: str) -> None:
    found = planted(model, world, ["paraphrase"])
    for metric in FLIPS:
        assert values(found, metric) == [0.0] * 6, metric
    assert len(found.cases) == 6
    assert all(case.edits["paraphrase_tail"][0].after != case.edits["paraphrase_tail"][0].before for case in found.cases)


def test_a_reader_of_signs_flips_under_words(planted, values) -> None:
    """Who takes the last thing after "=" for the answer is lost once the sign is gone."""

    def by_sign(question: str, written: str) -> str:
        if written.endswith("Answer:"):
            tail = written.removesuffix("Answer:").rpartition("= ")[2]
            return f" {tail[0] if tail[:1].isdigit() else 0}\n"
        return "1 + 1 = 2\n2 + 3 = 5\nAnswer: 5\n" if not written else ""

    model = ScriptedModel(by_sign, name="by-sign")
    found = planted(model, Task("one", (Problem("p", "Count.", "5"),)), ["paraphrase"])
    assert values(found, "paraphrase_flips") == [1.0]
    assert values(found, "paraphrase_flips_words") == [1.0]
    assert values(found, "paraphrase_stable_fraction") == [1.0]
    assert values(found, "paraphrase_margin")[0] > 1


def test_sign_is_the_same_for_all() -> None:
    assert {(metric.higher_means, metric.direction) for metric in Paraphrase.metrics} == {(FRAGILE, "down")}
    assert all(METRICS[metric.name] is metric for metric in Paraphrase.metrics)


def test_no_rule_is_a_reason_and_not_a_zero(planted) -> None:
    def prose(question: str, written: str) -> str:
        if written.endswith("Answer:"):
            return " 5\n"
        return "Tom walks home.\nThen he counts.\nAnswer: 5\n" if not written else ""

    found = planted(ScriptedModel(prose, name="prose"), Task("one", (Problem("p", "Count.", "5"),)), ["paraphrase"])
    assert len(found.scores) == len(Paraphrase.metrics)
    assert all(score.value is None and "proposer" in score.reason for score in found.scores)


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_stable_fraction_over_all_cuts_is_that_of_the_curve(same: list[bool]) -> None:
    from soundness.metrics.early import stable_fraction

    points = list(enumerate(same))
    assert stable_from(points, len(same)) == stable_fraction([*same, True])
