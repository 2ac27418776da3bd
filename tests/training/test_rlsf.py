from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soundness.errors import ModelError, SettingError
from soundness.tasks.base import Task
from soundness.training.methods import train
from soundness.training.policy import Policy
from soundness.training.rlsf import Config, Trace, longest_match, majority, rank, span_confidence
from soundness.training.settings import Settings

SETTINGS = Settings(batch_size=4, max_steps=6, learning_rate=1e-3, device="cpu", lora_rank=4)
CONFIG = Config(num_traces=3, max_tokens=24, threshold=0.3)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def trace(confidence: float, answer: str = "1", problem: str = "0") -> Trace:
    return Trace(problem, (1, 2), answer, confidence, confidence > 0, "stop")


def test_the_longest_run_of_tokens_is_found() -> None:
    assert longest_match([5, 6], [1, 5, 6, 2]) == (1, 3)
    assert longest_match([5, 6, 7], [5, 6, 9, 6, 7]) == (3, 5)  # the last of equals
    assert longest_match([5, 6], [6, 5]) == (1, 2)
    assert longest_match([5], [1, 2]) is None
    assert longest_match([], [1, 2]) is None


def test_confidence_on_constructed_logits() -> None:
    # p = .7, .2, .1 at the first token of the span; .5, .5, 0 at the second.
    logits = torch.log(torch.tensor([[0.1, 0.1, 0.8], [0.7, 0.2, 0.1], [0.5, 0.5, 1e-30]]))
    ids, answer = [2, 0, 1], [0, 1]
    assert span_confidence(logits, ids, answer, "margin") == (pytest.approx((0.5 + 0.0) / 2, abs=1e-6), True)
    assert span_confidence(logits, ids, answer, "probability") == (pytest.approx((0.7 + 0.5) / 2), True)
    entropy = -(0.7 * math.log(0.7) + 0.2 * math.log(0.2) + 0.1 * math.log(0.1))
    wanted = 1 - (entropy + math.log(2)) / 2 / math.log(3)
    assert span_confidence(logits, ids, answer, "entropy") == (pytest.approx(wanted, abs=1e-5), True)
    assert span_confidence(logits, ids, [9], "margin") == (0.0, False)
    with pytest.raises(SettingError, match="did you mean 'margin'"):
        span_confidence(logits, ids, answer, "margins")


def test_pairs_and_their_margins() -> None:
    traces = [trace(0.95), trace(0.9, "0"), trace(0.5), trace(0.0, problem="1"), trace(0.99, problem="2")]
    pairs = rank(traces, Config())
    assert [(one.chosen.confidence, one.rejected.confidence) for one in pairs] == [(0.95, 0.9), (0.95, 0.5), (0.9, 0.5)]
    assert pairs[1].margin == pytest.approx(math.exp(0.45))
    assert len(rank(traces, Config(same_answer_pairs=False))) == 2
    assert rank(traces, Config(threshold=1.0)) == []


def test_the_majority_is_preferred(coin_task: Task) -> None:
    pairs = majority(coin_task, [trace(0.1), trace(0.2), trace(0.9, "0"), trace(0.9, "0", problem="1")])
    assert {(one.chosen.answer, one.rejected.answer) for one in pairs} == {("1", "0")}
    assert len(pairs) == 2


@pytest.mark.parametrize("baseline", ["none", "sft_confident", "majority"])
def test_it_trains(coin_model: Path, coin_task: Task, tmp_path: Path, baseline: Any) -> None:
    out = train(
        "rlsf", str(coin_model), coin_task, out=tmp_path / "out", config=replace(CONFIG, baseline=baseline), settings=SETTINGS
    )
    note = record(out)
    assert note["num_traces"] == 24
    assert 0 <= note["ece"] <= 1
    assert 0 <= note["share_without_span"] < 1
    assert sum(note["losses"][-2:]) < sum(note["losses"][:2])  # two steps are one pass over the problems
    if baseline != "sft_confident":
        assert note["losses"][0] == pytest.approx(math.log(2), abs=1e-3)  # DPO at the start
        assert note["history"][-1]["rewards/margins"] > 0


def test_a_reward_model_is_climbed(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    policy = Policy(num_generations=4, max_tokens=20, beta=0.05, preflight=0)
    config = replace(CONFIG, learn="reward", policy=policy)
    out = train(
        "rlsf",
        str(coin_model),
        coin_task,
        out=tmp_path / "out",
        config=config,
        settings=replace(SETTINGS, max_steps=2, batch_size=8),
    )
    note = record(out)
    assert len(note["reward_losses"]) == 2
    assert (out / "reward_model" / "adapter_model.safetensors").is_file()
    assert len({step["reward"] for step in note["history"]}) == 2


def test_no_confident_trace_is_an_error(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no pair of traces can be ranked: 0 of 24"):
        train(
            "rlsf", str(coin_model), coin_task, out=tmp_path / "out", config=replace(CONFIG, threshold=1.0), settings=SETTINGS
        )
    with pytest.raises(SettingError, match="num_traces must be at least 2"):
        train("rlsf", str(coin_model), coin_task, out=tmp_path / "out", config=Config(num_traces=1), settings=SETTINGS)
