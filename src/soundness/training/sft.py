"""Supervised fine-tuning with TRL's SFTTrainer: the plain method, and the one that the others are measured against.

Loss is the mean negative log-likelihood over completion tokens, in nats. The result is an ordinary PEFT adapter or an
ordinary transformers folder, in safetensors, with its tokenizer and `training.json` beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundness.errors import SettingError
from soundness.statistics.resampling import derive_seed
from soundness.tasks.base import Task
from soundness.training.common import (
    RECORD,
    About,
    Adaptation,
    Progress,
    Session,
    Settings,
    TrainingStep,
    task_of,
    train_by,
)
from soundness.training.data import Example, Target, build_examples, check_lengths

if TYPE_CHECKING:
    from soundness.training.monitor import SoundnessMonitor

__all__ = ["ABOUT", "RECORD", "Config", "TrainingStep", "direct_ids", "fit_examples", "learn", "train", "train_sft"]

ABOUT = About(
    name="sft",
    title="supervised fine-tuning on answers, rationales or any completion",
    papers=("2203.02155 (sec. 3.5)",),
    needs="a reference answer; `steps` or a `rationale` for the target rationale; a `completion` for the target completion",
    cost="the plain measure: one forward and backward pass per example",
    when="there are examples of what the model should write; the baseline of every other method",
    differs=("nothing is truncated: an example that is too long is refused",),
)


@dataclass(frozen=True, slots=True)
class Config:
    """What supervised fine-tuning adds to the common settings."""

    target: Target = "rationale"
    """rationale: steps and answer line; label: the answer line alone; completion: the row's own field."""
    direct: float = 0.0
    """Share of the problems that are taught by their answer line alone, whatever the target: rows that lack their reasoning."""

    def __post_init__(self) -> None:
        if not 0 <= self.direct <= 1:
            raise SettingError(f"direct is a share between 0 and 1, and it is {self.direct}")


def train(
    model: str,
    task: Task | str,
    *,
    out: Path | str,
    config: Config | None = None,
    settings: Settings | None = None,
    monitor: SoundnessMonitor | None = None,
    on_progress: Progress | None = None,
) -> Path:
    """Return the folder `out`, which holds `model` tuned on what `config.target` teaches for the problems of `task`."""
    config = config or Config()
    return train_by(
        learn, "sft", model, task, out=out, config=config, settings=settings, monitor=monitor, on_progress=on_progress
    )


def learn(run: Session, config: Config) -> None:
    """Tune the session's model on what `config.target` teaches for its problems."""
    bare = direct_ids(run.task, config.direct, run.settings.seed)
    examples = build_examples(run.task, config.target, run.tokenizer, labels_only=bare)
    run.describe(config, num_direct=len(bare))
    fit_examples(run, examples)


def direct_ids(task: Task, share: float, seed: int) -> frozenset[str]:
    """Return the ids of the problems taught by their answer line alone: each with probability `share`, by its own draw.

    What is drawn for a problem depends on task, seed and id, not on which other problems there are.
    """
    return frozenset(one.id for one in task.problems if derive_seed(seed, "direct", task.name, one.id) / 2**64 < share)


def fit_examples(run: Session, examples: Sequence[Example], **own: Any) -> Any:
    """Train on `examples` and return the trainer: the loss is over completion tokens alone.

    `own` overrides the trainer's configuration. Raises SettingError where an example is too long.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from soundness.models.transformers import quiet

    check_lengths(examples, run.settings.max_length, run.context)
    run.describe_examples(examples)
    with quiet():
        trainer = SFTTrainer(
            model=run.network,
            args=run.arguments(SFTConfig, **{"max_length": None, "train_sampling_strategy": "group_by_length", **own}),
            # Columns `input_ids` and `labels`: the trainer takes such rows as they are, with no template, tokeniser or cutting.
            train_dataset=Dataset.from_dict(
                {"input_ids": [one.input_ids for one in examples], "labels": [one.labels for one in examples]}
            ),
            processing_class=run.padded,
            peft_config=run.adapter(),
        )
    return run.fit(trainer)


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
    on_progress: Progress | None = None,
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
    if limit is not None and limit < 1:
        raise SettingError(f"limit must be above 0, and it is {limit}")
    adaptation: Adaptation = "full" if full or lora_rank is None else "lora"
    settings = Settings(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        adaptation=adaptation,
        max_length=max_length,
        seed=seed,
        dtype=dtype,
        device=device,
        report_to=report_to,
        overwrite=overwrite,
    )
    if lora_rank is not None and adaptation == "lora":
        settings = replace(settings, lora_rank=lora_rank)
    task = task_of(task, limit=limit, seed=seed)
    return train(model, task, out=out, config=Config(target), settings=settings, on_progress=on_progress)
