"""Solutions with one mistake and exact critiques of them, for worlds whose true steps are known. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence

from soundness.errors import TaskError
from soundness.records import Problem
from soundness.tasks.worlds import chain_sum, lookup, tagged_sum

__all__ = ["corrupt_steps", "critique", "first_difference", "solution_text"]


def corrupt_steps(problem: Problem, rng: random.Random) -> tuple[str, ...]:
    """Return the problem's steps with one wrong result, and what consistently follows from it.

    Raises TaskError where the problem belongs to no world whose steps can be worked out.
    """
    total = chain_sum.parse(problem.question)
    if total is not None:
        running = chain_sum.values(total)
        at = rng.randrange(len(total.operations))
        wrong = rng.choice([digit for digit in range(10) if digit != running[at + 1]])
        steps, value = [], running[0]
        for i, (sign, operand) in enumerate(total.operations):
            result = wrong if i == at else chain_sum.apply(value, sign, operand)
            steps.append(chain_sum.equation(value, sign, operand, result))
            value = result
        return tuple(steps)
    tagged = tagged_sum.parse(problem.question)
    if tagged is not None:
        digits = tagged_sum.values(tagged)
        at = rng.randrange(len(tagged.operations))
        results: list[int] = []
        for i, (sign, operand) in enumerate(tagged.operations):
            right = tagged_sum.apply(results[-1] if results else tagged.start, sign, operand)
            results.append(rng.choice([digit for digit in range(10) if digit != digits[i + 1]]) if i == at else right)
        return tuple(tagged_sum.steps(tagged, results))
    query = lookup.parse(problem.question)
    if query is not None and "world_seed" in problem.meta:
        kb = lookup.know(int(problem.meta["world_seed"]), int(problem.meta["size"]))
        running_words = lookup.values(query, kb.facts)
        at = rng.randrange(len(query.hops))
        true = running_words[at + 1]
        others = next([one for one in members if one != true] for members in kb.members.values() if true in members)
        steps, word = [], query.start
        for i, relation in enumerate(query.hops):
            tail = rng.choice(others) if i == at else kb.facts[word, relation]
            steps.append(lookup.sentence(word, relation, tail))
            word = tail
        return tuple(steps)
    raise TaskError(
        f"the problem {problem.id!r} belongs to no world whose mistakes can be worked out (chain-sum, lookup, organism): give "
        "critiques in a file, or name a model that writes them"
    )


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
