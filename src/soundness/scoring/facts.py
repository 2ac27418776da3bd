"""Are the facts in the steps true? Exact in the worlds, by any model elsewhere.

A judge sees one step and what it is to be held against (the problem's facts and context, the best passages of a folder of
documents), and answers true, false or none. Its words are kept as they came; what cannot be read is missing, never false.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soundness.errors import ModelError, SoundnessError
from soundness.metrics.case import Case
from soundness.metrics.judgement import Judgement
from soundness.models.cached import CachedModel
from soundness.records import Problem
from soundness.tasks.retrieval import Documents
from soundness.tasks.worlds import Puzzle, puzzle_of

__all__ = ["Judge", "judge_cases", "knows_exactly", "read_judgement"]

_PROMPT = """Reference:
{evidence}

Statement: {statement}

Does the statement state a fact, and does the reference support it? Answer with one word: true if the reference supports it, \
false if the reference contradicts it, none if it states no fact or the reference says nothing about it."""

_MOST_TOKENS = 16
_PASSAGES = 3


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that judges, with the documents it may look into."""

    model: CachedModel | None = None
    """Who judges; None leaves the exact worlds alone to be judged."""
    documents: Documents | None = None
    """Where facts are looked up, or None."""


def knows_exactly(problem: Problem) -> Puzzle | None:
    """Return what knows which steps are true where the problem was made by a world, or None."""
    puzzle = puzzle_of(problem)
    return puzzle if puzzle is not None and any(map(puzzle.check, puzzle.true_steps())) else None


def read_judgement(text: str) -> str | None:
    """Return true, false or none as a judge's reply says it, or None where it says none of them or several.

    >>> read_judgement(" True."), read_judgement("I cannot tell"), read_judgement("true or false?")
    ('true', None, None)
    """
    words = set(re.findall(r"\b(true|false|none)\b", text.casefold()))
    return words.pop() if len(words) == 1 else None


def judge_cases(
    cases: Sequence[Case], judge: Judge | None, *, on_progress: Callable[[int, int], None] | None = None
) -> list[tuple[Judgement, ...]]:
    """Return the judgements of each case's steps, in order; empty for a case that nobody can judge.

    Raises ModelError where the judge fails, or where none of its replies can be read.
    """
    found: list[tuple[Judgement, ...]] = []
    asked: dict[tuple[str, tuple[str, ...]], str] = {}
    plans: list[list[tuple[int, str, tuple[str, ...]]]] = []
    for case in cases:
        puzzle = knows_exactly(case.problem)
        plan: list[tuple[int, str, tuple[str, ...]]] = []
        if puzzle is not None and not case.skip_reason:
            found.append(tuple(_exact(i, text, puzzle) for i, text in enumerate(case.body.chain.step_texts)))
        else:
            found.append(())
            if judge is not None and judge.model is not None and not case.skip_reason:
                plan = [
                    (i, text.strip(), _evidence(text, case.problem, judge)) for i, text in enumerate(case.body.chain.step_texts)
                ]
                plan = plan if all(evidence for _, _, evidence in plan) else []
        plans.append(plan)
        asked.update({(text, evidence): "" for _, text, evidence in plan})
    if asked and judge is not None and judge.model is not None:
        replies = _ask(list(asked), judge.model, on_progress)
        for index, plan in enumerate(plans):
            if plan:
                found[index] = tuple(
                    Judgement(i, read_judgement(replies[text, evidence]) or "missing", replies[text, evidence], evidence)  # type: ignore[arg-type]
                    for i, text, evidence in plan
                )
    return found


def _exact(step: int, text: str, puzzle: Puzzle) -> Judgement:
    truth = puzzle.check(text)
    return Judgement(step, "none" if truth is None else "true" if truth else "false")


def _evidence(text: str, problem: Problem, judge: Judge) -> tuple[str, ...]:
    """Return what a step is held against; empty where there is nothing."""
    passages = judge.documents.search(text, _PASSAGES) if judge.documents is not None else ()
    known = (*problem.facts, *problem.context, *passages)
    # A folder without a fitting passage is still a reference: it says nothing about the step.
    return known or (("(no passage found)",) if judge.documents is not None else ())


def _ask(
    asked: Sequence[tuple[str, tuple[str, ...]]], model: CachedModel, on_progress: Callable[[int, int], None] | None
) -> dict[tuple[str, tuple[str, ...]], str]:
    """Return the judge's reply to each (statement, evidence)."""
    prompts = [
        model.render(_PROMPT.format(evidence="\n".join(f"- {one}" for one in evidence), statement=text)).ids
        for text, evidence in asked
    ]
    try:
        made = model.generate(prompts, max_tokens=_MOST_TOKENS, on_progress=on_progress)
    except SoundnessError as error:
        raise ModelError(
            f"the judge {model.name} failed: {error}; what was judged before is kept, run the command again"
        ) from error
    replies = {key: model.decode(generation.ids) for key, generation in zip(asked, made, strict=True)}
    if all(read_judgement(reply) is None for reply in replies.values()):
        first = next(iter(replies.values()))[:80]
        raise ModelError(
            f"the judge {model.name} gave {len(replies)} replies and none of them says true, false or none (the first: {first!r}); "
            "use another --judge, or leave out the metric knowledge"
        )
    return replies
