"""What a problem's knowledge is: its own passages and facts, or what a folder of documents has to say about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from soundness.errors import TaskError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.retrieval import Documents

__all__ = ["all_passages", "share_with_gold", "snippets_of", "without_context"]


def snippets_of(task: Task, documents: str | None, num: int, *, method: str) -> dict[str, tuple[str, ...]]:
    """Return each problem's snippets by its id: retrieved from `documents`, else its `context`, else its `facts`.

    Raises TaskError where a problem has none.
    """
    if documents is not None:
        searched = Documents.load(documents)
        found = {problem.id: searched.search(_query(problem), num) for problem in task.problems}
        fix = "other documents, or leave these problems out"
    else:
        found = {problem.id: (problem.context or problem.facts)[:num] for problem in task.problems}
        fix = 'give problems a `context` or `facts`, or a folder of documents (documents = "FOLDER" in the config)'
    lacking = [name for name, snippets in found.items() if not snippets]
    if lacking:
        raise TaskError(
            f"{method} needs knowledge for every problem, and {len(lacking)} of the {len(task.problems)} problems of {task.name} "
            f"have none (the first is {lacking[0]!r}): {fix}"
        )
    return found


def _query(problem: Problem) -> str:
    return " ".join([problem.question, *(problem.choices or ())])


def all_passages(snippets: dict[str, tuple[str, ...]]) -> list[str]:
    """Return every distinct snippet once, in order of first use."""
    return list(dict.fromkeys(text for texts in snippets.values() for text in texts))


def without_context(task: Task) -> Task:
    """Return the task with the passages taken out of its prompts."""
    return replace(task, problems=tuple(replace(problem, context=()) for problem in task.problems))


def share_with_gold(task: Task, snippets: dict[str, tuple[str, ...]]) -> float | None:
    """Return the share of problems whose reference answer stands in their snippets, or None without reference answers."""
    known: list[Any] = [
        any(problem.answer_text.casefold() in text.casefold() for text in snippets[problem.id])
        for problem in task.problems
        if problem.answer_text is not None
    ]
    return sum(known) / len(known) if known else None
