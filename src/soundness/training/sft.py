"""Supervised fine-tuning with TRL's SFTTrainer: the plain method, and the one that the others are measured against.

Loss is the mean negative log-likelihood over completion tokens, in nats. The result is an ordinary PEFT adapter or an
ordinary transformers folder, in safetensors, with its tokenizer and `training.json` beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from soundness.options import Fraction, options
from soundness.statistics.resampling import derive_seed
from soundness.tasks.base import Task
from soundness.training.data import Example, Target, build_examples, check_lengths
from soundness.training.session import Session
from soundness.training.settings import About

__all__ = ["ABOUT", "Config", "direct_ids", "fit_examples", "learn"]

ABOUT = About(
    name="sft",
    title="supervised fine-tuning on answers, rationales or any completion",
    papers=("2203.02155 (sec. 3.5)",),
    needs="a reference answer; `steps` or a `rationale` for the target rationale; a `completion` for the target completion",
    cost="the plain measure: one forward and backward pass per example",
    when="there are examples of what the model should write; the baseline of every other method",
    differs=("nothing is truncated: an example that is too long is refused",),
)


@options
class Config:
    """What supervised fine-tuning adds to the common settings."""

    target: Target = "rationale"
    """rationale: steps and answer line; label: the answer line alone; completion: the row's own field."""
    direct: Fraction = 0.0
    """Share of the problems that are taught by their answer line alone, whatever the target: rows that lack their reasoning."""


def learn(run: Session, config: Config) -> None:
    """Tune the session's model on what `config.target` teaches for its problems."""
    bare = direct_ids(run.task, config.direct, run.settings.seed)
    examples = build_examples(run.task, config.target, run.tokenizer, labels_only=bare)
    run.note(num_direct=len(bare))
    fit_examples(run, examples)


def direct_ids(task: Task, share: float, seed: int) -> frozenset[str]:
    """Return the ids of the problems taught by their answer line alone: each with probability `share`, by its own draw.

    What is drawn for a problem depends on task, seed and id, not on which other problems there are.
    """
    return frozenset(one.id for one in task.problems if derive_seed(seed, "direct", task.name, one.id) / 2**64 < share)


def fit_examples(run: Session, examples: Sequence[Example], **own: Any) -> None:
    """Train on `examples`: the loss is over completion tokens alone.

    `own` overrides the trainer's configuration. Raises SettingError where an example is too long.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from soundness.models.transformers import quiet

    check_lengths(examples, run.settings.max_length, run.start.context)
    run.note_examples(examples)
    with quiet():
        trainer = SFTTrainer(
            model=run.start.network,
            args=run.arguments(SFTConfig, **{"max_length": None, "train_sampling_strategy": "group_by_length", **own}),
            # Columns `input_ids` and `labels`: the trainer takes such rows as they are, with no template, tokeniser or cutting.
            train_dataset=Dataset.from_dict(
                {"input_ids": [one.input_ids for one in examples], "labels": [one.labels for one in examples]}
            ),
            processing_class=run.start.padded,
            peft_config=run.adapter(),
        )
    run.fit(trainer)
