"""One training run while it lasts.

A method builds a trainer from `session.arguments(...)` and calls `session.fit(trainer)`. A killed run leaves its checkpoints in the
unfinished folder, and the same command goes on from the last one, to the same result. Under `accelerate launch` every process opens
the same session; the first one writes.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundness.errors import DivergedError, MissingPackage, ModelError, SettingError, near
from soundness.files import write_json
from soundness.models.load import find_base, resolve_source, taught_plainly
from soundness.statistics.resampling import derive_seed
from soundness.tasks.base import Task
from soundness.training.data import Example
from soundness.training.merging import BASE, NOTE, adapter_digest, merge_adapter, settle_base
from soundness.training.results import (
    RECORD,
    base_name,
    check_disk,
    check_out,
    is_first,
    plain,
    staged,
    versions,
    wait_for_others,
    write_rows,
)
from soundness.training.settings import LEARNING_RATES, Settings, adapter_config, check_vllm
from soundness.training.start import Start, best_device, default_precision, load_network, load_tokenizer, with_pad

if TYPE_CHECKING:
    from soundness.training.monitor import SoundnessMonitor

__all__ = ["CHECKPOINTING_ABOVE", "OnStep", "Request", "Session", "TrainingStep", "fit_trainer", "open_session"]

CHECKPOINTING_ABOVE = 1_000_000_000
"""Parameters from which activations are computed again in the backward pass: below, it costs more time than it saves memory."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """Where a training run stands after one optimiser step."""

    step: int
    """Optimiser steps done, from 1."""
    num_steps: int
    """Optimiser steps in all."""
    loss: float
    """The method's loss; for supervised methods the mean negative log-likelihood of the step's completion tokens, nats."""
    learning_rate: float
    """Learning rate of the step."""
    seconds: float
    """Since the first step began."""
    logs: Mapping[str, float] = field(default_factory=dict)
    """Whatever else the trainer and the monitor logged at this step."""


OnStep = Callable[[TrainingStep], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    method: str
    """Name of the method."""
    task: Task
    """The problems."""
    settings: Settings
    """Common to all methods."""
    in_order: bool = False
    """Whether problems are taken in the order of the task, not shuffled."""


@dataclass(frozen=True, slots=True)
class Session:
    """One training run while it lasts: what was asked for, what it starts from, where it writes, who watches."""

    request: Request
    start: Start
    folder: Path
    """The unfinished folder."""
    on_step: OnStep | None = None
    """Told of every optimiser step."""
    monitor: SoundnessMonitor | None = None
    record: dict[str, Any] = field(default_factory=dict)
    """What the finished folder says of itself; filled as the run goes."""

    @property
    def task(self) -> Task:
        """The problems."""
        return self.request.task

    @property
    def settings(self) -> Settings:
        """What every method can be told."""
        return self.request.settings

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, as it came."""
        return self.start.tokenizer

    def learning_rate(self, own: Mapping[Any, float] | None = None) -> float:
        """Return the asked learning rate, or the one of `own` (by adaptation), or the general one."""
        return self.settings.learning_rate or (own or LEARNING_RATES)[self.settings.adaptation]

    def adapter(self) -> Any:
        """Return the PEFT configuration of the asked adaptation, or None for full tuning."""
        return adapter_config(self.settings, self.start.network)

    def arguments(self, config_class: Any, **own: Any) -> Any:
        """Return a trainer configuration: what all methods share, then `own`, then what the user hands through.

        Raises SettingError for an option that `config_class` does not know or accept.
        """
        from soundness.models.transformers import quiet

        settings = self.settings
        world = int(os.environ.get("WORLD_SIZE", "1"))
        share, rest = divmod(settings.batch_size, world * settings.accumulate)
        if rest:
            raise SettingError(
                f"a batch of {settings.batch_size} cannot be shared by {world} processes in {settings.accumulate} parts each; "
                f"use a multiple of {world * settings.accumulate}"
            )
        chosen: dict[str, Any] = {
            "output_dir": str(self.folder),
            "num_train_epochs": settings.epochs,
            "max_steps": settings.max_steps or -1,
            "learning_rate": self.learning_rate(),
            "per_device_train_batch_size": share,
            "gradient_accumulation_steps": settings.accumulate,
            "lr_scheduler_type": "linear",
            "warmup_steps": 0.05,  # below 1 it is a share of all steps
            "gradient_checkpointing": self.start.network.num_parameters() > CHECKPOINTING_ABOVE,
            "bf16": self.start.precision == "bfloat16",
            "use_cpu": self.start.device == "cpu",
            "seed": settings.seed,  # set by the trainer before it draws the adapter
            "logging_steps": 1,
            "logging_nan_inf_filter": False,  # it would put an older loss in the place of a diverged one
            "save_strategy": "steps",
            "save_steps": settings.save_every,
            "save_total_limit": 2,
            "report_to": settings.report_to,
            "disable_tqdm": True,
            **own,
        }
        known = {option.name for option in fields(config_class) if option.init}
        if self.request.in_order:
            chosen["train_sampling_strategy"] = "sequential"
            if "shuffle_dataset" in known:  # the trainers that sample completions have a sampler of their own
                chosen["shuffle_dataset"] = False
        for name in settings.trainer:
            if name not in known:
                raise SettingError(f"{config_class.__name__} has no option {name!r}{near(name, known)}")
        check_vllm(settings)
        try:
            with quiet():
                return config_class(**{**chosen, **settings.trainer})
        except (ValueError, TypeError) as error:
            raise SettingError(f"the trainer refuses these settings: {error}") from error

    def fit(self, trainer: Any, *, callbacks: Sequence[Any] = ()) -> None:
        """Train with `trainer`, from the last checkpoint where there is one, and put the result into the folder.

        Raises DivergedError where the loss stops being a number.
        """
        from transformers.trainer_utils import get_last_checkpoint

        if self.monitor is not None:
            self.monitor.attach(trainer)
            self.monitor.taught_plainly = (self.start.taught_plainly, True)
        check_disk(self.folder, trainer.model)
        last = get_last_checkpoint(str(self.folder))
        begun = time.perf_counter()
        try:
            history = fit_trainer(
                trainer,
                callbacks=[*callbacks, _watch(self.on_step if is_first() else None, self._keep(trainer))],
                resume=last,
            )
        except ModelError:
            # Going on from a diverged run's checkpoint would only diverge again.
            if is_first():
                for checkpoint in self.folder.glob("checkpoint-*"):
                    shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        self.save(trainer)
        self.record.update(
            num_steps=trainer.state.global_step,
            learning_rate=trainer.args.learning_rate,
            seconds=round(self.record.get("seconds", 0.0) + time.perf_counter() - begun, 3),  # earlier attempts left out
            losses=[entry["loss"] for entry in history],
            history=[{name: value for name, value in entry.items() if _is_number(value)} for entry in history],
        )
        if last is not None:
            self.record["resumed_from_step"] = int(last.rpartition("-")[2])
        if self.monitor is not None:
            self.record["monitor"] = self.monitor.summary()

    def save(self, trainer: Any, folder: Path | None = None) -> None:
        """Write the trained model into the folder, as an adapter or an ordinary model."""
        from soundness.models.transformers import quiet

        accelerator = trainer.accelerator
        (self.folder / "README.md").unlink(missing_ok=True)  # a model card of the checkpoints
        state = accelerator.get_state_dict(trainer.model) if _is_sharded(accelerator) else None
        if is_first():
            with quiet():
                accelerator.unwrap_model(trainer.model).save_pretrained(folder or self.folder, state_dict=state)

    def _keep(self, trainer: Any) -> Callable[[int], None]:
        """Return what is called after every step, to keep checkpoints where they were asked for."""

        def keep(step: int) -> None:
            if self.settings.keep_every is not None and step % self.settings.keep_every == 0:
                folder = self.folder / "steps" / str(step)
                self.save(trainer, folder)
                if is_first():
                    self.tokenizer.save_pretrained(folder)

        return keep

    def keep_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as JSON Lines into the folder, for the result and for a later attempt at the same run."""
        write_rows(self.folder / name, rows)

    def note(self, **values: Any) -> None:
        """Put what the run was made of into its record."""
        self.record.update(values)

    def note_examples(self, examples: Sequence[Example]) -> None:
        """Put how much there is to learn from into the record."""
        self.note(
            num_examples=len(examples),
            num_tokens=sum(len(example.input_ids) for example in examples),
            num_completion_tokens=sum(len(example.completion) for example in examples),
        )


@contextmanager
def open_session(
    method: str,
    model: str,
    task: Task,
    *,
    out: Path | str,
    settings: Settings,
    config: Any,
    monitor: SoundnessMonitor | None = None,
    on_step: OnStep | None = None,
    method_source: str | None = None,
) -> Iterator[Session]:
    """Give a session for tuning `model` on `task`; when it ends well, the folder `out` is there, whole.

    Where `model` is an adapter, training starts from its base with the adapter merged into the weights; a result that is an adapter
    itself keeps that merged model in its folder `base`. `method_source` is a hash of the method's code where it is a user's own.
    Raises SettingError, TaskError, ModelError, RunError or MissingPackage before anything is trained.
    """
    out = Path(out).expanduser()
    check_out(out, settings.overwrite)
    if find_spec("trl") is None:
        raise MissingPackage("trl", "training", "'soundness[train]'")
    base, adapter = find_base(model)
    source = resolve_source(base)
    tokenizer = load_tokenizer(model, source)
    device = settings.device or best_device()
    precision = settings.dtype or default_precision(model, source, device)
    held = "float32" if settings.adaptation == "full" else precision
    shown = {**plain(asdict(settings)), "dtype": precision, "device": device}
    own = {} if method_source is None else {"method_source": method_source}
    started = {
        "method": method,
        "model": model,
        "task_fingerprint": task.fingerprint,
        "settings": {name: value for name, value in shown.items() if name not in ("overwrite", "report_to")},
        "config": plain(asdict(config)),
        **own,
    }
    if adapter is not None:
        started["adapter"] = adapter_digest(adapter)
    with staged(out, started, settings, device) as folder:
        begin_from = source
        if adapter is not None:
            merged = (folder / BASE).resolve()
            begin_from = str(merged)
            if is_first() and not merged.is_dir():
                merge_adapter(model, source, adapter, merged, tokenizer=tokenizer, computed=precision, stored=held)
            wait_for_others(device)
        start = Start(
            spec=model,
            source=begin_from,
            tokenizer=tokenizer,
            padded=with_pad(tokenizer),
            network=load_network(model, begin_from, held),
            precision=precision,
            device=device,
            taught_plainly=taught_plainly(base, source, adapter),
        )
        session = Session(Request(method, task, settings), start, folder, on_step, monitor)
        yield session
        if is_first():
            tokenizer.save_pretrained(folder)
            merging = {}
            if adapter is not None:
                merging["merging"] = json.loads((folder / BASE / NOTE).read_text(encoding="utf-8"))
                if settle_base(folder, out):
                    merging["kept_base"] = BASE
            rate = session.record.pop("learning_rate", settings.learning_rate)
            record = {
                "method": method,
                **own,
                "soundness_base": base_name(model),
                "base_source": source,
                **merging,
                "task": task.name,
                "task_fingerprint": task.fingerprint,
                "num_examples": len(task.problems),  # unless the method knows better
                "config": started["config"],
                "settings": {**shown, "learning_rate": rate},
                **session.record,
                "versions": versions(),
            }
            write_json(folder / RECORD, record)


# --- fitting ----------------------------------------------------------------------------------------------------------


def fit_trainer(trainer: Any, *, callbacks: Sequence[Any] = (), resume: str | None = None) -> list[dict[str, Any]]:
    """Train with a transformers Trainer and return what it logged with a loss, earlier attempts of a resumed run included.

    What is drawn in which order depends on the trainer's seed and on the epoch alone, so that a resumed run meets the batches of an
    unbroken one. Raises DivergedError where the loss stops being a number.
    """
    from transformers import PrinterCallback, ProgressCallback

    from soundness.models.transformers import quiet

    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    for callback in [*callbacks, _order_by_epoch(trainer), _stop_where_diverged()]:
        trainer.add_callback(callback)
    with quiet():
        trainer.train(resume_from_checkpoint=resume)
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    _check_finite(history)
    return history


def _order_by_epoch(trainer: Any) -> Any:
    """Make the trainer's sampler draw every epoch's order from the seed and the epoch's number; return the callback that tells it.

    The trainers draw it from a generator that has seen all earlier epochs (transformers: torch's global one; TRL: one of the
    sampler's own), which a resumed run has not.
    """
    import torch
    from torch.utils.data import Sampler
    from transformers import TrainerCallback

    make, seed = trainer._get_train_sampler, trainer.args.seed
    epoch = 0

    class Seeded(Sampler[int]):
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __len__(self) -> int:
            return len(self.inner)

        def __iter__(self) -> Iterator[int]:
            if hasattr(self.inner, "generator"):  # the sequential sampler has none
                self.inner.generator = torch.Generator().manual_seed(derive_seed(seed, "order", str(epoch)) % 2**63)
            return iter(list(self.inner))

    class Tell(TrainerCallback):
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            nonlocal epoch
            epoch = int((state.epoch or 0.0) + 1e-6)  # what sums of 1 / steps leave below a whole number

    trainer._get_train_sampler = lambda *given: Seeded(make(*given))
    return Tell()


def _stop_where_diverged() -> Any:
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            if logs is not None and "loss" in logs and not abs(logs["loss"]) < float("inf"):
                control.should_training_stop = True
                control.should_save = False

    return Stop()


def _watch(on_step: OnStep | None, keep: Callable[[int], None]) -> Any:
    from transformers import TrainerCallback

    begun = time.perf_counter()

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keep(state.global_step)
            # The trainer would write a last checkpoint beside the result itself.
            if state.global_step >= state.max_steps and not args.load_best_model_at_end:
                control.should_save = False

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            if on_step is None or logs is None or "loss" not in logs or not _is_number(logs["loss"]):  # the closing summary
                return
            rest = {name: value for name, value in logs.items() if _is_number(value)}
            rate = logs.get("learning_rate", 0.0)
            on_step(TrainingStep(state.global_step, state.max_steps, logs["loss"], rate, time.perf_counter() - begun, rest))

    return Watch()


def _check_finite(history: Sequence[Mapping[str, Any]]) -> None:
    wrong = next((entry for entry in history if not abs(entry["loss"]) < float("inf")), None)
    if wrong is not None:
        raise DivergedError(
            f"training diverged: the loss of step {wrong['step']} is {wrong['loss']}; use a lower learning_rate"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _is_sharded(accelerator: Any) -> bool:
    return str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type)) in (
        "FSDP",
        "DEEPSPEED",
        "MEGATRON_LM",
    )
