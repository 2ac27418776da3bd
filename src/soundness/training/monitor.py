"""A small audit while a model is being trained: does it still reason?

    from soundness.training.monitor import SoundnessMonitor

    SoundnessMonitor("heldout.jsonl", every=50).attach(trainer)     # any transformers Trainer; then trainer.train()

Values are logged under `soundness/...` beside the loss, by the names that an audit gives them, with the ends of their intervals
(`..._low`, `..._high`) and the base's (`soundness/base/...`), so that a tracker draws the line to fall from. With evaluation switched
on they are in its metrics too: `metric_for_best_model="soundness/info_gain_over_swap"` works. Several processes: the first reads, the
others wait for what it measured.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from soundness.errors import MetricError, SettingError
from soundness.files import write_json
from soundness.metrics.base import MetricGroup
from soundness.models.base import Model
from soundness.models.load import load_model
from soundness.scoring.score import Sampling
from soundness.tasks.base import Task
from soundness.training.data import task_of
from soundness.training.model_in_training import ModelInTraining
from soundness.training.snapshot import (
    ALWAYS,
    MOSTLY,
    NO_STEPS,
    Loss,
    Snapshot,
    affordable,
    first_problems,
    logged_metrics,
    loss_of,
    take_snapshot,
)

__all__ = ["DEFAULT_METRICS", "LOST_BY", "SoundnessMonitor"]

log = logging.getLogger("soundness")

DEFAULT_METRICS = ("info_gain", "info_gain_over_swap", "swap_reliance", "filler_reliance", "ece")
"""What is read by default, beside accuracy and length."""

LOST_BY = ("info_gain_over_swap", "swap_reliance", "filler_reliance", NO_STEPS)
"""Metrics whose loss counts as lost reasoning by default."""

_SHARE_OF_TIME = 0.05
"""Most that the monitor may take, as a share of the training around it, where `every` is None: little enough to leave it on."""

_WARM_UP_STEPS = 5
"""Steps after which the time of a step is known; the first ones are slow."""

_PILOT = 4
"""Problems of the pilot that measures what one takes, where the time of a snapshot is limited."""

_FILE = "soundness_monitor.json"
"""File in a checkpoint that holds the snapshots so far, for the run that goes on from it."""

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much of it is done, how much there is)."""


class SoundnessMonitor(TrainerCallback):
    """Audits a few problems during training and logs what it measures.

    Logged under `soundness/`: accuracy, the share of answers cut off and without steps, length, and every metric in `metrics`.

    Args:
        problems: What to measure on: a task, its specification, or a JSON Lines file. None of them should be trained on.
        base: What to hold the model against: a model, its specification, or None for the module as it is before the first step.
        every: Optimiser steps between two snapshots; None for as often as costs at most 5 % of the training time, all that the
            monitor does included. The snapshot of the base and the one after the last step are always taken: a training shorter
            than 20 times both has no others, and pays more than 5 % for these two. Snapshots for evaluations are taken whatever
            they cost.
        metrics: Metrics or groups to read, or a user's own groups.
        limit: Use the first so many problems.
        max_tokens: Longest chain.
        seconds_per_snapshot: Most that a snapshot may take. What a problem takes is measured on the first four; where not all fit,
            the first that do are used, and a warning says how many. None for no limit.
        stop_when_lost: End training once reasoning is lost in `patience` snapshots in a row: a metric of `lost_by` is worse than the
            base's beyond the 95 % interval of the paired difference, and materially (a tenth of its value; of shares, .05).
        lost_by: Metrics whose loss counts; those that are not measured do not.
        patience: How many snapshots in a row.
        seed: Of sampling, edits and intervals.
        temperature: Of the chains; greedy by default.
        batch_size: Chains written at once.
        tokenizer: The model's tokenizer, where the trainer does not hand on its own.
        on_progress: Told what is being done; None for a progress bar where the trainer shows bars.

    Raises:
        SettingError: A setting makes no sense, or the weights are sharded over processes, so that one cannot read alone.
        MetricError: An unknown metric, or nothing could be scored on these problems.
    """

    def __init__(
        self,
        problems: str | Path | Task,
        *,
        base: str | Model | None = None,
        every: int | None = None,
        metrics: Sequence[str | MetricGroup] = DEFAULT_METRICS,
        limit: int | None = 16,
        max_tokens: int = 256,
        seconds_per_snapshot: float | None = 60.0,
        stop_when_lost: bool = False,
        lost_by: Sequence[str] = LOST_BY,
        patience: int = 2,
        seed: int = 0,
        temperature: float = 0.0,
        batch_size: int = 16,
        tokenizer: Any = None,
        on_progress: Progress | None = None,
    ) -> None:
        for name, count in (("every", every), ("limit", limit), ("patience", patience), ("max_tokens", max_tokens)):
            if count is not None and count < 1:
                raise SettingError(f"{name} must be at least 1, and it is {count}")
        if seconds_per_snapshot is not None and not seconds_per_snapshot > 0:
            raise SettingError(f"seconds_per_snapshot must be above 0, and it is {seconds_per_snapshot}; None is no limit")
        self.logged = logged_metrics(metrics)
        self.problems = task_of(str(problems) if isinstance(problems, Path) else problems, limit=limit, seed=seed)
        self.base = base
        self.every = every
        self.metrics = tuple(metrics)
        self.sampling = Sampling(seed, temperature, 1.0, max_tokens, "auto")
        self.seconds_per_snapshot = seconds_per_snapshot
        self.stop_when_lost = stop_when_lost
        self.lost_by = tuple(lost_by)
        self.patience = patience
        self.batch_size = batch_size
        self.tokenizer = tokenizer
        self.on_progress = on_progress
        self.snapshots: list[Snapshot] = []
        self.reference: Snapshot | None = None
        """Of the base."""
        self.lost: list[Loss] = []
        """What the last snapshot lost against the base."""
        self.notes: list[str] = []
        self.seconds = 0.0
        """Taken by the monitor in this training so far, the snapshot of the base included."""
        self.taught_plainly = (False, False)
        """Whether the base, and the model in training, answer a message alone where there is no chat template."""
        self._trainer: Any = None
        self._model: ModelInTraining | None = None
        self._shows_bars = True
        self._waiting: dict[str, float] = {}
        self._known: dict[str, float] = {}
        self._lost_in_a_row = 0
        self._begun = 0.0
        self._first = 0
        self._next = 0
        self._cost = 0.0

    # --- what a trainer calls -----------------------------------------------------------------------------------------

    def attach(self, trainer: Any) -> SoundnessMonitor:
        """Put this in front of the trainer's other callbacks, so that trackers see the values, and return it."""
        handler = trainer.callback_handler
        handler.callbacks = [self, *(callback for callback in handler.callbacks if callback is not self)]
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise SettingError("the monitor reads in one process, and the weights are sharded over several: train without it")
        self._trainer = trainer
        return self

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Take the snapshot of the base."""
        tokenizer = self.tokenizer or others.get("processing_class") or others.get("tokenizer")
        if tokenizer is None:
            raise SettingError("the monitor got no tokenizer from the trainer: pass tokenizer=")
        self._model = ModelInTraining(model, tokenizer, dtype=_computed_in(args))
        self._shows_bars = not getattr(args, "disable_tqdm", False)
        self._begun, self._first, self.seconds = time.perf_counter(), state.global_step, 0.0
        self._next = self._first + _WARM_UP_STEPS if self.every is None else self._multiple(self._first)
        self._read_checkpoint(args, state)
        with self._counted():
            if self.reference is None:
                self.reference = _shared(self._take_reference)
            self._cost = self.reference.seconds
        self.problems = first_problems(self.problems, self.reference.num_problems)

    def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Log the base's values as those of step 0, once trackers have been set up."""
        if state.global_step or self.reference is None or any(entry.get("step") == 0 for entry in state.log_history):
            return
        values = self.values(self.reference)
        if self._trainer is not None:
            self._trainer.log(dict(values))
        else:
            state.log_history.append({**values, "step": 0, "epoch": 0.0})

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Take a snapshot where it is time to, and have the trainer log it at this very step."""
        done = state.global_step
        if done < self._next and done != state.max_steps:
            return
        if self.every is None and done != state.max_steps:
            self._next = self._affordable_from(done)
            if done < self._next:
                return
        self._take(done)
        control.should_log = True
        self._next = done + 1 if self.every is None else self._multiple(done)
        if self.stop_when_lost and self._lost_in_a_row >= self.patience:
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
        """Add what was measured to what is logged."""
        if logs is not None and self._waiting:
            logs.update(self._waiting)
            if state.log_history:
                state.log_history[-1].update(self._waiting)
            self._waiting = {}

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **others: Any) -> None:
        """Add what is measured to the metrics of an evaluation, which is where the best checkpoint is chosen."""
        if metrics is None or self._model is None:
            return
        if not self.snapshots or self.snapshots[-1].step != state.global_step:
            self._take(state.global_step)
        # What could not be scored keeps its last value: then it is no better than before, and chooses nothing.
        self._known.update(self.values(self.snapshots[-1]))
        metrics.update({f"eval_{name}": value for name, value in self._known.items()})
        if state.log_history:
            state.log_history[-1].update({f"eval_{name}": value for name, value in self._known.items()})

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Keep the snapshots beside the checkpoint, so that a run that goes on from it measures the base no second time."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.reference is not None and state.is_world_process_zero and folder.is_dir():
            rows = {"base": self.reference.as_json(), "snapshots": [snapshot.as_json() for snapshot in self.snapshots]}
            write_json(folder / _FILE, rows)

    # --- what was measured --------------------------------------------------------------------------------------------

    def values(self, snapshot: Snapshot) -> dict[str, float]:
        """Return a snapshot's values by the names they are logged under, with the ends of their 95 % intervals.

        What could not be scored is left out, and so is an interval that could not be computed.
        """
        named: dict[str, float | None] = {}
        for name in self.logged:
            found = snapshot.estimates.get(name)
            if found is not None and found.value is not None:
                named |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        return {f"soundness/{name}": value for name, value in named.items() if value is not None}

    def losses(self, snapshot: Snapshot) -> list[Loss]:
        """Return the metrics of `lost_by` that are worse than the base's, beyond the interval and materially."""
        assert self.reference is not None
        measured = [name for name in self.lost_by if name in snapshot.estimates]
        found = [loss_of(name, self.reference, snapshot, seed=self.sampling.seed) for name in measured]
        return [loss for loss in found if loss is not None]

    def summary(self) -> dict[str, Any]:
        """Return every snapshot's values, what was lost, and what that means in words."""
        assert self.reference is not None
        return {
            "problems": self.problems.name,
            "num_problems": len(self.problems.problems),
            "base": self.values(self.reference),
            "snapshots": [
                {"step": snapshot.step, "seconds": round(snapshot.seconds, 3), **self.values(snapshot)}
                for snapshot in self.snapshots
            ],
            "seconds": round(self.seconds, 3),
            "lost": [loss.metric for loss in self.lost],
            "words": self.words(),
            "notes": self.notes,
        }

    def words(self) -> str:
        """Return what the last snapshot says against the base, in one sentence."""
        if not self.snapshots or self.reference is None:
            return "No snapshot was taken during training."
        before, now = (snapshot.value(_right_of_all()) for snapshot in (self.reference, self.snapshots[-1]))
        accuracy = f"{_right_of_all()} {_figure(before)} -> {_figure(now)}"
        if not self.lost:
            return f"No loss of reasoning beyond the noise was seen on {self.snapshots[-1].num_problems} problems ({accuracy})."
        changes = ", ".join(f"{loss.metric} {loss.base:.2f} -> {loss.now:.2f}" for loss in self.lost)
        return f"Reasoning was lost beyond the noise: {changes} ({accuracy})."

    # --- inside -------------------------------------------------------------------------------------------------------

    def _take(self, step: int) -> None:
        assert self._model is not None
        model, before = self._model, self.seconds
        with self._counted():
            self.snapshots.append(_shared(lambda: self._measure(model, self._fitting(), step)))
            self.lost = self.losses(self.snapshots[-1])
            self._lost_in_a_row = self._lost_in_a_row + 1 if self.lost else 0
            self._waiting = self.values(self.snapshots[-1])
            if self.reference is not None:
                base = self.values(self.reference)
                same = {name for name in self._waiting if name in base and not name.endswith(("_low", "_high"))}
                self._waiting |= {name.replace("soundness/", "soundness/base/"): base[name] for name in sorted(same)}
        self._cost = self.seconds - before

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Add the time of what is done inside to the monitor's own."""
        assert self._model is not None
        if self._model.device.type == "cuda":  # what the training still has queued is not the monitor's
            torch.cuda.synchronize(self._model.device)
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - begun

    def _take_reference(self) -> Snapshot:
        """Return the snapshot of the base, on as many problems as fit into the time of one."""
        assert self._model is not None
        model: Model = self._model if self.base is None else load_model(self.base) if isinstance(self.base, str) else self.base
        problems, most = self.problems, len(self.problems.problems)
        if self.seconds_per_snapshot is not None and most > _PILOT:
            pilot = self._measure(model, first_problems(problems, _PILOT), 0)
            count = affordable(self.seconds_per_snapshot, pilot, most)
            if count < most:
                self._say_fewer(count, pilot)
            problems = first_problems(problems, count)
            if count <= _PILOT:
                return self._checked(pilot if count == _PILOT else self._measure(model, problems, 0))
        return self._checked(self._measure(model, problems, 0))

    def _fitting(self) -> Task:
        """Return the problems of the next snapshot: fewer than the base's where the last one took longer than it may."""
        most = len(self.problems.problems)
        last = self.snapshots[-1] if self.snapshots else self.reference
        if self.seconds_per_snapshot is None or last is None:
            return self.problems
        count = affordable(self.seconds_per_snapshot, last, most)
        if count < last.num_problems:
            self._say_fewer(count, last)
        return first_problems(self.problems, count)

    def _say_fewer(self, count: int, measured: Snapshot) -> None:
        each = measured.seconds / measured.num_problems
        self._note(
            f"the monitor measures {count} of {len(self.problems.problems)} problems: one takes {each:.1f} s and a snapshot may take "
            f"{self.seconds_per_snapshot:g} s; raise seconds_per_snapshot, or lower max_tokens ({self.sampling.max_tokens})"
        )

    def _measure(self, model: Model, problems: Task, step: int) -> Snapshot:
        if model is self._model:
            self._model.taught_plainly = self.taught_plainly[self.reference is not None]
        what = f"soundness monitor, {'base' if self.reference is None else f'step {step}'}"
        with _progress(what, self.on_progress, self._shows_bars) as told:
            return take_snapshot(
                model,
                problems,
                self.metrics,
                sampling=self.sampling,
                batch_size=self.batch_size,
                step=step,
                on_progress=told,
            )

    def _checked(self, first: Snapshot) -> Snapshot:
        """Return the snapshot of the base. Raises MetricError where its problems say nothing, before hours are spent."""
        cut = first.value("cut_off") or 0.0
        advice = f"{cut:.0%} of the chains were cut off at max_tokens={self.sampling.max_tokens}: raise it"
        asked = [name for name in self.logged if name not in ALWAYS]
        if asked and not any(first.value(name) is not None for name in asked):
            why = advice if cut > MOSTLY else "choose other problems or metrics"
            raise MetricError(f"none of {', '.join(asked)} could be scored on {self.problems.name}: {why}")
        if cut > MOSTLY:
            self._note(f"the monitor knows little of {self.problems.name}: {advice}")
        return first

    def _note(self, text: str) -> None:
        self.notes.append(text)
        log.warning(text)

    def _read_checkpoint(self, args: Any, state: Any) -> None:
        """Take over the snapshots of the run that is gone on with: the module is no longer what it was before its first step."""
        if not state.global_step or self.reference is not None:
            return
        file = Path(getattr(args, "output_dir", "")) / f"checkpoint-{state.global_step}" / _FILE
        if file.is_file():
            rows = json.loads(file.read_text(encoding="utf-8"))
            self.reference = Snapshot.from_json(rows["base"])
            self.snapshots = [Snapshot.from_json(row) for row in rows["snapshots"]]
        elif self.base is None:
            self._note(
                f"the monitor found no snapshot of the base in checkpoint-{state.global_step}: it holds the model against what it is "
                "at this step; name the base with base="
            )

    def _multiple(self, done: int) -> int:
        """Return the next multiple of `every`."""
        assert self.every is not None
        return (done // self.every + 1) * self.every

    def _affordable_from(self, done: int) -> int:
        """Return the step to wait for before a snapshot: `done` where this training has paid for one now and the last one."""

        def wait() -> int:
            training = max(time.perf_counter() - self._begun - self.seconds, 1e-9)
            needed = (self.seconds + 2 * self._cost) / _SHARE_OF_TIME
            steps = done - self._first
            # Steps take longer or shorter later on: no further ahead than has been seen.
            return done + min(math.ceil(steps * max(needed / training - 1, 0)), steps)

        planned: int = _shared(wait)
        return planned


def _computed_in(args: Any) -> torch.dtype | None:
    """Return what the trainer's automatic mixed precision multiplies in, or None where it uses none."""
    if getattr(args, "bf16", False):
        return torch.bfloat16
    return torch.float16 if getattr(args, "fp16", False) else None


def _right_of_all() -> str:
    """Return the metric that says how many of all problems asked were answered right."""
    return "solved" if "solved" in logged_metrics(()) else "accuracy"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


@contextmanager
def _progress(what: str, on_progress: Progress | None, shows_bars: bool) -> Iterator[Progress]:
    """Give what is told of progress: the caller's own, or a bar on standard error where bars are wanted."""
    if on_progress is not None:
        yield lambda part, done, total: on_progress(f"{what}: {part}", done, total)
        return
    from transformers.utils.logging import tqdm

    with tqdm(desc=what, leave=False, disable=not shows_bars or os.environ.get("RANK", "0") != "0") as bar:

        def tell(part: str, done: int, total: int) -> None:
            bar.set_description(f"{what}: {part}", refresh=False)
            bar.total, bar.n = total, done
            bar.refresh()

        yield tell


def _shared(compute: Any) -> Any:
    """Return what the first process computes, in every process; an error there is an error everywhere."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return compute()
    import torch.distributed as dist

    if not dist.is_initialized():
        return compute()
    box: list[Any] = [None, None]
    if dist.get_rank() == 0:
        try:
            box[0] = compute()
        except Exception as error:  # the others must not wait for a value that never comes
            box[1] = error
    dist.broadcast_object_list(box, src=0)
    if box[1] is not None:
        raise box[1]
    return box[0]
