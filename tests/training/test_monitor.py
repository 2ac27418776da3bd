from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from soundness.errors import MetricError, SettingError
from soundness.records import Estimate, Problem
from soundness.tasks.base import Task
from soundness.training import monitor as monitors
from soundness.training import rlvr, sft
from soundness.training.methods import train
from soundness.training.model_in_training import ModelInTraining
from soundness.training.monitor import SoundnessMonitor
from soundness.training.policy import Policy
from soundness.training.session import TrainingStep
from soundness.training.settings import Settings
from soundness.training.snapshot import MOSTLY, Loss, Snapshot

SETTINGS = Settings(batch_size=8, max_steps=4, learning_rate=1e-2, device="cpu", lora_rank=4)
NAMES = {f"soundness/{name}" for name in ("info_gain", "swap_reliance", "ece", "length_tokens", "accuracy", "cut_off")}


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


def monitor(task: Task, **options: Any) -> SoundnessMonitor:
    """Watches as many heads as tails: a chain is only swapped with one that answers otherwise."""
    problems = tuple(Problem(str(i), f"Toss {i % 8}.", str(i % 2), steps=(f"0 + {i % 2} = {i % 2}",)) for i in range(12))
    return SoundnessMonitor(
        replace(task, problems=problems), **{"every": 2, "limit": None, "max_tokens": 24, "temperature": 1.0, **options}
    )


@pytest.fixture(scope="module")
def plain(coin_model: Path, coin_task: Task, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training without a monitor."""
    return train("sft", str(coin_model), coin_task, out=tmp_path_factory.mktemp("plain") / "out", settings=SETTINGS)


def test_values_stand_beside_the_loss_under_the_audits_names(
    coin_model: Path, coin_task: Task, tmp_path: Path, plain: Path
) -> None:
    told: list[str] = []
    watcher = monitor(coin_task, on_progress=lambda what, done, total: told.append(what))
    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS, monitor=watcher)
    note, found = record(out), record(out)["monitor"]
    assert note["losses"] == pytest.approx(record(plain)["losses"], abs=1e-6)  # being watched changes nothing
    logged = [step for step in note["history"] if "soundness/accuracy" in step]
    assert [step["step"] for step in logged] == [2, 4]
    assert set(found["base"]) >= NAMES
    # Once all chains say the same there is no other chain to swap with, and reliance on it is unknown, not 0.
    assert set(logged[0]) >= NAMES - {"soundness/swap_reliance"}
    for name in ("info_gain", "length_tokens"):
        low, value, high = (logged[0][f"soundness/{name}{end}"] for end in ("_low", "", "_high"))
        assert low <= value <= high
        assert logged[0][f"soundness/base/{name}"] == found["base"][f"soundness/{name}"]  # the line to fall from
    assert [row["step"] for row in found["snapshots"]] == [2, 4]
    assert found["base"]["soundness/length_tokens"] > 10
    assert "beyond the noise" in found["words"]
    assert watcher.reference is not None
    assert found["seconds"] >= sum(one.seconds for one in (watcher.reference, *watcher.snapshots)) - 1e-3
    # Nobody waits in silence for the first step.
    assert told.index("soundness monitor, base: sampling") < told.index("soundness monitor, step 2: sampling")


@pytest.mark.parametrize("adaptation", ["full", "bias"])
def test_watching_changes_nothing(coin_model: Path, coin_task: Task, tmp_path: Path, adaptation: Any) -> None:
    settings = replace(SETTINGS, adaptation=adaptation, max_steps=3)
    without, watched = (
        record(train("sft", str(coin_model), coin_task, out=tmp_path / name, settings=settings, monitor=watcher))
        for name, watcher in (("plain", None), ("watched", monitor(coin_task, every=1)))
    )
    assert watched["losses"] == pytest.approx(without["losses"], abs=1e-6)
    assert len(set(without["losses"])) > 1  # the first step only warms up


def test_it_watches_samplers_too(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    config = rlvr.Config(policy=Policy(num_generations=8, max_tokens=24, preflight=0))
    settings = replace(SETTINGS, max_steps=3)
    without, watched = (
        record(
            train("rlvr", str(coin_model), coin_task, out=tmp_path / name, config=config, settings=settings, monitor=watcher)
        )
        for name, watcher in (("plain", None), ("watched", monitor(coin_task, every=2)))
    )
    assert [step["reward"] for step in watched["history"]] == [step["reward"] for step in without["history"]]
    assert "reward" in watched["history"][1]
    assert "soundness/accuracy" in watched["history"][1]


def test_training_ends_once_reasoning_is_lost(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    watcher = monitor(coin_task, every=1, stop_when_lost=True, patience=2, metrics=["accuracy"])
    watcher.losses = lambda now: [Loss("info_gain_over_swap", 2.0, 1.0)] if now.step >= 2 else []  # type: ignore[method-assign]
    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", settings=SETTINGS, monitor=watcher)
    assert record(out)["num_steps"] == 3
    assert record(out)["monitor"]["lost"] == ["info_gain_over_swap"]
    assert "lost beyond the noise: info_gain_over_swap 2.00 -> 1.00" in record(out)["monitor"]["words"]


def test_a_model_that_writes_no_steps_any_more_has_lost_its_reasoning(
    coin_model: Path, coin_task: Task, tmp_path: Path
) -> None:
    """Labels alone: nothing is left that information or reliance could be measured on."""
    watcher = monitor(coin_task, every=40, stop_when_lost=True, patience=1)
    settings = replace(SETTINGS, max_steps=60, adaptation="full", learning_rate=1e-3)
    config = sft.Config(target="label")
    out = train("sft", str(coin_model), coin_task, out=tmp_path / "out", config=config, settings=settings, monitor=watcher)
    note = record(out)
    (last,) = note["monitor"]["snapshots"]
    assert note["num_steps"] == last["step"] == 40
    assert note["monitor"]["base"]["soundness/no_steps"] == 0 < MOSTLY < last["soundness/no_steps"]
    assert note["monitor"]["lost"] == ["no_steps"]


def test_what_counts_as_lost_can_be_chosen(coin_task: Task) -> None:
    def taken(gain: float, reliance: float) -> Snapshot:
        values = {
            name: {str(i): level for i in range(20)} for name, level in (("info_gain", gain), ("swap_reliance", reliance))
        }
        return Snapshot(1, values, {name: Estimate(by["0"], by["0"], by["0"], 20, 0) for name, by in values.items()}, 20, 0.1)

    watcher = monitor(coin_task)
    watcher.reference = taken(2.0, 0.5)
    assert [loss.metric for loss in watcher.losses(taken(1.0, 0.2))] == ["swap_reliance"]
    watcher = monitor(coin_task, lost_by=["info_gain"])
    watcher.reference = taken(2.0, 0.5)
    assert [loss.metric for loss in watcher.losses(taken(1.0, 0.2))] == ["info_gain"]


# In a trainer of one's own


def own_trainer(coin_model: Path, coin_task: Task, folder: Path, **options: Any) -> Any:
    """A plain script's trainer."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from soundness.training.data import build_examples

    tokenizer = AutoTokenizer.from_pretrained(coin_model)
    rows = build_examples(coin_task, "rationale", tokenizer)
    data = Dataset.from_dict({"input_ids": [one.input_ids for one in rows], "labels": [one.labels for one in rows]})
    plainly = {"max_length": None, "use_cpu": True, "gradient_checkpointing": False, "report_to": "none"}
    chosen = {"max_steps": 2, "per_device_train_batch_size": 4, "bf16": False, "disable_tqdm": True, "logging_steps": 1}
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(coin_model, dtype=torch.float32),
        args=SFTConfig(output_dir=str(folder), **{**plainly, **chosen, **options}),
        train_dataset=data,
        eval_dataset=data,
        processing_class=tokenizer,
    )


class Tracker:
    """Stands for W&B: remembers what it is told, once it has been set up."""

    def __new__(cls) -> Any:
        from transformers import TrainerCallback

        class Callback(TrainerCallback):
            told: list[tuple[int, dict[str, float]]] = []
            ready = False

            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                self.ready = True

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                assert self.ready
                self.told.append((state.global_step, dict(logs)))

        return Callback()


def test_a_tracker_gets_the_values_of_step_0_too(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    trainer = own_trainer(coin_model, coin_task, tmp_path)
    tracker = Tracker()
    trainer.add_callback(tracker)
    watcher = monitor(coin_task).attach(trainer)
    trainer.train()
    assert watcher.reference is not None
    steps = {step: logs for step, logs in tracker.told if "soundness/info_gain" in logs}
    assert list(steps) == [0, 2]
    assert {name: steps[0][name] for name in NAMES} == {name: watcher.values(watcher.reference)[name] for name in NAMES}
    assert "loss" in steps[2]
    assert [entry["step"] for entry in trainer.state.log_history if "soundness/accuracy" in entry] == [0, 2]


def test_the_history_has_them_where_the_monitor_is_only_a_callback(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    trainer = own_trainer(coin_model, coin_task, tmp_path)
    trainer.add_callback(monitor(coin_task, metrics=["accuracy"]))
    trainer.train()
    assert [entry["step"] for entry in trainer.state.log_history if "soundness/accuracy" in entry] == [0, 2]


def test_under_mixed_precision_it_reads_packed(
    coin_model: Path, coin_task: Task, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """TRL's default: float32 weights, multiplied in bfloat16. What is computed twice then differs by what rounding does."""
    trainer = own_trainer(coin_model, coin_task, tmp_path, bf16=True)
    watcher = monitor(coin_task).attach(trainer)
    with caplog.at_level(logging.WARNING, "soundness"):
        trainer.train()
    assert watcher._model is not None
    assert watcher._model.dtype == torch.bfloat16
    assert watcher._model.choice is not None and watcher._model.choice.reader == "packed"
    assert not caplog.records
    assert len(watcher.snapshots) == 1


def test_the_best_checkpoint_can_be_chosen_by_it(coin_model: Path, coin_task: Task, tmp_path: Path) -> None:
    evaluated = {"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1, "load_best_model_at_end": True}
    chosen = {"metric_for_best_model": "soundness/info_gain", "greater_is_better": True}
    trainer = own_trainer(coin_model, coin_task, tmp_path, **evaluated, **chosen)
    trainer.add_callback(monitor(coin_task, every=100))
    trainer.train()
    assert trainer.state.best_metric is not None
    assert trainer.state.best_model_checkpoint is not None
    assert any("eval_soundness/info_gain" in entry for entry in trainer.state.log_history)


def test_a_run_that_goes_on_is_held_against_the_base_of_the_first(
    coin_model: Path, coin_task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, save_every=2, adaptation="full", learning_rate=1e-3)

    def kill(step: TrainingStep) -> None:
        if step.step == 3:
            raise KeyboardInterrupt

    def run(watcher: SoundnessMonitor, on_step: Callable[[TrainingStep], None] | None = None) -> Path:
        out = tmp_path / "out"
        return train("sft", str(coin_model), coin_task, out=out, settings=settings, monitor=watcher, on_step=on_step)

    first = monitor(coin_task, every=2, metrics=["info_gain"])
    with pytest.raises(KeyboardInterrupt):
        run(first, kill)
    second = monitor(coin_task, every=2, metrics=["info_gain"])
    monkeypatch.setattr(second, "_take_reference", lambda: pytest.fail("measured the base again"))
    out = run(second)
    assert second.reference == first.reference
    assert [row["step"] for row in record(out)["monitor"]["snapshots"]] == [2, 4]
    assert not list(out.rglob("soundness_monitor.json"))


# How long it may take


def snapshot_of(step: int, num_problems: int, seconds: float) -> Snapshot:
    values = {"swap_reliance": {str(i): 0.5 for i in range(num_problems)}}
    return Snapshot(step, values, {"swap_reliance": Estimate(0.5, 0.4, 0.6, num_problems, 0)}, num_problems, seconds)


class Clock:
    """Time that passes where a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now


def run_on(clock: Clock, watcher: SoundnessMonitor, module: Any, step_seconds: list[float], **start: int) -> list[int]:
    """Train for as many steps as there are times; return the steps that were looked at."""
    state = SimpleNamespace(
        log_history=[], global_step=start.get("from_step", 0), max_steps=start.get("from_step", 0) + len(step_seconds)
    )
    control = SimpleNamespace(should_log=False, should_training_stop=False)
    tokenizer = SimpleNamespace(eos_token_id=0)
    watcher.on_train_begin(None, state, control, model=module, processing_class=tokenizer)
    for seconds in step_seconds:
        clock.now += seconds
        state.global_step += 1
        watcher.on_step_end(None, state, control)
    return [one.step for one in watcher.snapshots]


@pytest.fixture
def costly(coin_task: Task, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make a monitor whose snapshots take as long as said and whose intervals take 0.1 s, on a clock of its own."""

    def make(seconds_each: float = 1.0, grown: float = 1.0, **options: Any) -> tuple[Clock, SoundnessMonitor]:
        clock = Clock()
        monkeypatch.setattr(monitors, "time", clock)
        watcher = monitor(coin_task, **{"every": None, "seconds_per_snapshot": None, **options})
        seconds = [seconds_each]

        def measure(model: Any, problems: Task, step: int) -> Snapshot:
            taken, seconds[0] = seconds[0] * len(problems.problems) / 12, seconds[0] * grown
            clock.now += taken
            return snapshot_of(step, len(problems.problems), taken)

        def losses(now: Snapshot) -> list[Loss]:
            clock.now += 0.1
            return []

        watcher._measure = measure  # type: ignore[method-assign]
        watcher.losses = losses  # type: ignore[method-assign]
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
    assert watcher.seconds <= 0.05 * 2000 + 0.21 * watcher.snapshots[-1].seconds


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


def test_no_snapshot_takes_longer_than_it_may(costly: Any, module: Any, caplog: pytest.LogCaptureFixture) -> None:
    clock, watcher = costly(seconds_each=12.0, every=10, seconds_per_snapshot=7.0)  # a second for each of 12 problems
    with caplog.at_level(logging.WARNING, "soundness"):
        run_on(clock, watcher, module, [1.0] * 30)
    assert watcher.reference is not None
    assert [one.num_problems for one in (watcher.reference, *watcher.snapshots)] == [7, 7, 7, 7]
    assert all(one.seconds <= 7.0 for one in watcher.snapshots)
    (said,) = watcher.notes
    assert said.startswith("the monitor measures 7 of 12 problems: one takes 1.0 s and a snapshot may take 7 s")
    assert [record.message for record in caplog.records] == [said]


def test_snapshots_that_grow_longer_measure_fewer_problems(costly: Any, module: Any) -> None:
    clock, watcher = costly(seconds_each=3.0, grown=1.5, every=10, seconds_per_snapshot=7.0)
    run_on(clock, watcher, module, [1.0] * 60)
    counts = [one.num_problems for one in watcher.snapshots]
    assert counts[0] == 12 > counts[-1]
    # How much longer one problem takes than at the last snapshot is known to nobody in time.
    assert all(one.seconds <= 7.0 * 1.5 for one in watcher.snapshots)
    assert "measures" in watcher.notes[-1]


def test_few_problems_that_are_slow_are_measured_all_the_same(costly: Any, module: Any) -> None:
    clock, watcher = costly(seconds_each=120.0, every=10, seconds_per_snapshot=7.0)
    run_on(clock, watcher, module, [1.0] * 10)
    assert [one.num_problems for one in watcher.snapshots] == [1]


def test_problems_that_say_nothing_are_refused_before_training(
    coin_model: Path, coin_task: Task, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "out"
    with pytest.raises(
        MetricError, match=r"could be scored on coins: 100% of the chains were cut off at max_tokens=3: raise it"
    ):
        train("sft", str(coin_model), coin_task, out=out, settings=SETTINGS, monitor=monitor(coin_task, max_tokens=3))
    assert not out.exists()
    watcher = monitor(coin_task, max_tokens=3, metrics=["accuracy"])
    with caplog.at_level(logging.WARNING, "soundness"):
        train("sft", str(coin_model), coin_task, out=out, settings=replace(SETTINGS, max_steps=1), monitor=watcher)
    assert "knows little of coins: 100% of the chains were cut off" in watcher.notes[0]


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
    for options, words in (
        ({"every": 0}, "every must be at least 1, and it is 0"),
        ({"limit": 0}, "limit must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"seconds_per_snapshot": 0}, "seconds_per_snapshot must be above 0"),
    ):
        with pytest.raises(SettingError, match=words):
            monitor(coin_task, **options)
    with pytest.raises(MetricError, match="unknown metric"):
        monitor(coin_task, metrics=["info_gian"])


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
train("sft", sys.argv[1], task, out=sys.argv[2], settings=settings, monitor=SoundnessMonitor(task, every=1, max_tokens=16))
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
    assert [one["step"] for one in note["monitor"]["snapshots"]] == [1, 2, 3]
    assert note["num_steps"] == 3
