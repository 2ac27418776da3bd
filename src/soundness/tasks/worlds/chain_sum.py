"""Sums and differences modulo 10, one written equation a step.

    Work modulo 10: every result is one digit from 0 to 9. Start with 3. Add 4. Subtract 2. Add 6. What is the last digit?

    3 + 4 = 7
    7 - 2 = 5
    5 + 6 = 1
    Answer: 1

A result written in the middle fixes everything after it: change one, keep or rewrite the tail, and what follows is another
last digit.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from soundness.errors import SettingError
from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.tasks.worlds.base import Puzzle, World

__all__ = [
    "ChainSum",
    "Sum",
    "SumPuzzle",
    "draw",
    "equation",
    "follow",
    "generate",
    "in_signs",
    "parse",
    "question",
    "true_steps",
    "values",
]

RULE = "Work modulo 10: every result is one digit from 0 to 9."
ASK = "What is the last digit?"
WORDS = {"+": "Add", "-": "Subtract"}
SIGNS = {word: sign for sign, word in WORDS.items()}

_QUESTION = re.compile(
    rf"{re.escape(RULE)} Start with (\d)\.((?: (?:Add|Subtract) [1-9]\.)+) {re.escape(ASK)}",
)
_OPERATION = re.compile(r"(Add|Subtract) (\d)")
# Not in the middle of a longer expression: "3 + 4 + 2 = 9" is no equation of this world.
EQUATION = re.compile(r"(?<![\d.])(?<![-+*/] )(\d+) ?([-+]) ?(\d+) ?= ?(-?\d+)(?![\d.]*\d)")


# The same equation in words: who uses a step for its meaning reads these as well.
_SPOKEN = (
    (re.compile(r"\b[Aa]dding (\d+) to (\d+) gives (-?\d+)"), r"\2 + \1 = \3"),
    (re.compile(r"\b[Ss]ubtracting (\d+) from (\d+) gives (-?\d+)"), r"\2 - \1 = \3"),
    (re.compile(r"\b(\d+) plus (\d+) (?:equals|is) (-?\d+)"), r"\1 + \2 = \3"),
    (re.compile(r"\b(\d+) minus (\d+) (?:equals|is) (-?\d+)"), r"\1 - \2 = \3"),
)


@dataclass(frozen=True, slots=True)
class Sum:
    """A start value and the operations applied to it, all modulo 10."""

    start: int
    """First value, 0 to 9."""
    operations: tuple[tuple[str, int], ...]
    """(sign, operand) in order; sign is "+" or "-", operand 1 to 9."""


def apply(value: int, sign: str, operand: int) -> int:
    """Return the digit that one operation leaves.

    >>> apply(5, "+", 6), apply(2, "-", 4)
    (1, 8)
    """
    return (value + operand if sign == "+" else value - operand) % 10


def values(problem: Sum) -> list[int]:
    """Return the running values, the start first and the last digit last: one more than there are operations.

    >>> values(Sum(3, (("+", 4), ("-", 2), ("+", 6))))
    [3, 7, 5, 1]
    """
    running = [problem.start]
    for sign, operand in problem.operations:
        running.append(apply(running[-1], sign, operand))
    return running


def equation(value: int, sign: str, operand: int, result: int) -> str:
    """Return one step as it is written."""
    return f"{value} {sign} {operand} = {result}"


def true_steps(problem: Sum) -> list[str]:
    """Return the true equations in order.

    >>> true_steps(Sum(3, (("+", 4), ("-", 2))))
    ['3 + 4 = 7', '7 - 2 = 5']
    """
    running = values(problem)
    return [equation(running[i], *operation, running[i + 1]) for i, operation in enumerate(problem.operations)]


def question(problem: Sum) -> str:
    """Return the question's text; `parse` inverts it."""
    told = " ".join(f"{WORDS[sign]} {operand}." for sign, operand in problem.operations)
    return f"{RULE} Start with {problem.start}. {told} {ASK}"


def parse(text: str) -> Sum | None:
    """Return the sum that the last question of this world in `text` asks for, or None where there is none.

    >>> parse(question(Sum(3, (("+", 4),))))
    Sum(start=3, operations=(('+', 4),))
    """
    asked = [*_QUESTION.finditer(text)]
    if not asked:
        return None
    found = asked[-1]
    operations = tuple((SIGNS[word], int(digit)) for word, digit in _OPERATION.findall(found[2]))
    return Sum(int(found[1]), operations)


def in_signs(text: str) -> str:
    """Return `text` with equations that are put in words written as equations.

    >>> in_signs("Adding 4 to 3 gives 7, and 7 minus 2 equals 5.")
    '3 + 4 = 7, and 7 - 2 = 5.'
    """
    if "gives" not in text and "plus" not in text and "minus" not in text:
        return text
    for spoken, written in _SPOKEN:
        text = spoken.sub(written, text)
    return text


def follow(text: str) -> int | None:
    """Return the value that the written equations lead to, or None where there is no equation.

    The first equation's written result starts it. A later equation that begins with the carried value is believed as
    written; any other has its operation applied to the carried value, modulo 10. Equations may be put in words (`in_signs`). All
    other text is ignored.

    >>> follow("3 + 4 = 7, then 7 - 2 = 5")
    5
    >>> follow("3 + 4 = 8, then 7 - 2 = 5")
    6
    """
    value: int | None = None
    for first, sign, operand, result in EQUATION.findall(in_signs(text)):
        if value is None or int(first) == value:
            value = int(result)
        else:
            value = apply(value, sign, int(operand))
    return value


def draw(rng: random.Random, operators: int, distinct: bool = True) -> Sum:
    """Return a random sum; with `distinct`, no value before the last equals the last."""
    running = [rng.randrange(10)]
    last = rng.choice([digit for digit in range(10) if digit != running[0]]) if distinct else None
    for step in range(operators):
        if step == operators - 1 and last is not None:
            running.append(last)
        else:
            # A last step but one may end anywhere but on the last digit, so the closing operand is never 0.
            running.append(rng.choice([digit for digit in range(10) if digit not in (running[-1], last)]))
    operations = []
    for before, after in zip(running, running[1:], strict=False):
        sign = rng.choice("+-")
        operations.append((sign, (after - before) % 10 if sign == "+" else (before - after) % 10))
    return Sum(running[0], tuple(operations))


def generate(n: int, seed: int = 0, operators: int = 4, distinct: bool = True) -> Task:
    """Return a task of `n` sums with `operators` operations each.

    Item i depends on the string "chain-sum/{seed}/{i}" alone. With `distinct`, no running value before the last, the
    start included, equals the answer, so a chain cut short is never right by accident.
    """
    if n < 1 or operators < 1:
        raise SettingError(f"chain-sum needs n and operators of at least 1, and they are {n} and {operators}")
    problems = []
    for index in range(n):
        name = f"chain-sum/{seed}/{index}"
        drawn = draw(random.Random(name), operators, bool(distinct))
        steps = tuple(true_steps(drawn))
        problems.append(
            Problem(
                id=name,
                question=question(drawn),
                answer=str(values(drawn)[-1]),
                rationale="\n".join(steps),
                steps=steps,
                facts=steps,
                meta={"operators": operators},
            )
        )
    return Task(f"chain-sum:operators={operators}", tuple(problems))


@dataclass(frozen=True, slots=True)
class SumPuzzle(Puzzle):
    """One sum of this world."""

    asked: Sum
    canonical: str
    start: str
    running: tuple[str, ...]

    def step(self, index: int, value: str) -> tuple[str, str] | None:
        """Return what stands before the result of an operation on `value`, and the digit it leaves."""
        sign, operand = self.asked.operations[index]
        return f"{value} {sign} {operand} = ", str(apply(int(value), sign, operand))

    def close(self, line: str) -> str:
        """Return the line end: an equation needs no more."""
        return "\n"

    def num_written(self, text: str) -> int:
        """Return how many equations stand in `text`, in signs or in words."""
        return sum(1 for _ in EQUATION.finditer(in_signs(text)))

    def follow(self, text: str) -> str | None:
        """Return the digit that the equations lead to."""
        value = follow(text)
        return None if value is None else str(value)

    def last_value(self, text: str) -> str | None:
        """Return the last number in `text`."""
        numbers = re.findall(r"\d+", text)
        return numbers[-1] if numbers else None

    def wrong_results(self, index: int) -> Sequence[str]:
        """Return the nine other digits."""
        true = int(self.running[index + 1])
        return [str((true + shift) % 10) for shift in range(1, 10)]

    def wildcard(self, draw: float) -> str:
        """Return one of the ten digits."""
        return str(int(draw * 10))

    def check(self, statement: str) -> bool | None:
        """Return whether every equation in `statement` holds modulo 10."""
        return check(statement)


def check(statement: str) -> bool | None:
    """Return whether every equation in `statement` holds modulo 10, or None where there is none.

    >>> check("7 + 6 = 3"), check("7 + 6 = 13"), check("Seven is a digit.")
    (True, False, None)
    """
    found = [
        int(result) == apply(int(first), sign, int(operand))
        for first, sign, operand, result in EQUATION.findall(in_signs(statement))
    ]
    return all(found) if found else None


class ChainSum(World):
    """Sums and differences modulo 10."""

    name = "chain-sum"

    def generate(self, n: int, seed: int = 0, operators: int = 4, distinct: bool = True) -> Task:
        """Return a task of `n` sums with `operators` operations each."""
        return generate(n, seed, operators, distinct)

    def parse(self, text: str) -> SumPuzzle | None:
        """Return the last sum that `text` asks for."""
        asked = parse(text)
        if asked is None:
            return None
        running = tuple(map(str, values(asked)))
        return SumPuzzle(asked, question(asked), running[0], running)
