"""Supervised fine-tuning with TRL's SFTTrainer: the plain method, and the one that the others are measured against.

Loss is the mean negative log-likelihood over completion tokens, in nats. The result is an ordinary PEFT adapter or an
ordinary transformers folder, in safetensors, with its tokenizer and `training.json` beside it.
"""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from soundness.errors import MissingPackage, ModelError, RunError, SettingError, near
from soundness.models.load import resolve_source
from soundness.tasks.base import Task, load_task
from soundness.training.data import Example, Target, build_examples, check_lengths

__all__ = ["RECORD", "TrainingStep", "train_sft"]

RECORD = "training.json"
"""File in a trained folder that says how it was made."""

LORA_LEARNING_RATE = 2e-4
FULL_LEARNING_RATE = 2e-5
CHECKPOINTING_ABOVE = 1_000_000_000  # parameters: below, recomputing activations costs more than it saves
PACKAGES = ("soundness", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """Where a training run stands after one optimiser step."""

    step: int
    """Optimiser steps done, from 1."""
    num_steps: int
    """Optimiser steps in all."""
    loss: float
    """Mean negative log-likelihood of the step's completion tokens, nats."""
    learning_rate: float
    """Learning rate of the step."""
    seconds: float
    """Since the first step began."""


def train_sft(
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    target: Target = "rationale",
    limit: int | None = None,
    epochs: float = 3.0,
    learning_rate: float | None = None,
    batch_size: int = 8,
    lora_rank: int | None = 16,
    full: bool = False,
    max_length: int | None = 1024,
    seed: int = 0,
    dtype: str | None = None,
    device: str | None = None,
    report_to: str = "none",
    overwrite: bool = False,
    on_progress: Callable[[TrainingStep], None] | None = None,
) -> Path:
    """Return the folder `out`, which holds `model` tuned on the problems of `task`.

    The folder appears when training has ended, whole. `training.json` in it names the base (`soundness_base`), the settings,
    seed and versions, the number of examples and tokens, the loss of every step in nats per completion token, and seconds.
    The same seed on the same machine gives the same losses.

    Args:
        model: What to tune: `smollm2`, a folder or a hub name.
        task: A task, or its specification.
        out: Folder to write; must not exist or be empty, unless `overwrite`.
        target: What to teach: `rationale` (steps and answer line), `label` (answer line alone) or `completion` (the row's own).
        limit: Use the first so many problems.
        epochs: Passes over the examples.
        learning_rate: Peak rate, reached after 5 % of the steps, then falling linearly to 0. None: 2e-4 for adapters, 2e-5 for
            full tuning.
        batch_size: Examples per step.
        lora_rank: Rank of the adapter on every linear layer but the output (alpha is twice the rank); ignored when `full`.
        full: Tune all weights and write an ordinary model folder.
        max_length: Longest example allowed, in tokens; None for the model's own limit. Longer ones are refused, never cut.
        seed: Of the adapter's start and the order of examples; of a world's items too where `task` names one.
        dtype: `float32` or `bfloat16`. None: bfloat16 where the device computes it fast and the model is not tiny. In bfloat16
            an adapter's base is held in it, while whatever is trained stays float32 and is only multiplied in bfloat16.
        device: `cpu`, `cuda` or `mps`; None for the best there is.
        report_to: Any tracker that transformers knows (`wandb`, `tensorboard`, ...), or `none`.
        overwrite: Replace an earlier training result in `out`; any other folder is still refused.
        on_progress: Called after every step.

    Raises:
        SettingError: A setting makes no sense, or an example is too long.
        TaskError: The task cannot be used, or some of its problems lack what `target` needs.
        ModelError: The model cannot be loaded or trained.
        RunError: `out` is in use or cannot be written.
        MissingPackage: TRL is absent.
    """
    full = full or lora_rank is None
    _check_settings(epochs, learning_rate, batch_size, lora_rank, full, max_length, limit, dtype, device)
    out = Path(out).expanduser()
    _check_out(out, overwrite)
    if find_spec("trl") is None:
        raise MissingPackage("trl", "training", "'soundness[train]'")
    if isinstance(task, str):
        task = load_task(task, limit=limit, seed=seed)
    elif limit is not None:
        task = replace(task, problems=task.problems[:limit])

    from soundness.models.transformers import quiet

    source = resolve_source(model)
    tokenizer = _load_tokenizer(model, source)
    examples = build_examples(task, target, tokenizer)
    device = device or _best_device()
    precision = dtype or _default_precision(model, source, device)
    network = _load_network(model, source, precision="float32" if full else precision)
    check_lengths(examples, max_length, getattr(network.config.get_text_config(), "max_position_embeddings", None))

    settings = {
        "target": target,
        "epochs": epochs,
        "learning_rate": learning_rate or (FULL_LEARNING_RATE if full else LORA_LEARNING_RATE),
        "batch_size": batch_size,
        "lora_rank": None if full else lora_rank,
        "full": full,
        "max_length": max_length,
        "seed": seed,
        "dtype": precision,
        "device": device,
    }
    with _staged(out, overwrite) as folder:
        with quiet():
            steps, seconds = _fit(network, tokenizer, examples, folder, settings, report_to, on_progress)
        tokenizer.save_pretrained(folder)
        record = {
            "method": "sft",
            "soundness_base": str(Path(model).expanduser().resolve()) if Path(model).expanduser().is_dir() else model,
            "base_source": source,
            "task": task.name,
            "task_fingerprint": task.fingerprint,
            "settings": settings,
            "num_examples": len(examples),
            "num_tokens": sum(len(example.input_ids) for example in examples),
            "num_completion_tokens": sum(len(example.completion) for example in examples),
            "num_steps": len(steps),
            "seconds": round(seconds, 3),
            "losses": [step.loss for step in steps],
            "versions": {"python": platform.python_version(), **_versions()},
        }
        (folder / RECORD).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return out


def _check_settings(
    epochs: float,
    learning_rate: float | None,
    batch_size: int,
    lora_rank: int | None,
    full: bool,
    max_length: int | None,
    limit: int | None,
    dtype: str | None,
    device: str | None,
) -> None:
    positive = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "max_length": max_length,
        "limit": limit,
    }
    if not full:
        positive["lora_rank"] = lora_rank
    for name, value in positive.items():
        if value is not None and not value > 0:
            raise SettingError(f"{name} must be above 0, and it is {value}")
    if dtype not in (None, "float32", "bfloat16"):
        known = ("float32", "bfloat16")
        raise SettingError(f"training runs in float32 or bfloat16, not in {dtype!r}{near(str(dtype), known)}")
    if device is None:
        return
    if device not in ("cpu", "cuda", "mps"):
        raise SettingError(
            f"training runs on cpu, cuda or mps, not on {device!r}; pick one GPU of several by CUDA_VISIBLE_DEVICES"
        )
    if device != "cpu" and _best_device() != device:
        raise SettingError(f"there is no {device} device here; leave device out, or use cpu")


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
        raise RunError(f"{out} already holds a training result: choose another folder, or pass overwrite to replace it")


@contextmanager
def _staged(out: Path, overwrite: bool) -> Iterator[Path]:
    """Give a folder beside `out` to fill, which takes the place of `out` at the end and vanishes on failure."""
    staging = out.parent / f".{out.name}.partial"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)  # left by a killed run
        staging.mkdir()
        yield staging
        _check_out(out, overwrite)
        if out.exists():
            shutil.rmtree(out)
        staging.replace(out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _load_tokenizer(spec: str, source: str) -> Any:
    from transformers import AutoTokenizer

    if (Path(source) / "adapter_config.json").is_file():
        raise ModelError(f"{spec} is an adapter, and training starts from a whole model: give its base, or tune it with full")
    with _loading(spec):
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def _load_network(spec: str, source: str, precision: str) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    with _loading(spec):
        return AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, precision), use_safetensors=True, trust_remote_code=False
        )


@contextmanager
def _loading(spec: str) -> Iterator[None]:
    """Turn what transformers says of a model that cannot be loaded into one line."""
    from soundness.models.transformers import quiet

    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"cannot load {spec!r} for training: {line}") from error


def _best_device() -> str:
    from soundness.models.transformers import pick_device

    return pick_device(None).type


def _default_precision(spec: str, source: str, device: str) -> str:
    """Return the dtype that an audit would choose for this model on this device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from soundness.models.transformers import pick_dtype

    with _loading(spec), torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source, trust_remote_code=False))
    return str(pick_dtype(None, torch.device(device), skeleton.num_parameters())).removeprefix("torch.")


def _fit(
    network: Any,
    tokenizer: Any,
    examples: list[Example],
    folder: Path,
    settings: dict[str, Any],
    report_to: str,
    on_progress: Callable[[TrainingStep], None] | None,
) -> tuple[list[TrainingStep], float]:
    """Train `network`, save it into `folder`; return what happened at each step, and the seconds that training took."""
    from copy import deepcopy

    from datasets import Dataset
    from peft import LoraConfig
    from transformers import PrinterCallback, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    steps: list[TrainingStep] = []
    begun = time.perf_counter()

    class Watch(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
            if logs is None or "loss" not in logs:  # the closing summary
                return
            seconds = time.perf_counter() - begun
            steps.append(TrainingStep(state.global_step, state.max_steps, logs["loss"], logs["learning_rate"], seconds))
            if on_progress is not None:
                on_progress(steps[-1])

    adapter = None
    if not settings["full"]:
        rank = settings["lora_rank"]
        adapter = LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    # The trainer gives the tokenizer a pad token where it has none; the one saved beside the model stays as it came.
    padded = deepcopy(tokenizer)
    if padded.pad_token is None:
        padded.pad_token = padded.convert_ids_to_tokens(examples[0].completion[-1])
    trainer = SFTTrainer(
        model=network,
        args=SFTConfig(
            output_dir=str(folder),
            num_train_epochs=settings["epochs"],
            learning_rate=settings["learning_rate"],
            per_device_train_batch_size=settings["batch_size"],
            lr_scheduler_type="linear",
            warmup_steps=0.05,  # below 1 it is a share of all steps
            train_sampling_strategy="group_by_length",
            gradient_checkpointing=network.num_parameters() > CHECKPOINTING_ABOVE,
            bf16=settings["dtype"] == "bfloat16",
            use_cpu=settings["device"] == "cpu",
            max_length=None,
            seed=settings["seed"],  # set by the trainer before it draws the adapter
            logging_steps=1,
            logging_nan_inf_filter=False,  # it would put an older loss in the place of a diverged one
            save_strategy="no",
            report_to=report_to,
            disable_tqdm=True,
        ),
        # Columns `input_ids` and `labels`: the trainer takes such rows as they are, with no template, tokeniser or cutting.
        train_dataset=Dataset.from_dict(
            {"input_ids": [example.input_ids for example in examples], "labels": [example.labels for example in examples]}
        ),
        processing_class=padded,
        peft_config=adapter,
        callbacks=[Watch()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    seconds = time.perf_counter() - begun
    diverged = next((step for step in steps if not abs(step.loss) < float("inf")), None)
    if diverged is not None:
        raise ModelError(f"training diverged: the loss of step {diverged.step} is {diverged.loss}; use a lower learning_rate")
    trainer.accelerator.unwrap_model(trainer.model).save_pretrained(folder)
    return steps, seconds


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
