from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from soundness.errors import MetricError, SettingError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.training import rlvr, sft
from soundness.training.common import Settings
from soundness.training.live import LiveModel
from soundness.training.monitor import Look, SoundnessMonitor, calibration_error
from soundness.training.policy import Policy

SETTINGS = Settings(batch_size=8, max_steps=6, learning_rate=1e-2, device="cpu", lora_rank=4)
NAMES = {f"soundness/{name}" for name in ("info_gain", "reliance", "ece", "length", "accuracy")}


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def monitor(task: Task, **options: Any) -> SoundnessMonitor:
    """Watches a panel with as many heads as tails: a chain is only swapped with one that answers otherwise."""
    problems = tuple(Problem(str(i), f"Toss {i % 8}.", str(i % 2), steps=(f"0 + {i % 2} = {i % 2}",)) for i in range(24))
    return SoundnessMonitor(
        None, replace(task, problems=problems), **{"every": 2, "limit": None, "max_tokens": 24, "temperature": 1.0, **options}
    )


def test_values_stand_beside_the_loss(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    watcher = monitor(coin_task)
    out = sft.train(str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS, monitor=watcher)
    note = record(out)
    logged = [step["step"] for step in note["history"] if "soundness/accuracy" in step]
    assert logged == [2, 4, 6]
    assert set(note["monitor"]["base"]) >= NAMES
    # Once all chains say the same there is no other chain to swap with, and the gain over it is unknown, not 0.
    assert set(note["history"][-1]) >= NAMES - {"soundness/info_gain"}
    assert [one["step"] for one in note["monitor"]["looks"]] == [2, 4, 6]
    assert note["monitor"]["base"]["soundness/length"] > 10
    assert "beyond the noise" in note["monitor"]["words"]


@pytest.mark.parametrize("adaptation", ["lora", "full", "bias"])
def test_watching_changes_nothing(coin_model: Path, coin_task: Task, tmp_path: Path, adaptation: Any) -> None:
    settings = replace(SETTINGS, adaptation=adaptation, max_steps=4)
    plain, watched = (
        record(sft.train(str(coin_model), coin_task, out=tmp_path / name, settings=settings, monitor=watcher))
        for name, watcher in (("plain", None), ("watched", monitor(coin_task, every=1)))
    )
    assert watched["losses"] == plain["losses"]


def test_it_watches_samplers_too(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    config = rlvr.Config(policy=Policy(num_generations=8, max_tokens=24, preflight=0))
    plain, watched = (
        record(rlvr.train(str(coin_model), coin_task, out=tmp_path / name, config=config, settings=SETTINGS, monitor=watcher))
        for name, watcher in (("plain", None), ("watched", monitor(coin_task, every=3)))
    )
    assert [step["reward"] for step in watched["history"]] == [step["reward"] for step in plain["history"]]
    assert "reward" in watched["history"][2]
    assert "soundness/accuracy" in watched["history"][2]


def test_training_ends_once_reasoning_is_lost(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    """Labels alone, fast: the model stops writing steps and the answer stops depending on them."""
    watcher = monitor(coin_task, every=1, stop_when_lost=True, patience=2)
    lower = watcher.fell
    watcher.fell = lambda one: ["info_gain_over_swap"] if one.step >= 2 else []  # type: ignore[method-assign]
    out = sft.train(str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS, monitor=watcher)
    assert record(out)["num_steps"] == 3
    assert lower(watcher.looks[-1]) is not None


def test_what_counts_as_a_fall(coin_task: Task) -> None:
    watcher = monitor(coin_task)

    def one(gain: float, spread: float = 0.0) -> Look:
        values = {str(i): gain + spread * (-1) ** i for i in range(20)}
        return Look(1, {"info_gain_over_swap": values, "swap_reliance": dict.fromkeys(values, 0.5)}, None, 0.1)

    watcher.reference = one(2.0)
    assert watcher.fell(one(1.0)) == ["info_gain_over_swap"]
    assert watcher.fell(one(1.9)) == []  # beyond noise, not material
    assert watcher.fell(one(1.7, spread=5.0)) == []  # material, within noise
    assert watcher.fell(one(2.5)) == []


def test_the_best_checkpoint_can_be_chosen_by_it(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from soundness.training.data import build_examples

    tokenizer = AutoTokenizer.from_pretrained(coin_model)
    rows = build_examples(coin_task, "rationale", tokenizer)
    data = Dataset.from_dict({"input_ids": [one.input_ids for one in rows], "labels": [one.labels for one in rows]})
    watcher = monitor(coin_task, every=100)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(coin_model),
        args=SFTConfig(
            output_dir=str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=4,
            eval_strategy="steps",
            eval_steps=1,
            save_steps=1,
            load_best_model_at_end=True,
            metric_for_best_model="soundness/info_gain",
            greater_is_better=True,
            max_length=None,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=data,
        eval_dataset=data,
        processing_class=tokenizer,
        callbacks=[watcher],
    )
    trainer.train()
    assert trainer.state.best_metric is not None
    assert trainer.state.best_model_checkpoint is not None
    assert any("eval_soundness/info_gain" in entry for entry in trainer.state.log_history)


def test_looking_leaves_no_trace(coin_model: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    module = AutoModelForCausalLM.from_pretrained(coin_model).train()
    module.model.layers[0].eval()
    before = {name: part.training for name, part in module.named_modules()}
    defaults = module.generation_config
    state = torch.get_rng_state()
    live = LiveModel(module, AutoTokenizer.from_pretrained(coin_model))
    live.generate([live.render("Toss 1.").ids], max_tokens=5, temperature=1.0, keys=["a"])
    assert {name: part.training for name, part in module.named_modules()} == before
    assert module.generation_config is defaults
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(parameter.is_inference() for parameter in module.parameters())


def test_senseless_monitors_are_refused(coin_task: Task) -> None:
    with pytest.raises(SettingError, match="every must be at least 1"):
        monitor(coin_task, every=0)
    with pytest.raises(MetricError, match="unknown metric"):
        monitor(coin_task, metrics=["info_gian"])
    assert calibration_error([], []) is None


_WORKER = """
import sys
from dataclasses import replace
from soundness.records import Problem
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.training import sft
from soundness.training.common import Settings
from soundness.training.monitor import SoundnessMonitor

task = Task("coins", tuple(Problem(str(i), f"Toss {i}.", "1", steps=("0 + 1 = 1",)) for i in range(8)), instruction="")
settings = Settings(batch_size=8, max_steps=3, learning_rate=1e-2, device="cpu", lora_rank=4)
sft.train(sys.argv[1], task, out=sys.argv[2], settings=settings, monitor=SoundnessMonitor(None, task, every=1, max_tokens=16))
"""


@pytest.mark.slow
def test_two_processes_do_not_wait_for_ever(coin_model: Path, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    script = tmp_path / "worker.py"
    script.write_text(_WORKER)
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--cpu",
        "--num_processes",
        "2",
        "--main_process_port",
        "29531",
    ]
    done = subprocess.run(
        [*command, str(script), str(coin_model), str(tmp_path / "out")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    note = record(tmp_path / "out")
    assert [one["step"] for one in note["monitor"]["looks"]] == [1, 2, 3]
    assert note["num_steps"] == 3
