from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundness.errors import ModelError, SettingError
from soundness.tasks.base import Task
from soundness.training.methods import train
from soundness.training.policy import Policy
from soundness.training.rlsf import Config, majority, rank
from soundness.training.settings import Settings
from soundness.training.traces import Trace

SETTINGS = Settings(batch_size=4, max_steps=6, learning_rate=1e-3, device="cpu", lora_rank=4)
CONFIG = Config(num_traces=3, max_tokens=24, threshold=0.3)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def trace(confidence: float, answer: str = "1", problem: str = "0") -> Trace:
    return Trace(problem, (1, 2), answer, confidence, confidence > 0, "stop")


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
