from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.metrics.judgement import Judgement
from soundness.metrics.knowledge import NO_JUDGE, Knowledge


def unread(probe: object) -> None:
    raise AssertionError("nothing is read")


def test_true_none_false_error(planted) -> None:
    case = planted("computes", "lookup:hops=2", ["knowledge"], limit=1).cases[0]
    judged = tuple(Judgement(i, word) for i, word in enumerate(("true", "none", "false", "missing")))
    values = {value.metric: value.number for value in Knowledge().values(replace(case, judgements=judged), unread)}
    assert values == {"knowledge_index": 0.5, "knowledge_coverage": 0.5, "knowledge_failed": 0.25}


def test_no_fact_at_all_is_not_false(planted) -> None:
    case = planted("computes", "lookup:hops=2", ["knowledge"], limit=1).cases[0]
    found = {v.metric: v for v in Knowledge().values(replace(case, judgements=(Judgement(0, "none"),)), unread)}
    assert found["knowledge_index"].number is None and found["knowledge_index"].reason
    assert found["knowledge_coverage"].number == 0.0


def test_lookup_is_judged_exactly(planted, values) -> None:
    right = planted("computes", "lookup:hops=3", ["knowledge"], limit=12)
    assert values(right, "knowledge_index") == [1.0] * 12 and values(right, "knowledge_coverage") == [1.0] * 12
    slips = planted("computes?slip=1", "lookup:hops=3", ["knowledge"], limit=12)
    assert values(slips, "knowledge_index") == pytest.approx([2 / 3] * 12)


def test_a_model_that_ignores_its_chain_knows_as_much(planted, values) -> None:
    assert values(planted("ignores-chain", "lookup:hops=2", ["knowledge"]), "knowledge_index") == [1.0] * 6


def test_sums_are_judged_exactly(planted, values) -> None:
    assert values(planted("computes", "chain-sum", ["knowledge"]), "knowledge_index") == [1.0] * 6
    slips = planted("computes?slip=1", "chain-sum:operators=4", ["knowledge"])
    assert values(slips, "knowledge_index") == pytest.approx([3 / 4] * 6)


def test_without_a_judge_there_is_a_reason(planted, monkeypatch) -> None:
    monkeypatch.setattr("soundness.scoring.facts.puzzle_of", lambda problem: None)
    found = planted("computes", "chain-sum", ["knowledge"])
    assert {score.reason for score in found.scores} == {NO_JUDGE}
