from __future__ import annotations

import pytest

from soundness.studies.cost import Part, estimate_cost
from soundness.tasks.base import load_task


def test_a_part_by_hand():
    assert Part("reads", tokens=300.0, tokens_per_second=100.0).seconds == 3.0


def test_cost_grows_with_the_problems_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tuned = ["scripted:dial:0.5"]
    options = {"metrics": ["info_gain", "early_answering"], "noise_floor": False}
    small, large = (estimate_cost("scripted:computes", tuned, load_task("chain-sum", limit=n), **options) for n in (8, 80))
    assert {part.name for part in small.parts} == {
        "scripted:computes writes",
        "scripted:computes reads",
        "scripted:dial:0.5 writes",
        "scripted:dial:0.5 reads",
    }
    for one, two in zip(small.parts, large.parts, strict=True):
        assert one.tokens > 0
        assert two.tokens == pytest.approx(10 * one.tokens, rel=0.05), one.name
    assert small.seconds == pytest.approx(sum(part.seconds for part in small.parts))
    assert list(tmp_path.iterdir()) == []


def test_more_metrics_cost_more():
    problems = load_task("chain-sum", limit=8)
    few, many = (
        sum(
            part.tokens
            for part in estimate_cost("scripted:computes", ["scripted:random"], problems, metrics=m, noise_floor=False).parts
        )
        for m in (["info_gain"], ["info_gain", "early_answering", "filler", "mistake", "mistake_regenerated"])
    )
    assert many > 1.3 * few
