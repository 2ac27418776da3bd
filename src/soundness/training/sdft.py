"""Self-distillation of a context: the model without the context learns from itself with it (TRL's SDFTTrainer).

The off-the-shelf way to internalise knowledge, and a baseline of RLAG.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from soundness.errors import MissingPackage, SettingError
from soundness.options import AtLeastOne, Fraction, options
from soundness.tasks.base import Task
from soundness.training.data import prompt_of
from soundness.training.passages import share_with_gold, snippets_of, without_context
from soundness.training.session import Session
from soundness.training.settings import About

__all__ = ["ABOUT", "Config", "learn"]

ABOUT = About(
    name="sdft",
    title="self-distillation: the model with the context teaches the model without it",
    papers=("2601.19897",),
    needs="a `context` or `facts` per problem, or a folder of documents",
    cost="one completion per problem and step, and a second pass by the teacher",
    when="knowledge given in the prompt should go into the weights",
    differs=("TRL's trainer; an experimental part of that library",),
)


@options
class Config:
    """What sdft adds to the common settings."""

    documents: str = ""
    """Folder to retrieve from; empty for the problems' own context and facts."""
    num_snippets: AtLeastOne = 3
    """Snippets per problem."""
    max_tokens: AtLeastOne = 256
    """Longest completion."""
    teacher: Literal["base", "live", "ema"] = "base"
    """Whose beliefs are learned: the model's before training, its present ones, or their running average."""
    alpha: Fraction = 0.5
    """Between forward (0) and reverse (1) divergence."""
    top_k: AtLeastOne = 100
    """Tokens of the teacher's distribution that count."""


def learn(run: Session, config: Config) -> None:
    """Teach the session's model what it says when it sees the snippets."""
    snippets = snippets_of(run.task, config.documents or None, config.num_snippets, method="sdft")
    bare = without_context(run.task)
    run.note(num_examples=len(bare.problems), share_with_gold_in_context=share_with_gold(run.task, snippets))
    trainer = _trainer(run, bare, snippets, config)
    run.fit(trainer)


def _trainer(run: Session, task: Task, snippets: dict[str, tuple[str, ...]], config: Config) -> Any:
    from datasets import Dataset

    from soundness.models.transformers import quiet

    try:
        with quiet():
            from trl.experimental.sdft import SDFTConfig, SDFTTrainer
    except ImportError as error:
        raise MissingPackage("trl", "sdft", "'trl>=1.16'") from error
    tokenizer, room = run.tokenizer, run.start.context

    class AuditPrompts(SDFTTrainer):
        """TRL's trainer, with prompts tokenised as an audit does."""

        def _tokenize_prompts(self, prompts: list[str]) -> list[list[int]]:
            return [list(by_message[prompt].ids) for prompt in prompts]

    rows = {
        "prompt": [task.message(problem) for problem in task.problems],
        "privileged_context": ["\n".join(snippets[problem.id]) for problem in task.problems],
    }
    # The teacher's prompt is the template below filled in: the message of the same problem with the snippets as its context.
    shown = [replace(problem, context=snippets[problem.id]) for problem in task.problems]
    by_message = {task.message(problem): prompt_of(task, problem, tokenizer) for problem in (*task.problems, *shown)}
    longest = max(len(prompt.ids) for prompt in by_message.values())
    if room is not None and longest + config.max_tokens > room:
        raise SettingError(
            f"the longest prompt with its snippets has {longest} tokens and a completion up to {config.max_tokens}, more than "
            f"the {room} that the model can read: use fewer snippets or a smaller max_tokens"
        )
    with quiet():
        return AuditPrompts(
            model=run.start.network,
            args=run.arguments(
                SDFTConfig,
                num_generations=1,
                max_completion_length=config.max_tokens,
                max_prompt_length=None,
                teacher_model_kind=config.teacher,
                distillation_alpha=config.alpha,
                distillation_topk=config.top_k,
                teacher_prompt_template="{privileged_context}\n\n{prompt}",
                remove_unused_columns=False,
            ),
            train_dataset=Dataset.from_dict(rows),
            processing_class=run.start.padded,
            peft_config=run.adapter(),
        )
