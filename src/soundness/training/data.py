"""What a model is trained on: token ids of prompt and completion, the prompt exactly as an audit shows it.

Prompt and completion are tokenised apart and joined as ids, the way a model meets them when it answers: its own tokens after
the prompt's. No boundary can merge, no second beginning-of-text token or template can creep in, and the prompt's labels are
known by position.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from soundness.errors import SettingError, TaskError, near
from soundness.models.chat import closing_id
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.rows import load_training_task

__all__ = [
    "IGNORED",
    "TARGETS",
    "Example",
    "Target",
    "build_examples",
    "check_lengths",
    "closing_id",
    "completion_text",
    "task_of",
    "taught_text",
]

Target = Literal["rationale", "label", "completion"]

TARGETS: dict[str, str] = {
    "rationale": "the reference steps or rationale, then the answer line",
    "label": "the answer line alone",
    "completion": "the row's own field `completion`",
}
"""Target -> what the model learns to write."""

IGNORED = -100
"""The label that torch's cross entropy leaves out (its `ignore_index`)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One prompt with what the model should write after it."""

    problem_id: str
    """The problem it was made from."""
    prompt: tuple[int, ...]
    """Token ids shown, never trained on."""
    completion: tuple[int, ...]
    """Token ids learnt, the closing token last."""

    @property
    def input_ids(self) -> list[int]:
        """Prompt and completion joined."""
        return [*self.prompt, *self.completion]

    @property
    def labels(self) -> list[int]:
        """`input_ids` with `IGNORED` in the place of every prompt token."""
        return [IGNORED] * len(self.prompt) + list(self.completion)


def task_of(task: Task | str, *, limit: int | None = None, seed: int = 0) -> Task:
    """Return `task`, loaded where it is a specification, with its first `limit` problems."""
    if isinstance(task, str):
        return load_training_task(task, limit=limit, seed=seed)
    return task if limit is None else replace(task, problems=task.problems[:limit])


def completion_text(problem: Problem, target: str) -> str | None:
    r"""Return the text that `target` teaches for `problem`, or None where the problem lacks a field that it needs.

    >>> problem = Problem("1", "What is 2 + 3 + 4?", "9", steps=("2 + 3 = 5", "5 + 4 = 9"))
    >>> completion_text(problem, "rationale")
    '2 + 3 = 5\n5 + 4 = 9\nAnswer: 9'
    >>> completion_text(problem, "label")
    'Answer: 9'
    >>> completion_text(problem, "completion") is None
    True
    """
    if target == "completion":
        own = problem.meta.get("completion")
        return own if isinstance(own, str) and own.strip() else None
    if problem.answer is None:
        return None
    answer_line = f"Answer: {problem.answer}"
    if target == "label":
        return answer_line
    reasons = "\n".join(problem.steps) if problem.steps else problem.rationale
    return f"{reasons.strip()}\n{answer_line}" if reasons and reasons.strip() else None


def taught_text(task: Task, problem: Problem, target: str) -> str | None:
    r"""Return all that `target` teaches to write for `problem` of `task`, or None where the problem lacks a field that it needs.

    Behind an open answer stands the task's terminator, which an audit scores with the answer: a model that was never taught it would
    find it surprising, with or without steps. A row's own completion stays as it is.

    >>> problem = Problem("1", "What is 2 + 3?", "5", steps=("2 + 3 = 5",))
    >>> taught_text(Task("sums", (problem,)), problem, "label")
    'Answer: 5\n'
    """
    text = completion_text(problem, target)
    whole = target == "completion" or problem.choices is not None
    return text if text is None or whole else text + task.terminator


def build_examples(task: Task, target: str, tokenizer: Any, *, labels_only: Collection[str] = ()) -> list[Example]:
    """Return one example per problem, in task order; the problems named in `labels_only` teach their answer line alone.

    Raises:
        SettingError: `target` is no target.
        TaskError: Some problems lack what `target` needs.
        ModelError: The tokenizer has no token that ends a text.
    """
    if target not in TARGETS:
        known = "; ".join(f"{name}: {meaning}" for name, meaning in TARGETS.items())
        raise SettingError(f"there is no target {target!r}{near(target, TARGETS)}; there are {known}")
    kinds = ["label" if problem.id in labels_only else target for problem in task.problems]
    texts = [taught_text(task, problem, kind) for problem, kind in zip(task.problems, kinds, strict=True)]
    if None in texts:
        raise TaskError(_missing(task, kinds[texts.index(None)]))
    from soundness.models.tokens import encode_fragment
    from soundness.models.transformers import render_prompt

    closing = closing_id(tokenizer)
    return [
        Example(
            problem.id,
            render_prompt(tokenizer, task.turns(problem), task.prompting).ids,
            (*encode_fragment(tokenizer, text), closing),
        )
        for problem, text in zip(task.problems, texts, strict=True)
        if text is not None
    ]


def _missing(task: Task, target: str) -> str:
    """Say how many problems lack what `target` needs, and which targets all problems allow."""
    lacking = [problem for problem in task.problems if completion_text(problem, target) is None]
    needed = {
        "completion": "a `completion` field",
        "label": "a reference answer",
        "rationale": "an answer with `steps` or a `rationale`",
    }[target]
    possible = [other for other in TARGETS if all(completion_text(problem, other) is not None for problem in task.problems)]
    instead = f"use the target {' or '.join(possible)}" if possible else "add the field or leave these problems out"
    return (
        f"the target {target} needs {needed}, and {len(lacking)} of the {len(task.problems)} problems of {task.name} have none "
        f"(the first is {lacking[0].id!r}): {instead}"
    )


def check_lengths(examples: Sequence[Example], max_length: int | None, context: int | None) -> None:
    """Raise SettingError where an example exceeds `max_length` or the model's `context`, both in tokens; None is no limit.

    Nothing is ever cut: the end of a completion is its answer and its closing token.
    """
    longest = max(examples, key=lambda example: len(example.input_ids))
    size = len(longest.input_ids)
    sizes = f"the longest has {size} ({len(longest.prompt)} of prompt, {len(longest.completion)} of completion)"
    if context is not None and size > context:
        over = sum(len(example.input_ids) > context for example in examples)
        raise SettingError(
            f"{over} of {len(examples)} examples are longer than the {context} tokens that the model can read; {sizes}: "
            "shorten or leave out these problems"
        )
    if max_length is not None and size > max_length:
        over = sum(len(example.input_ids) > max_length for example in examples)
        prompts = sum(len(example.prompt) >= max_length for example in examples)
        raise SettingError(
            f"{over} of {len(examples)} examples are longer than max_length={max_length} tokens, {prompts} of them already in "
            f"their prompt, and their completions would be cut away; {sizes}: use max_length={size} or more"
        )
