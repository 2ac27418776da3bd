"""Critiques written by a model: what it is asked, how its verdict is read, and what of its words can be taught."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from soundness.errors import SettingError
from soundness.models.base import Model
from soundness.records import LETTERS, Problem
from soundness.training.rewards import reward_of

__all__ = [
    "AT_ONCE",
    "Critique",
    "Dropped",
    "check_room",
    "counts_of",
    "question_of",
    "row_of",
    "verdict_of",
    "with_verdict",
    "write_critiques",
]

AT_ONCE = 8
"""Texts that a model writes in one batch."""

_ASK = "Judge this solution step by step and end with 'Conclusion: right [END]' or 'Conclusion: wrong [END]'."

# A line of its own, so that a repeated instruction is no verdict, and no second word behind it ("right or wrong").
_VERDICT = re.compile(
    r"^[^\w\n]*conclusion[^\w\n]{1,8}(right|wrong|correct|incorrect)\b(?![^\w\n]*(?:or\b|/))[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)


class Critique(NamedTuple):
    """One solution with what is to be said of it."""

    problem: Problem
    solution: str
    text: str


class Dropped(NamedTuple):
    """What a model wrote and cannot be used."""

    problem: Problem
    solution: str
    text: str
    why: str


def row_of(one: Critique | Dropped) -> dict[str, str]:
    """Return the line that a file of critiques holds for it."""
    return {"id": one.problem.id, "solution": one.solution, "critique": one.text}


def counts_of(made: Sequence[Critique], dropped: Sequence[Dropped]) -> dict[str, Any]:
    """Return how many critiques were kept and dropped, and how often a kept verdict is what the solution's answer deserves."""
    deserved = [
        reward_of(one.solution, "stop", one.problem, "binary") if one.problem.answer is not None else None for one in made
    ]
    known = [(verdict_of(one.text), bool(value)) for one, value in zip(made, deserved, strict=True) if value is not None]
    reasons = [one.why for one in dropped]
    return {
        "critiques_kept": len(made),
        "critiques_dropped": {why: reasons.count(why) for why in sorted(set(reasons))},
        "share_verdicts_true": sum(said == true for said, true in known) / len(known) if known else None,
    }


def write_critiques(critic: Model, asked: Sequence[Critique], max_tokens: int) -> tuple[list[Critique], list[Dropped]]:
    """Return the solutions with critiques that a model wrote, greedily and up to their verdict, and those without one."""
    prompts = [critic.render(question_of(one)).ids for one in asked]
    check_room(critic.name, critic.context_length, prompts, max_tokens)
    made, dropped = [], []
    for start in range(0, len(asked), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        written = critic.generate(prompts[part], max_tokens=max_tokens, until="[END]")
        for one, generation in zip(asked[part], written, strict=True):
            text = critic.decode(generation.ids).strip()
            verdict = verdict_of(text)
            if verdict is not None:
                made.append(one._replace(text=with_verdict(text, verdict)))
                continue
            why = "critique cut off" if generation.finish == "length" else "no verdict"
            dropped.append(Dropped(one.problem, one.solution, text, why))
    return made, dropped


def check_room(who: str, context: int | None, prompts: Sequence[Sequence[int]], max_tokens: int) -> None:
    """Raise SettingError where a prompt and what is written after it exceed the tokens that `who` reads; None is no limit."""
    longest = max(map(len, prompts), default=0)
    if context is not None and longest + max_tokens > context:
        raise SettingError(
            f"{who} reads {context} tokens, and the longest prompt has {longest} and what is written up to {max_tokens}: use "
            f"max_tokens={max(1, context - longest)} or shorter problems"
        )


def question_of(one: Critique) -> str:
    """Return what is asked of whoever judges: context, question, lettered choices, the solution, and how to end."""
    problem = one.problem
    choices = [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(problem.choices or ())]
    lines = [*problem.context, problem.question, *choices]
    return "\n".join(lines) + f"\n\nSolution:\n{one.solution}\n\n{_ASK}"


def verdict_of(text: str) -> bool | None:
    r"""Return whether a critique calls its solution right, or None where it has no verdict or two that differ.

    >>> verdict_of("Step 1 is right.\nConclusion: wrong [END]"), verdict_of("**Conclusion:** Correct.")
    (False, True)
    >>> verdict_of("End with 'Conclusion: right [END]'"), verdict_of("Conclusion: right or wrong?")
    (None, None)
    """
    said = {word.lower() in ("right", "correct") for word in _VERDICT.findall(text)}
    return said.pop() if len(said) == 1 else None


def with_verdict(text: str, right: bool) -> str:
    """Return a critique up to its verdict, which is `right` or wrong whatever it was, in the form that is taught."""
    found = _VERDICT.search(text)
    head = text if found is None else text[: found.start()]
    return f"{head.rstrip()}\nConclusion: {'right' if right else 'wrong'} [END]".lstrip()
