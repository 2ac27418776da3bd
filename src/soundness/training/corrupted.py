"""Solutions with one mistake and exact critiques of them, for worlds whose true steps are known. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from soundness.errors import TaskError
from soundness.records import Problem
from soundness.tasks.worlds import WORLDS, puzzle_of

__all__ = ["corrupt_steps", "critique", "first_difference", "solution_text"]


def corrupt_steps(problem: Problem, rng: random.Random) -> tuple[str, ...]:
    """Return the problem's steps with one wrong result, and what consistently follows from it: another answer.

    Raises TaskError where the problem belongs to no world whose steps can be worked out.
    """
    puzzle = puzzle_of(problem)
    if puzzle is None or not puzzle.num_steps:
        raise TaskError(
            f"the problem {problem.id!r} belongs to no world whose mistakes can be worked out ({', '.join(WORLDS)}): give "
            "critiques in a file, or name a model that writes them"
        )
    return puzzle.corrupt(rng)


def first_difference(steps: Sequence[str], true: Sequence[str]) -> int | None:
    """Return the index of the first step that is not the true one, or None where all are.

    >>> first_difference(["3 + 4 = 7", "7 - 2 = 6"], ["3 + 4 = 7", "7 - 2 = 5"])
    1
    """
    for i in range(max(len(steps), len(true))):
        if i >= len(steps) or i >= len(true) or steps[i].strip() != true[i].strip():
            return i
    return None


def critique(
    steps: Sequence[str], true: Sequence[str], answer: str, *, correction: bool = True, verdict: bool | None = None
) -> str:
    r"""Return an exact critique of a solution: every true step so far, the first wrong one, its correction and the verdict.

    `verdict` overrides the verdict alone, for the control with shuffled verdicts; without `correction` the right step and answer
    are left out.

    >>> print(critique(["3 + 4 = 7", "7 - 2 = 6"], ["3 + 4 = 7", "7 - 2 = 5"], "5"))
    Step 1 is right.
    Step 2 is wrong: it should be 7 - 2 = 5
    The answer should be 5.
    Conclusion: wrong [END]
    """
    wrong = first_difference(steps, true)
    lines = [f"Step {i + 1} is right." for i in range(len(steps) if wrong is None else wrong)]
    if wrong is not None:
        place = f"Step {wrong + 1} is " + ("missing" if wrong >= len(steps) else "wrong")
        should = true[wrong].strip() if wrong < len(true) else "left out"
        lines.append(f"{place}: it should be {should}" if correction else f"{place}.")
        if correction:
            lines.append(f"The answer should be {answer}.")
    right = wrong is None if verdict is None else verdict
    lines.append(f"Conclusion: {'right' if right else 'wrong'} [END]")
    return "\n".join(lines)


def solution_text(steps: Sequence[str], answer: str) -> str:
    """Return a solution as a model would write it."""
    return "\n".join([*steps, f"Answer: {answer}"])
