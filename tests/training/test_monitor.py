from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from soundness.comparison.verdict import THRESHOLDS
from soundness.errors import MetricError, SettingError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.training import monitor as monitors
from soundness.training import rlvr, sft
from soundness.training.methods import train
from soundness.training.model_in_training import ModelInTraining
from soundness.training.monitor import Look, SoundnessMonitor, calibration_error
from soundness.training.policy import Policy
from soundness.training.settings import Settings

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
    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS, monitor=watcher)
    note = record(out)
    logged = [step["step"] for step in note["history"] if "soundness/accuracy" in step]
    assert logged == [2, 4, 6]
    assert set(note["monitor"]["base"]) >= NAMES
    # Once all chains say the same there is no other chain to swap with, and the gain over it is unknown, not 0.
    assert set(note["history"][-1]) >= NAMES - {"soundness/info_gain"}
    assert [one["step"] for one in note["monitor"]["looks"]] == [2, 4, 6]
    assert note["monitor"]["base"]["soundness/length"] > 10
    assert "beyond the noise" in note["monitor"]["words"]
    assert watcher.reference is not None
    assert note["monitor"]["seconds"] >= sum(one.seconds for one in (watcher.reference, *watcher.looks)) - 1e-3


@pytest.mark.parametrize("adaptation", ["lora", "full", "bias"])
def test_watching_changes_nothing(coin_model: Path, coin_task: Task, tmp_path: Path, adaptation: Any) -> None:
    settings = replace(SETTINGS, adaptation=adaptation, max_steps=4)
    plain, watched = (
        record(train("sft", str(coin_model), coin_task, out=tmp_path / name, settings=settings, monitor=watcher))
        for name, watcher in (("plain", None), ("watched", monitor(coin_task, every=1)))
    )
    assert watched["losses"] == plain["losses"]


def test_it_watches_samplers_too(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    config = rlvr.Config(policy=Policy(num_generations=8, max_tokens=24, preflight=0))
    plain, watched = (
        record(
            train("rlvr", str(coin_model), coin_task, out=tmp_path / name, config=config, settings=SETTINGS, monitor=watcher)
        )
        for name, watcher in (("plain", None), ("watched", monitor(coin_task, every=3)))
    )
    assert [step["reward"] for step in watched["history"]] == [step["reward"] for step in plain["history"]]
    assert "reward" in watched["history"][2]
    assert "soundness/accuracy" in watched["history"][2]


def test_training_ends_once_reasoning_is_lost(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    watcher = monitor(coin_task, every=1, stop_when_lost=True, patience=2)
    watcher.fell = lambda one: ["info_gain_over_swap"] if one.step >= 2 else []  # type: ignore[method-assign]
    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS, monitor=watcher)
    assert record(out)["num_steps"] == 3


def test_a_model_that_writes_no_steps_any_more_has_lost_its_reasoning(
    coin_model: Path, coin_task: Task, tmp_path: Path
) -> None:
    """Labels alone: nothing is left that information or reliance could be measured on."""
    watcher = monitor(coin_task, every=10, stop_when_lost=True)
    settings = replace(SETTINGS, max_steps=60, adaptation="full", learning_rate=1e-3)
    out = train(
        "sft",
        str(coin_model),
        coin_task,
        out=tmp_path / "out",
        config=sft.Config(target="label"),
        settings=settings,
        monitor=watcher,
    )
    note = record(out)
    last = note["monitor"]["looks"][-1]
    assert note["num_steps"] == last["step"] < 60
    assert note["monitor"]["base"]["soundness/no_steps"] == 0 < THRESHOLDS.silence < last["soundness/no_steps"]
    assert note["monitor"]["lost"] == ["no_steps"]
    assert "lost beyond the noise: share of answers without steps 0.00 -> " in note["monitor"]["words"]


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

    def silent(num: int) -> Look:
        return Look(1, {"no_steps": {str(i): float(i < num) for i in range(20)}}, None, 0.1)

    watcher.reference = silent(2)
    assert watcher.fell(silent(20)) == watcher.fell(silent(17)) == ["no_steps"]
    assert watcher.fell(silent(11)) == []  # the rule, within noise
    watcher.reference = silent(18)
    assert watcher.fell(silent(20)) == []  # there was nothing to lose


class Clock:
    """Time that passes where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def run_on(clock: Clock, watcher: SoundnessMonitor, module: Any, step_seconds: list[float], **start: int) -> list[int]:
    """Train for as many steps as there are times; return the steps that were looked at."""
    state = SimpleNamespace(global_step=start.get("from_step", 0), max_steps=start.get("from_step", 0) + len(step_seconds))
    control = SimpleNamespace(should_log=False, should_training_stop=False)
    tokenizer = SimpleNamespace(eos_token_id=0)
    watcher.on_train_begin(None, state, control, model=module, processing_class=tokenizer)
    for seconds in step_seconds:
        clock.now += seconds
        state.global_step += 1
        watcher.on_step_end(None, state, control)
    return [one.step for one in watcher.looks]


@pytest.fixture
def costly(coin_task: Task, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a monitor whose looks take as long as said and whose intervals take 0.1 s, on a clock of its own."""

    def make(look_seconds: float = 1.0, grown: float = 1.0, **options: Any) -> tuple[Clock, SoundnessMonitor]:
        clock = Clock()
        monkeypatch.setattr(monitors, "time", clock)
        watcher = monitor(coin_task, **{"every": None, **options})
        seconds = [look_seconds]

        def look_at(model: Any, step: int) -> Look:
            taken, seconds[0] = seconds[0], seconds[0] * grown
            clock.now += taken
            return Look(step, {"swap_reliance": {"a": 0.5}}, None, taken)

        def fell(one: Look) -> list[str]:
            clock.now += 0.1
            return []

        watcher._look_at = look_at  # type: ignore[method-assign]
        watcher.fell = fell  # type: ignore[method-assign]
        return clock, watcher

    return make


@pytest.fixture
def module(coin_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(coin_model)


@pytest.mark.parametrize(
    "step_seconds",
    [[1.0] * 1000, [0.1] * 10_000, [10.0] * 50 + [1.0] * 500, [1.0] * 500 + [10.0] * 50, [0.01] * 5 + [1.0] * 1000],
    ids=["even", "short steps", "quicker later", "slower later", "slower at once"],
)
def test_by_default_all_it_does_takes_a_twentieth_of_the_training(costly: Any, module: Any, step_seconds: list[float]) -> None:
    clock, watcher = costly()
    looked_at = run_on(clock, watcher, module, step_seconds)
    training = sum(step_seconds)
    assert watcher.seconds == pytest.approx(clock.now - training)
    assert 0.04 * training < watcher.seconds <= 0.05 * training
    assert watcher.seconds == pytest.approx(1 + 1.1 * len(looked_at))
    assert looked_at[-1] == len(step_seconds)


def test_a_short_training_is_looked_at_before_and_after_only(costly: Any, module: Any) -> None:
    clock, watcher = costly()
    assert run_on(clock, watcher, module, [1.0] * 59) == [59]  # 1 s at the base, 1 s for each look: a second needs 60 s
    clock, watcher = costly()
    assert len(run_on(clock, watcher, module, [1.0] * 65)) == 2
    assert watcher.seconds <= 0.05 * 65


def test_looks_that_grow_longer_become_rarer(costly: Any, module: Any) -> None:
    clock, watcher = costly(grown=1.1)
    looked_at = run_on(clock, watcher, module, [1.0] * 2000)
    assert len(looked_at) > 5
    # What the last look takes beyond the one before it is known to nobody in time.
    assert watcher.seconds <= 0.05 * 2000 + 0.21 * watcher.looks[-1].seconds


def test_a_second_training_is_paid_for_anew(costly: Any, module: Any) -> None:
    clock, watcher = costly()
    first = run_on(clock, watcher, module, [1.0] * 500)
    clock.now += 10_000
    both = run_on(clock, watcher, module, [1.0] * 500)
    assert watcher.seconds <= 0.05 * 500
    assert len(both) in (2 * len(first), 2 * len(first) + 1)  # the base has been looked at


@pytest.mark.parametrize(("every", "steps"), [(30, [120, 150, 155]), (None, [155])])
def test_a_resumed_training_goes_on_where_it_was(costly: Any, module: Any, every: int | None, steps: list[int]) -> None:
    clock, watcher = costly(every=every)
    assert run_on(clock, watcher, module, [1.0] * 55, from_step=100) == steps


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
    live = ModelInTraining(module, AutoTokenizer.from_pretrained(coin_model))
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
from soundness.training.settings import Settings
from soundness.training.monitor import SoundnessMonitor

task = Task("coins", tuple(Problem(str(i), f"Toss {i}.", "1", steps=("0 + 1 = 1",)) for i in range(8)), instruction="")
settings = Settings(batch_size=8, max_steps=3, learning_rate=1e-2, device="cpu", lora_rank=4)
train("sft", sys.argv[1], task, out=sys.argv[2], settings=settings, monitor=SoundnessMonitor(None, task, every=1, max_tokens=16))
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
