"""What every training method shares: settings, the model and its adapter, the folder that appears whole, checkpoints, the record.

A method opens a `Session`, builds a trainer from `session.arguments(...)` and calls `session.fit(trainer)`. Work goes on in a
hidden folder beside `out`, which takes its place at the end. A killed run leaves its checkpoints there, and the same command goes
on from the last one. Under `accelerate launch` every process opens the same session; the first one writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from soundness.errors import DivergedError, MissingPackage, ModelError, RunError, SettingError, near
from soundness.files import write_json, write_text
from soundness.models.load import find_base, resolve_source
from soundness.tasks.base import Task, load_task
from soundness.training.merging import BASE, NOTE, adapter_digest, loading, merge_adapter, settle_base

if TYPE_CHECKING:
    from soundness.training.data import Example
    from soundness.training.monitor import SoundnessMonitor

__all__ = [
    "ADAPTATIONS",
    "RECORD",
    "About",
    "Adaptation",
    "Progress",
    "Session",
    "Settings",
    "TrainingStep",
    "copies",
    "open_session",
    "read_record",
    "task_of",
    "train_by",
]

Adaptation = Literal["lora", "full", "bias", "prompt"]

ADAPTATIONS: dict[str, str] = {
    "lora": "a low-rank adapter on every linear layer but the output",
    "full": "every weight",
    "bias": "one vector per layer, added to what the layer gives to the next (2505.18706)",
    "prompt": "a soft prompt: virtual tokens in front of every text",
}
"""Adaptation -> what is trained."""

RECORD = "training.json"
"""File in a trained folder that says how it was made."""

_STARTED = "started.json"
"""File in an unfinished folder that says which run its checkpoints belong to."""

LEARNING_RATES = {"lora": 2e-4, "full": 2e-5, "bias": 1e-2, "prompt": 1e-2}
CHECKPOINTING_ABOVE = 1_000_000_000  # parameters: below, recomputing activations costs more than it saves
PACKAGES = ("soundness", "torch", "transformers", "trl", "peft", "accelerate", "datasets")

# The last linear layer of a block, by the names that families give it: what it puts out is added to the residual stream as it is.
_BLOCK_OUTPUTS = ("down_proj", "dense_4h_to_h", "fc2", "fc_out", "w2")


@dataclass(frozen=True, slots=True)
class About:
    """A method in words."""

    name: str
    """Its name."""
    title: str
    """What it is, in one line."""
    papers: tuple[str, ...]
    """Where it comes from."""
    needs: str
    """What the task must have."""
    cost: str
    """What it costs beside plain fine-tuning."""
    when: str
    """When to use it."""
    differs: tuple[str, ...] = ()
    """Where this differs from the papers."""


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


Progress = Callable[[TrainingStep], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What every method can be told."""

    epochs: float = 3.0
    """Passes over the examples."""
    max_steps: int | None = None
    """Optimiser steps, whatever the epochs; None for the epochs alone."""
    learning_rate: float | None = None
    """Peak rate; None for the method's own, or one by what is trained."""
    batch_size: int = 8
    """Examples (for methods that sample: completions) per optimiser step, over all processes."""
    accumulate: int = 1
    """In how many parts a step's batch is computed; changes memory, not results."""
    adaptation: Adaptation = "lora"
    """What is trained."""
    lora_rank: int = 16
    """Rank of the adapter (its alpha is twice the rank)."""
    prompt_tokens: int = 16
    """Length of a soft prompt."""
    max_length: int | None = 1024
    """Longest example in tokens, or None for what the model can read. Longer ones are refused, never cut."""
    seed: int = 0
    """Of everything random."""
    dtype: str | None = None
    """float32 or bfloat16; None: bfloat16 where the device computes it fast and the model is not tiny."""
    device: str | None = None
    """cpu, cuda or mps; None for the best there is."""
    report_to: str = "none"
    """Any tracker that transformers knows (trackio, wandb, tensorboard), or none."""
    save_every: int = 100
    """Optimiser steps between checkpoints, from which a killed run goes on."""
    keep_every: int | None = None
    """Optimiser steps between copies of the model that stay in `steps/N` of the result; None for none."""
    overwrite: bool = False
    """Replace an earlier training result, and drop the checkpoints of an unfinished run with other settings."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """Options handed to the trainer's own configuration as they are, such as use_vllm."""

    def __post_init__(self) -> None:
        positive = ("epochs", "max_steps", "learning_rate", "batch_size", "accumulate", "lora_rank", "prompt_tokens")
        for name in (*positive, "max_length", "save_every", "keep_every"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingError(f"{name} must be above 0, and it is {value}")
        if self.adaptation not in ADAPTATIONS:
            known = ", ".join(ADAPTATIONS)
            raise SettingError(
                f"there is no adaptation {self.adaptation!r}{near(self.adaptation, ADAPTATIONS)}; there are {known}"
            )
        if self.batch_size % self.accumulate:
            raise SettingError(f"a batch of {self.batch_size} cannot be computed in {self.accumulate} equal parts")
        if self.dtype not in (None, "float32", "bfloat16"):
            known_types = ("float32", "bfloat16")
            raise SettingError(
                f"training runs in float32 or bfloat16, not in {self.dtype!r}{near(str(self.dtype), known_types)}"
            )
        if self.device is None:
            return
        if self.device not in ("cpu", "cuda", "mps"):
            raise SettingError(
                f"training runs on cpu, cuda or mps, not on {self.device!r}; pick one GPU of several by CUDA_VISIBLE_DEVICES"
            )
        if self.device != "cpu" and _best_device() != self.device:
            raise SettingError(f"there is no {self.device} device here; leave device out, or use cpu")


@dataclass
class Session:
    """One training run while it lasts."""

    method: str
    """Name of the method."""
    model: str
    """What is tuned, as the user named it."""
    source: str
    """Folder or hub name of the weights that training starts from; for an adapter, of its base with the adapter merged in."""
    task: Task
    """The problems."""
    settings: Settings
    """As asked."""
    folder: Path
    """The unfinished folder."""
    tokenizer: Any
    """As it came with the model; saved beside the result."""
    padded: Any
    """A copy that has a token to pad with."""
    network: Any
    """The transformers module to train; the adapter is put on by the trainer."""
    precision: str
    """float32 or bfloat16."""
    device: str
    """cpu, cuda or mps."""
    on_progress: Progress | None = None
    monitor: SoundnessMonitor | None = None
    record: dict[str, Any] = field(default_factory=dict)
    """What the finished folder says of itself."""
    callbacks: list[Any] = field(default_factory=list)
    """Callbacks of the method's own."""
    rate: float | None = None
    """The learning rate that the last trainer was given."""
    trained: Any = None
    """The module under training, adapter included, once a trainer has made it."""
    seconds: float = 0.0
    """Spent in training, earlier attempts left out."""
    in_order: bool = False
    """Whether problems are taken in the order of the task, not shuffled."""

    @property
    def context(self) -> int | None:
        """Tokens that the model can read, or None where it does not say."""
        limit = getattr(self.network.config.get_text_config(), "max_position_embeddings", None)
        return int(limit) if limit is not None else None

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end what the model writes, as an audit takes them."""
        own = self.network.generation_config.eos_token_id
        found = [] if own is None else [own] if isinstance(own, int) else list(own)
        if self.tokenizer.eos_token_id is not None:
            found.append(self.tokenizer.eos_token_id)
        return tuple(dict.fromkeys(int(token) for token in found))

    def learning_rate(self, own: Mapping[str, float] | None = None) -> float:
        """Return the asked learning rate, or the one of `own` (by adaptation), or the general one."""
        return self.settings.learning_rate or (own or LEARNING_RATES)[self.settings.adaptation]

    def adapter(self) -> Any:
        """Return the PEFT configuration of the asked adaptation, or None for full tuning."""
        return adapter_config(self.settings, self.network)

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
            "gradient_checkpointing": self.network.num_parameters() > CHECKPOINTING_ABOVE,
            "bf16": self.precision == "bfloat16",
            "use_cpu": self.device == "cpu",
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
        known = {one.name for one in fields(config_class) if one.init}
        if self.in_order:
            chosen["train_sampling_strategy"] = "sequential"
            if "shuffle_dataset" in known:  # the trainers that sample completions have a sampler of their own
                chosen["shuffle_dataset"] = False
        for name in settings.trainer:
            if name not in known:
                raise SettingError(f"{config_class.__name__} has no option {name!r}{near(name, known)}")
        check_vllm(settings)
        try:
            with quiet():
                made = config_class(**{**chosen, **settings.trainer})
            self.rate = made.learning_rate
            return made
        except (ValueError, TypeError) as error:
            raise SettingError(f"the trainer refuses these settings: {error}") from error

    def fit(self, trainer: Any) -> Any:
        """Train with `trainer`, from the last checkpoint where there is one, and put the result into the folder; return `trainer`.

        Raises DivergedError where the loss stops being a number.
        """
        from transformers import PrinterCallback, ProgressCallback
        from transformers.trainer_utils import get_last_checkpoint

        from soundness.models.transformers import quiet

        self.trained = trainer.model
        for callback in (PrinterCallback, ProgressCallback):
            trainer.remove_callback(callback)
        for callback in self.callbacks:
            trainer.add_callback(callback)
        if self.monitor is not None:
            self.monitor.attach(trainer)
        trainer.add_callback(_watch(self.on_progress if _is_first() else None, self._keep(trainer)))
        _check_disk(self.folder, trainer.model)
        last = get_last_checkpoint(str(self.folder))
        self.callbacks = []
        begun = time.perf_counter()
        try:
            with quiet():
                trainer.train(resume_from_checkpoint=last)
            history = [entry for entry in trainer.state.log_history if "loss" in entry]
            _check_finite(history)
        except ModelError:
            # Going on from a diverged run's checkpoint would only diverge again.
            if _is_first():
                for checkpoint in self.folder.glob("checkpoint-*"):
                    shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        self.seconds += time.perf_counter() - begun
        self.save(trainer)
        self.record.update(
            num_steps=trainer.state.global_step,
            seconds=round(self.seconds, 3),
            losses=[entry["loss"] for entry in history],
            history=[{name: value for name, value in entry.items() if _is_number(value)} for entry in history],
        )
        if last is not None:
            self.record["resumed_from_step"] = int(last.rpartition("-")[2])
        if self.monitor is not None:
            self.record["monitor"] = self.monitor.summary()
        return trainer

    def save(self, trainer: Any, folder: Path | None = None) -> None:
        """Write the trained model into the folder, as an adapter or an ordinary model."""
        from soundness.models.transformers import quiet

        accelerator = trainer.accelerator
        (self.folder / "README.md").unlink(missing_ok=True)  # a model card of the checkpoints
        state = accelerator.get_state_dict(trainer.model) if _is_sharded(accelerator) else None
        if _is_first():
            with quiet():
                accelerator.unwrap_model(trainer.model).save_pretrained(folder or self.folder, state_dict=state)

    def _keep(self, trainer: Any) -> Callable[[int], None]:
        """Return what is called after every step, to keep copies where they were asked for."""

        def keep(step: int) -> None:
            if self.settings.keep_every is not None and step % self.settings.keep_every == 0:
                folder = self.folder / "steps" / str(step)
                self.save(trainer, folder)
                if _is_first():
                    self.tokenizer.save_pretrained(folder)

        return keep

    def keep_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows as JSON Lines into the folder, for the result and for a later attempt at the same run."""
        if _is_first():
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            write_text(self.folder / name, text)

    def describe(self, config: Any, **counts: Any) -> None:
        """Put what the run was made of into its record."""
        self.record["config"] = _plain(asdict(config)) if config is not None else {}
        self.record.update(counts)

    def describe_examples(self, examples: Sequence[Example]) -> None:
        """Put how much there is to learn from into the record."""
        self.record.update(
            num_examples=len(examples),
            num_tokens=sum(len(one.input_ids) for one in examples),
            num_completion_tokens=sum(len(one.completion) for one in examples),
        )


@contextmanager
def open_session(
    method: str,
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    settings: Settings,
    config: Any = None,
    monitor: SoundnessMonitor | None = None,
    on_progress: Progress | None = None,
    asked: Task | None = None,
) -> Iterator[Session]:
    """Give a session for tuning `model` on `task`; when it ends well, the folder `out` is there, whole.

    `asked` is the task that was asked for, where `task` was made from it.

    Where `model` is an adapter, training starts from its base with the adapter merged into the weights; a result that is an adapter
    itself keeps that merged model in its folder `base`. Raises SettingError, TaskError, ModelError, RunError or MissingPackage before
    anything is trained.
    """
    out = Path(out).expanduser()
    _check_out(out, settings.overwrite)
    if find_spec("trl") is None:
        raise MissingPackage("trl", "training", "'soundness[train]'")
    task = task_of(task, seed=settings.seed)
    base, adapter = find_base(model)
    source = resolve_source(base)
    tokenizer = _load_tokenizer(model, source)
    device = settings.device or _best_device()
    precision = settings.dtype or _default_precision(model, source, device)
    held = "float32" if settings.adaptation == "full" else precision
    shown = {**_plain(asdict(settings)), "dtype": precision, "device": device}
    started = {
        "method": method,
        "model": model,
        "task_fingerprint": task.fingerprint,
        "settings": {name: value for name, value in shown.items() if name not in ("overwrite", "report_to")},
        "config": _plain(asdict(config)) if config is not None else {},
    }
    if adapter is not None:
        started["adapter"] = adapter_digest(adapter)
    with _staged(out, started, settings, device) as folder:
        start = source
        if adapter is not None:
            merged = (folder / BASE).resolve()
            start = str(merged)
            if _is_first() and not merged.is_dir():
                merge_adapter(model, source, adapter, merged, tokenizer=tokenizer, computed=precision, stored=held)
            _wait(device)
        session = Session(
            method=method,
            model=model,
            source=start,
            task=task,
            settings=settings,
            folder=folder,
            tokenizer=tokenizer,
            padded=_with_pad(tokenizer),
            network=_load_network(model, start, held),
            precision=precision,
            device=device,
            on_progress=on_progress,
            monitor=monitor,
        )
        yield session
        if _is_first():
            tokenizer.save_pretrained(folder)
            merging = {}
            if adapter is not None:
                merging["merging"] = json.loads((folder / BASE / NOTE).read_text(encoding="utf-8"))
                if settle_base(folder, out):
                    merging["kept_base"] = BASE
            record = {
                "method": method,
                "soundness_base": _base_name(model),
                "base_source": source,
                **merging,
                "task": task.name,
                "task_fingerprint": task.fingerprint,
                "asked_fingerprint": (asked or task).fingerprint,
                "settings": {**shown, "learning_rate": session.rate or settings.learning_rate},
                **session.record,
                "versions": {"python": platform.python_version(), **_versions()},
            }
            write_json(folder / RECORD, record)


def task_of(task: Task | str, *, limit: int | None = None, seed: int = 0) -> Task:
    """Return `task`, loaded where it is a specification, with its first `limit` problems."""
    if isinstance(task, str):
        return load_task(task, limit=limit, seed=seed)
    return task if limit is None else replace(task, problems=task.problems[:limit])


def check_vllm(settings: Settings) -> None:
    """Raise MissingPackage or SettingError where the trainer's options ask for vLLM (`use_vllm`) and it cannot be had."""
    if not settings.trainer.get("use_vllm"):
        return
    if find_spec("vllm") is None:
        raise MissingPackage("vllm", "drawing completions with vLLM (use_vllm, which can be left out)", "'trl[vllm]'")
    if settings.adaptation not in ("lora", "full"):
        raise SettingError(
            f"vLLM gets the weights with the adapter merged into them, and what adaptation={settings.adaptation} trains cannot be "
            "merged: use lora or full, or leave use_vllm out"
        )


def train_by(
    learn: Callable[[Session, Any], None],
    method: str,
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    config: Any,
    settings: Settings | None,
    monitor: SoundnessMonitor | None,
    on_progress: Progress | None,
) -> Path:
    """Return the folder `out`, which holds what `learn` made of `model` by `config`, in a session of its own."""
    settings = settings or Settings()
    with open_session(
        method, model, task, out=out, settings=settings, config=config, monitor=monitor, on_progress=on_progress
    ) as run:
        learn(run, config)
    return Path(out).expanduser()


def read_record(folder: Path) -> dict[str, Any]:
    """Return what a training result says of itself."""
    record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    return record


def copies(folder: Path) -> dict[int, Path]:
    """Return the kept copies of a trained model by optimiser step, in order, the final model (`folder` itself) last.

    Raises RunError where `folder` holds no training result.
    """
    if not (folder / RECORD).is_file():
        raise RunError(f"{folder} holds no training result ({RECORD} is missing): train into it first, or name another folder")
    last = int(read_record(folder)["num_steps"])
    kept = {int(one.name): one for one in folder.glob("steps/[0-9]*")}
    return {step: kept[step] for step in sorted(kept) if step < last} | {last: folder}


def other_training(folder: Path, method: str, model: str, task: Task, config: Any, settings: Settings) -> list[str]:
    """Return the names of what differs between the training in `folder` and the one that is asked for; none where it is that one.

    What the run chose itself (rate, dtype, device) differs only from what is asked for by name.
    """
    record = read_record(folder)
    asked = _plain(asdict(settings))
    free = {name for name in ("learning_rate", "dtype", "device") if asked[name] is None}
    shown = [name for name in asked if name not in {"overwrite", "report_to", "save_every", *free}]
    before = {
        **{name: record.get(name) for name in ("method", "config")},
        "task": record.get("asked_fingerprint"),
        "model": record.get("soundness_base"),
        "settings": {name: record.get("settings", {}).get(name) for name in shown},
    }
    now = {
        "method": method,
        "config": _plain(asdict(config)),
        "task": task.fingerprint,
        "model": _base_name(model),
        "settings": {name: asked[name] for name in shown},
    }
    return _differences(before, now)


def _base_name(model: str) -> str:
    """Return how a record names what was tuned: a folder by its whole path."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


def adapter_config(settings: Settings, network: Any) -> Any:
    """Return the PEFT configuration that `settings` ask for, or None for full tuning.

    Raises ModelError where `bias` finds no layer output that it knows by name.
    """
    from peft import BeftConfig, LoraConfig, PromptTuningConfig

    if settings.adaptation == "full":
        return None
    if settings.adaptation == "prompt":
        return PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=settings.prompt_tokens)
    if settings.adaptation == "bias":
        names = {name.rpartition(".")[2] for name, _ in network.named_modules()}
        outputs = [name for name in _BLOCK_OUTPUTS if name in names]
        if not outputs:
            raise ModelError(
                f"bias-only training knows no layer output in this model (it looks for {', '.join(_BLOCK_OUTPUTS)}); use LoRA"
            )
        return BeftConfig(task_type="CAUSAL_LM", target_modules=outputs[:1])
    rank = settings.lora_rank
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


# --- folders ----------------------------------------------------------------------------------------------------------


def _is_first() -> bool:
    """Return whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def _wait(device: str) -> None:
    """Wait until every process of an `accelerate launch` is here."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu").wait_for_everyone()


def _staging(out: Path) -> Path:
    return out.parent / f".{out.name}.partial"


def _check_out(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise RunError(f"{out} is a file, and a folder is to be written there: choose another")
    if not any(out.iterdir()):
        return
    if not (out / RECORD).is_file():
        raise RunError(f"{out} holds files that are no training result, and will not be replaced: choose another folder")
    if not overwrite:
        raise RunError(
            f"{out} already holds a training result: choose another folder, or pass overwrite (--overwrite) to replace it"
        )


@contextmanager
def _staged(out: Path, started: Mapping[str, Any], settings: Settings, device: str) -> Iterator[Path]:
    """Give a folder beside `out` to fill, which takes the place of `out` at the end.

    After a failure it stays as long as it holds a checkpoint to go on from.
    """
    staging = _staging(out)
    _wait(device)
    try:
        if _is_first():
            out.parent.mkdir(parents=True, exist_ok=True)
            _clear_unless_same(staging, started, settings.overwrite)
            staging.mkdir(exist_ok=True)
            write_json(staging / _STARTED, started)
        _wait(device)
        yield staging
        _wait(device)
        if _is_first():
            for leftover in [*staging.glob("checkpoint-*"), staging / _STARTED]:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            _check_out(out, settings.overwrite)
            if out.exists():
                shutil.rmtree(out)
            staging.replace(out)
        _wait(device)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error}") from error
    finally:
        if _is_first() and staging.is_dir() and not any(staging.glob("checkpoint-*")):
            shutil.rmtree(staging, ignore_errors=True)


def _clear_unless_same(staging: Path, started: Mapping[str, Any], overwrite: bool) -> None:
    """Remove an unfinished folder of another run; raise RunError where that would lose checkpoints unasked."""
    note = staging / _STARTED
    if not staging.exists():
        return
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if before is not None and before == json.loads(json.dumps(started)):
        return
    if before is not None and any(staging.glob("checkpoint-*")) and not overwrite:
        other = _differences(before, started)
        raise RunError(
            f"{staging} holds checkpoints of an unfinished run with another {', '.join(other)}: use the settings of that run to go "
            "on with it, or pass overwrite (--overwrite) to begin anew"
        )
    shutil.rmtree(staging)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = []
    for part in now:
        old, new = before.get(part), json.loads(json.dumps(now[part]))
        if isinstance(old, dict) and isinstance(new, dict):
            found += [name for name in {**old, **new} if old.get(name) != new.get(name)]
        elif old != new:
            found.append(part)
    return found


def _check_disk(folder: Path, module: Any) -> None:
    """Raise RunError where two checkpoints (weights and two moments each) and the result would not fit on the disk."""
    trained = sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)
    needed = 7 * trained
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"training writes about {needed / 1e9:.1f} GB of checkpoints and weights beside {folder.parent}, and {free / 1e9:.1f} GB "
            "are free there: free some, or choose another folder"
        )


# --- models -----------------------------------------------------------------------------------------------------------


def _load_tokenizer(spec: str, source: str) -> Any:
    from transformers import AutoTokenizer

    if (Path(source) / "adapter_config.json").is_file():
        raise ModelError(f"{spec} stands on {source}, which is an adapter itself: merge that one into its base first")
    with loading(spec):
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def _load_network(spec: str, source: str, precision: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    with loading(spec):
        network = AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, precision), use_safetensors=True, trust_remote_code=False
        )
    if getattr(network, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"{spec} is an adapter on the hub: download it into a folder (hf download {spec}), and give that folder"
        )
    return network


def _with_pad(tokenizer: Any) -> Any:
    """Return a copy of `tokenizer` that has a token to pad with: the one that ends its texts, where it has none of its own."""
    from copy import deepcopy

    from soundness.training.data import closing_id

    padded = deepcopy(tokenizer)
    if padded.pad_token is None:
        padded.pad_token = padded.convert_ids_to_tokens(closing_id(tokenizer))
    return padded


def _best_device() -> str:
    from soundness.models.transformers import pick_device

    return pick_device(None).type


def _default_precision(spec: str, source: str, device: str) -> str:
    """Return the dtype that an audit would choose for this model on this device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from soundness.models.transformers import pick_dtype

    with loading(spec), torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source, trust_remote_code=False))
    return str(pick_dtype(None, torch.device(device), skeleton.num_parameters())).removeprefix("torch.")


def _is_sharded(accelerator: Any) -> bool:
    return str(getattr(accelerator.distributed_type, "value", accelerator.distributed_type)) in (
        "FSDP",
        "DEEPSPEED",
        "MEGATRON_LM",
    )


# --- what happened ----------------------------------------------------------------------------------------------------


def _watch(on_progress: Progress | None, keep: Callable[[int], None]) -> Any:
    from transformers import TrainerCallback

    begun = time.perf_counter()

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            keep(state.global_step)
            # The trainer would write a last checkpoint beside the result itself.
            if state.global_step >= state.max_steps and not args.load_best_model_at_end:
                control.should_save = False

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
            if logs is None or "loss" not in logs:  # the closing summary
                return
            if not abs(logs["loss"]) < float("inf"):
                control.should_training_stop = True
                return
            if on_progress is not None:
                rest = {name: value for name, value in logs.items() if _is_number(value)}
                loss, rate = logs["loss"], logs.get("learning_rate", 0.0)
                on_progress(TrainingStep(state.global_step, state.max_steps, loss, rate, time.perf_counter() - begun, rest))

    return Watch()


def _check_finite(history: Sequence[Mapping[str, Any]]) -> None:
    wrong = next((entry for entry in history if not abs(entry["loss"]) < float("inf")), None)
    if wrong is not None:
        raise DivergedError(
            f"training diverged: the loss of step {wrong['step']} is {wrong['loss']}; use a lower learning_rate"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


def _plain(value: Any) -> Any:
    """Return `value` as JSON has it: paths as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def digest(*parts: Any) -> str:
    """Return a short hash of JSON values, to name what is kept between attempts."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def peak_memory() -> float:
    """Return the most memory that this process has held so far, in bytes: of the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(used if sys.platform == "darwin" else used * 1024)
