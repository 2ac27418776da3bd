"""A small audit while a model is being trained: does it still reason?

    monitor = SoundnessMonitor(base, "panel.jsonl", every=50)
    trainer = SFTTrainer(..., callbacks=[monitor])          # any transformers Trainer
    monitor.attach(trainer)                                 # optional: trackers (W&B, TensorBoard, trackio) get the values too

Values are logged under `soundness/...` beside the loss. With evaluation switched on they are in its metrics too, so that
`metric_for_best_model="soundness/info_gain"` works. Several processes: the first reads, the others wait for what it found.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from soundness.answers import same_answer
from soundness.chains.sample import sample_chains
from soundness.comparison.verdict import LABELS, NO_STEPS, RELIANCE, THRESHOLDS
from soundness.errors import MetricError, SettingError
from soundness.metrics import METRICS
from soundness.metrics.calibration import equal_width
from soundness.metrics.choosing import choose
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.models.load import load_model
from soundness.scoring.score import Sampling, ScoredChains, score_chains
from soundness.statistics.paired import by_problem, derive_seed, estimate
from soundness.tasks.base import Task
from soundness.training.data import task_of
from soundness.training.model_in_training import ModelInTraining

__all__ = ["DEFAULT_METRICS", "Look", "SoundnessMonitor", "calibration_error", "look"]

DEFAULT_METRICS = ("info_gain_over_swap", "swap_reliance", "filler_reliance")
"""What is read by default, beside accuracy and length."""

_SHARE_OF_TIME = 0.05
"""Most that the monitor may take, as a share of the training around it, where `every` is None."""

_WARM_UP_STEPS = 5
"""Steps after which the time of a step is known."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the panel found."""

    step: int
    """Optimiser steps done."""
    values: Mapping[str, Mapping[str, float | None]]
    """Metric -> problem id -> value, None where it could not be scored."""
    ece: float | None
    """Expected calibration error of the answers given when asked, 0..1, or None where none was given."""
    seconds: float
    """How long it took."""

    def known(self, metric: str) -> dict[str, float]:
        """Return the values that there are, by problem id."""
        return {key: value for key, value in self.values.get(metric, {}).items() if value is not None}

    def mean(self, metric: str) -> float | None:
        """Return the mean over the problems that have a value, or None where none has."""
        known = self.known(metric).values()
        return math.fsum(known) / len(known) if known else None


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """Return the expected calibration error over ten bins of equal width, 0..1 (lower is better), or None without answers.

    >>> round(calibration_error([0, 0.1, 0.95, 0.95], [True, True, True, False]), 2)
    0.7
    """
    if not confidences:
        return None
    return float(equal_width(np.array([confidences, right], dtype=float), np.ones((1, len(right))))[0])


def look(model: Model, panel: Task, metrics: Sequence[str], *, sampling: Sampling, batch_size: int = 16, step: int = 0) -> Look:
    """Return what `model` does on `panel`: one chain per problem, read by itself."""
    begun = time.perf_counter()
    reader = CachedModel(model, batch_size=batch_size)
    chains = sample_chains(
        reader,
        panel,
        seed=sampling.seed,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        splitter=sampling.splitter,
    )
    found = score_chains(chains, panel, choose(metrics), reader, role="self", sampling=sampling)
    values = {
        name: by_problem(score for score in found.scores if score.metric == name)[0]
        for name in dict.fromkeys(score.metric for score in found.scores)
    }
    confidences, right = _answers(found, reader)
    return Look(step, values, calibration_error(confidences, right), time.perf_counter() - begun)


def _answers(found: ScoredChains, reader: CachedModel) -> tuple[list[float], list[bool]]:
    """Return how sure the model is of each answer it gives when asked after its chain, and whether that answer is right.

    Confidence is the probability of the answer's tokens, among the choices where there are any.
    """
    cases = [
        (case, row.asked_with)
        for case, row in zip(found.cases, found.case_rows, strict=True)
        if case.own is not None and case.problem.answer is not None and case.chain.finish != "length"
    ]
    prefixes = [case.after(case.body.chain.ids) for case, _ in cases]
    groups = [list(case.own.probes(prefix)) for (case, _), prefix in zip(cases, prefixes, strict=True) if case.own is not None]
    readings = reader.read_groups(groups)
    confidences, right = [], []
    for (case, asked), prefix in zip(cases, prefixes, strict=True):
        assert case.own is not None
        assert case.problem.answer is not None
        if case.own.rivals:
            best = case.own.likeliest(prefix, readings.__getitem__)
            answer: str | None = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[best]
            own = type(case.own)(case.own.rivals[best], case.own.rivals)
        else:
            answer, own = asked, case.own
        if answer is not None:
            confidences.append(min(1.0, math.exp(own.share(prefix, readings.__getitem__))))
            right.append(same_answer(case.problem.answer, answer, case.problem.choices))
    return confidences, right


class SoundnessMonitor(TrainerCallback):
    """Audits a small panel during training and logs what it finds.

    Logged: `soundness/info_gain` (over swapped chains, nats), `soundness/reliance` (mean of the reliances read), `soundness/ece`,
    `soundness/length` (tokens), `soundness/accuracy` (share of all problems solved), and every metric in `metrics` by its own name.

    Args:
        base: What to hold the model against: a model, its specification, or None for the module as it is before the first step.
        panel: Problems to look at: a task, its specification, or a JSON Lines file.
        every: Optimiser steps between two looks; None for as often as costs at most 5 % of the training time, all that the
            monitor does included. The look at the base and the one after the last step are always taken: a training shorter than
            20 times both has no others, and pays more than 5 % for these two. Looks for evaluations are taken whatever they cost.
        metrics: Metrics or families to read.
        limit: Use the first so many problems of the panel.
        max_tokens: Longest chain.
        stop_when_lost: End training once reasoning is lost in `patience` looks in a row: information gain or a reliance fell
            below the base's beyond its 95 % interval and materially (the verdict's thresholds).
        patience: How many looks in a row.
        seed: Of sampling, edits and intervals.
        temperature: Of the chains; greedy by default.
        batch_size: Chains written at once.
        tokenizer: The model's tokenizer, where the trainer does not hand on its own.

    Raises:
        SettingError: A setting makes no sense, or the weights are sharded over processes, so that one cannot read alone.
    """

    def __init__(
        self,
        base: str | Model | None,
        panel: str | Path | Task,
        *,
        every: int | None = None,
        metrics: Sequence[str] = DEFAULT_METRICS,
        limit: int | None = 16,
        max_tokens: int = 256,
        stop_when_lost: bool = False,
        patience: int = 2,
        seed: int = 0,
        temperature: float = 0.0,
        batch_size: int = 16,
        tokenizer: Any = None,
    ) -> None:
        if every is not None and every < 1:
            raise SettingError(f"every must be at least 1 step, and it is {every}; leave it out for at most 5 % of the time")
        choose(metrics)
        self.base = base
        self.panel = task_of(str(panel) if isinstance(panel, Path) else panel, limit=limit, seed=seed)
        self.every = every
        self.metrics = tuple(metrics)
        self.sampling = Sampling(seed, temperature, 1.0, max_tokens, "auto")
        self.stop_when_lost = stop_when_lost
        self.patience = patience
        self.batch_size = batch_size
        self.tokenizer = tokenizer
        self.looks: list[Look] = []
        self.reference: Look | None = None
        self.lost: list[str] = []
        self.seconds = 0.0
        """Taken by the monitor in this training so far, the look at the base included."""
        self._model: ModelInTraining | None = None
        self._waiting: dict[str, float] = {}
        self._known: dict[str, float] = {}
        self._lost_in_a_row = 0
        self._begun = 0.0
        self._first = 0
        self._next = 0
        self._cost = 0.0

    # --- what a trainer calls -----------------------------------------------------------------------------------------

    def attach(self, trainer: Any) -> None:
        """Put this in front of the trainer's other callbacks, so that trackers see the values."""
        handler = trainer.callback_handler
        handler.callbacks = [self, *(one for one in handler.callbacks if one is not self)]
        if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
            raise SettingError("the monitor reads in one process, and the weights are sharded over several: train without it")

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **others: Any) -> None:
        """Look at the base."""
        tokenizer = self.tokenizer or others.get("processing_class") or others.get("tokenizer")
        if tokenizer is None:
            raise SettingError("the monitor got no tokenizer from the trainer: pass tokenizer=")
        self._model = ModelInTraining(model, tokenizer)
        self._begun, self._first, self.seconds = time.perf_counter(), state.global_step, 0.0
        self._next = self._first + _WARM_UP_STEPS if self.every is None else self._multiple(self._first)
        with self._counted():
            if self.reference is None:
                self.reference = _shared(lambda: self._look_at(self._base(), 0))
                self._check(self.reference)
            self._cost = self.reference.seconds

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Look where it is time to, and have the trainer log what was found at this very step."""
        done = state.global_step
        if done < self._next and done != state.max_steps:
            return
        if self.every is None and done != state.max_steps:
            self._next = self._affordable(done)
            if done < self._next:
                return
        self._take(done)
        control.should_log = True
        self._next = done + 1 if self.every is None else self._multiple(done)
        if self.stop_when_lost and self._lost_in_a_row >= self.patience:
            control.should_training_stop = True

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **others: Any) -> None:
        """Add what was found to what is logged."""
        if logs is not None and self._waiting:
            logs.update(self._waiting)
            if state.log_history:
                state.log_history[-1].update(self._waiting)
            self._waiting = {}

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, Any] | None = None, **others: Any) -> None:
        """Add what is found to the metrics of an evaluation, which is where the best checkpoint is chosen."""
        if metrics is None or self._model is None:
            return
        if not self.looks or self.looks[-1].step != state.global_step:
            self._take(state.global_step)
        # What could not be scored keeps its last value: then it is no better than before, and chooses nothing.
        self._known.update(self.values(self.looks[-1]))
        found = self._known
        metrics.update({f"eval_{name}": value for name, value in found.items()})
        if state.log_history:
            state.log_history[-1].update({f"eval_{name}": value for name, value in found.items()})

    # --- what was found -----------------------------------------------------------------------------------------------

    def values(self, one: Look) -> dict[str, float]:
        """Return the values of a look by the names they are logged under; what could not be scored is left out."""
        known = [value for name in one.values if _is_reliance(name) and (value := one.mean(name)) is not None]
        found: dict[str, float | None] = {
            "info_gain": one.mean("info_gain_over_swap"),
            "reliance": math.fsum(known) / len(known) if known else None,
            "ece": one.ece,
            "length": one.mean("length_tokens"),
            NO_STEPS: one.mean(NO_STEPS),
            "accuracy": one.mean("solved"),
        }
        for name in self.metrics:
            if name in METRICS:
                found[name] = one.mean(name)
        return {f"soundness/{name}": value for name, value in found.items() if value is not None}

    def fell(self, one: Look) -> list[str]:
        """Return the metrics on which a look lies below the base, beyond the interval of the difference and materially.

        `no_steps` is one of them where most answers come without steps and the base's did not: then nothing else can be scored.
        """
        assert self.reference is not None
        found = [NO_STEPS] if self._silent(one) else []
        for name in one.values:
            information = name == "info_gain_over_swap"
            if not information and not _is_reliance(name):
                continue
            before = self.reference.known(name)
            now = {key: value for key, value in one.known(name).items() if key in before}
            changes = {key: value - before[key] for key, value in now.items()}
            difference = estimate(changes, seed=derive_seed(self.sampling.seed, name), resamples=999)
            if difference.value is None or difference.high is None:
                continue
            level = math.fsum(before[key] for key in now) / len(now)
            material = THRESHOLDS.information_drop * abs(level) if information else THRESHOLDS.reliance_drop
            if difference.high < 0 and -difference.value >= material:
                found.append(name)
        return found

    def _silent(self, one: Look) -> bool:
        """Return whether answers without steps became the rule, intervals included."""
        assert self.reference is not None
        before, now = (
            estimate(looked.known(NO_STEPS), seed=derive_seed(self.sampling.seed, NO_STEPS), resamples=999)
            for looked in (self.reference, one)
        )
        most = THRESHOLDS.silence
        return before.high is not None and now.low is not None and before.high < most < now.low

    def summary(self) -> dict[str, Any]:
        """Return every look's values, what was lost, and what that means in words."""
        assert self.reference is not None
        return {
            "panel": self.panel.name,
            "num_problems": len(self.panel.problems),
            "base": self.values(self.reference),
            "looks": [{"step": one.step, **self.values(one)} for one in self.looks],
            "seconds": round(self.seconds, 3),
            "lost": self.lost,
            "words": self.words(),
        }

    def words(self) -> str:
        """Return what the last look says against the base, in one sentence."""
        if not self.looks or self.reference is None:
            return "The panel was not looked at during training."
        before, now = self.values(self.reference), self.values(self.looks[-1])
        accuracy = f"accuracy {before.get('soundness/accuracy', 0):.2f} -> {now.get('soundness/accuracy', 0):.2f}"
        if not self.lost:
            return f"No loss of reasoning beyond the noise was seen on {len(self.panel.problems)} problems ({accuracy})."
        changes = [
            f"{LABELS.get(name, name)} {_figure(self.reference.mean(name))} -> {_figure(self.looks[-1].mean(name))}"
            for name in self.lost
        ]
        return f"Reasoning was lost beyond the noise: {', '.join(changes)} ({accuracy})."

    # --- inside -------------------------------------------------------------------------------------------------------

    def _take(self, step: int) -> None:
        assert self._model is not None
        model, before = self._model, self.seconds
        with self._counted():
            self.looks.append(_shared(lambda: self._look_at(model, step)))
            self.lost = self.fell(self.looks[-1])
            self._lost_in_a_row = self._lost_in_a_row + 1 if self.lost else 0
            self._waiting = self.values(self.looks[-1])
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

    def _base(self) -> Model:
        """Return what the module is held against."""
        if isinstance(self.base, str):
            return load_model(self.base)
        assert self._model is not None
        return self._model if self.base is None else self.base

    def _look_at(self, model: Model, step: int) -> Look:
        return look(model, self.panel, self.metrics, sampling=self.sampling, batch_size=self.batch_size, step=step)

    def _check(self, first: Look) -> None:
        """Raise MetricError where the panel says nothing, before hours are spent."""
        if not any(value is not None for values in first.values.values() for value in values.values()):
            raise MetricError(f"no metric could be scored on the panel {self.panel.name}: choose other problems or metrics")

    def _multiple(self, done: int) -> int:
        """Return the next multiple of `every`."""
        assert self.every is not None
        return (done // self.every + 1) * self.every

    def _affordable(self, done: int) -> int:
        """Return the step to wait for before a look: `done` where this training has paid for one now and the last one."""

        def wait() -> int:
            training = max(time.perf_counter() - self._begun - self.seconds, 1e-9)
            needed = (self.seconds + 2 * self._cost) / _SHARE_OF_TIME
            steps = done - self._first
            # Steps take longer or shorter later on: no further ahead than has been seen.
            return done + min(math.ceil(steps * max(needed / training - 1, 0)), steps)

        planned: int = _shared(wait)
        return planned


def _is_reliance(name: str) -> bool:
    return name in RELIANCE or name.endswith("_reliance")


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


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
