"""A killed run that goes on is the run that was not killed, to the last step."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from soundness.errors import RunError
from soundness.tasks.base import Task
from soundness.training.methods import train
from soundness.training.session import TrainingStep
from soundness.training.settings import Settings

SETTINGS = Settings(batch_size=4, max_steps=7, learning_rate=1e-2, device="cpu", lora_rank=4, save_every=5)
POLICY = {"num_generations": 4, "max_tokens": 24, "preflight": 0}


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def lengths_that_differ(task: Task) -> Task:
    """The task with questions of several lengths, which examples are grouped by."""
    return replace(
        task, problems=tuple(replace(one, question="Well. " * i + one.question) for i, one in enumerate(task.problems))
    )


@pytest.mark.parametrize(
    ("method", "options", "settings"),
    [
        ("sft", {}, {}),  # 8 problems in batches of 4: two steps an epoch
        ("sft", {}, {"adaptation": "full", "learning_rate": 1e-3}),
        ("rlvr", {"policy": POLICY}, {"batch_size": 16}),  # 4 problems of 4 completions: two steps an epoch
        ("gain", {"policy": POLICY}, {"batch_size": 16}),
        ("rlsf", {"num_traces": 2, "max_tokens": 24, "threshold": 0.0}, {}),
    ],
    ids=["sft", "sft, all weights", "rlvr", "gain", "rlsf"],
)
def test_a_killed_run_ends_as_an_unbroken_one(
    coin_model: Path, coin_task: Task, tmp_path: Path, method: str, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    """Killed in the fourth epoch, gone on with from the middle of the third."""
    task, chosen = lengths_that_differ(coin_task), replace(SETTINGS, **settings)

    def kill(step: TrainingStep) -> None:
        if step.step == 6:
            raise KeyboardInterrupt

    whole = train(method, str(coin_model), task, out=tmp_path / "whole", config=options, settings=chosen)
    with pytest.raises(KeyboardInterrupt):
        train(method, str(coin_model), task, out=tmp_path / "out", config=options, settings=chosen, on_step=kill)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial" / "checkpoint-5").is_dir()
    with pytest.raises(RunError, match="unfinished run with another seed: use the settings of that run"):
        train(method, str(coin_model), task, out=tmp_path / "out", config=options, settings=replace(chosen, seed=1))
    out = train(method, str(coin_model), task, out=tmp_path / "out", config=options, settings=chosen)
    assert record(out)["resumed_from_step"] == 5
    losses, wanted = record(out)["losses"], record(whole)["losses"]
    assert len(set(wanted)) > 3, "nothing happens that could differ"
    assert losses == pytest.approx(wanted, abs=1e-5)
    for file in whole.glob("*.safetensors"):
        ours, theirs = load_file(out / file.name), load_file(file)
        assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in theirs)
        assert len(theirs) > 0
    assert list(whole.glob("*.safetensors"))
    assert not list(tmp_path.glob(".*")) and not list(out.glob("checkpoint-*"))


def test_every_epoch_has_an_order_of_its_own(coin_model: Path, coin_task: Task, tmp_path: Path, monkeypatch: Any) -> None:
    from trl import SFTTrainer

    seen: list[int] = []
    inner = SFTTrainer.compute_loss

    def spy(self: Any, model: Any, inputs: Any, **rest: Any) -> Any:
        seen.append(int(inputs["attention_mask"].sum()))
        return inner(self, model, inputs, **rest)

    monkeypatch.setattr(SFTTrainer, "compute_loss", spy)
    orders = []
    for seed in (0, 0, 1):
        seen.clear()
        settings = replace(SETTINGS, batch_size=1, max_steps=24, seed=seed, save_every=100)
        train("sft", str(coin_model), lengths_that_differ(coin_task), out=tmp_path / str(len(orders)), settings=settings)
        orders.append(list(seen))
    epochs = [orders[0][start : start + 8] for start in (0, 8, 16)]
    assert len(set(epochs[0])) == 8  # a length tells the problem
    assert {tuple(sorted(epoch)) for epoch in epochs} == {tuple(sorted(epochs[0]))}
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert orders[0] == orders[1] != orders[2]
