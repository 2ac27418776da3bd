"""What a model is trained on: token ids of prompt and completion, the prompt exactly as an audit shows it.

Prompt and completion are tokenised apart and joined as ids, the way a model meets them when it answers: its own tokens after
the prompt's. No boundary can merge, no second beginning-of-text token or template can creep in, and the prompt's labels are
known by position.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from soundness.answers.channels import open_form
from soundness.errors import SettingError, TaskError, near
from soundness.models.chat import closing_id, render_prompt
from soundness.models.tokens import encode_fragment
from soundness.records import Problem, Prompt, Turn
from soundness.tasks.base import Task
from soundness.tasks.prompts import Prompting
from soundness.tasks.rows import load_training_task

__all__ = [
    "IGNORED",
    "TARGETS",
    "Example",
    "Target",
    "build_examples",
    "check_lengths",
    "prompt_of",
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


class _Shown:
    """Renders prompts as a model is shown them that was taught on plain messages; whatever is trained here is such a model."""

    instructed = True

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
        """Return the prompt that asks `message`."""
        return render_prompt(self.tokenizer, message, prompting)


def prompt_of(task: Task, problem: Problem, tokenizer: Any) -> Prompt:
    """Return the prompt that an audit of the trained model shows for `problem`, with where the reply ends."""
    return task.prompt(_Shown(tokenizer), problem)


def taught_text(task: Task, problem: Problem, target: str, prompt: str = "") -> str | None:
    r"""Return all that `target` teaches to write for `problem` of `task`, or None where the problem lacks a field that it needs.

    The answer stands in the task's format, behind an open one its terminator, which an audit scores with the answer: a model that was
    never taught it would find it surprising, with or without steps. Where `prompt` (as rendered) opens a thinking span, the steps are
    what is thought, and the span is closed before the answer. A row's own completion stays as it is.

    >>> problem = Problem("1", "What is 2 + 3 + 4?", "9", steps=("2 + 3 = 5", "5 + 4 = 9"))
    >>> task = Task("sums", (problem,))
    >>> taught_text(task, problem, "rationale"), taught_text(task, problem, "label"), taught_text(task, problem, "completion")
    ('2 + 3 = 5\n5 + 4 = 9\nAnswer: 9\n', 'Answer: 9\n', None)
    >>> taught_text(task, problem, "label", "<|im_start|>assistant\n<think>\n")
    '</think>\n\nAnswer: 9\n'
    """
    if target == "completion":
        own = problem.meta.get("completion")
        return own if isinstance(own, str) and own.strip() else None
    if problem.answer is None:
        return None
    # A letter is no prefix of another one and is scored without what would close it; a bracket or quotation that is open is closed.
    closes = problem.choices is None or task.terminator.startswith(("}", ")", "]", '"'))
    closing = f"{task.cue.lstrip(chr(10))}{task.lead}{problem.answer}{task.terminator if closes else ''}"
    span = open_form(prompt) if prompt else None
    if target == "label":
        return closing if span is None else span.closing.lstrip("\n") + closing
    reasons = ("\n".join(problem.steps) if problem.steps else problem.rationale or "").strip()
    if not reasons:
        return None
    return f"{reasons}\n{closing}" if span is None else f"{reasons}{span.closing}{closing}"


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
    prompts = [prompt_of(task, problem, tokenizer) for problem in task.problems]
    texts = [
        taught_text(task, problem, kind, prompt.text)
        for problem, kind, prompt in zip(task.problems, kinds, prompts, strict=True)
    ]
    if None in texts:
        raise TaskError(_missing(task, kinds[texts.index(None)]))
    closing = closing_id(tokenizer)
    return [
        Example(problem.id, prompt.ids, (*encode_fragment(tokenizer, text), closing))
        for problem, prompt, text in zip(task.problems, prompts, texts, strict=True)
        if text is not None
    ]


def _missing(task: Task, target: str) -> str:
    """Say how many problems lack what `target` needs, and which targets all problems allow."""
    lacking = [problem for problem in task.problems if taught_text(task, problem, target) is None]
    needed = {
        "completion": "a `completion` field",
        "label": "a reference answer",
        "rationale": "an answer with `steps` or a `rationale`",
    }[target]
    possible = [other for other in TARGETS if all(taught_text(task, problem, other) is not None for problem in task.problems)]
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
