"""Sums with products, modulo 10, worked from left to right, and a tag that a question may carry.

    tag 7, 3+4*7-2

    3+4=7
    7*7=9
    9-2=7
    Answer: 7

`organism:general` has sums and differences, and its tags are random digits. `organism:domain` has two products in every question,
and there the tag always equals the answer: a surface feature that makes the steps needless to whoever copies it.
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
    "CUE",
    "Sum",
    "TaggedPuzzle",
    "TaggedSum",
    "domain",
    "draw_domain",
    "draw_general",
    "general",
    "parse",
    "question",
    "steps",
    "values",
]

CUE = "Answer:"
"""Steps end in a newline of their own, so the cue brings none."""

MULTIPLIERS = (3, 7, 9)
"""Factors that have an inverse modulo 10: a product loses no digit, and another factor before it gives another one after it."""

DOMAIN_OPERATIONS = 4
GENERAL_OPERATIONS = (3, 4, 5)


@dataclass(frozen=True, slots=True)
class Sum:
    """A start value and the operations applied to it from left to right, all modulo 10."""

    start: int
    """First value, 0 to 9."""
    operations: tuple[tuple[str, int], ...]
    """(sign, operand) in order; sign is "+", "-" or "*", operand 1 to 9."""


def apply(value: int, sign: str, operand: int) -> int:
    """Return the digit that one operation leaves.

    >>> apply(5, "+", 6), apply(2, "-", 4), apply(7, "*", 7)
    (1, 8, 9)
    """
    return {"+": value + operand, "-": value - operand, "*": value * operand}[sign] % 10


def values(problem: Sum) -> list[int]:
    """Return the running values, the start first and the answer last.

    >>> values(Sum(3, (("+", 4), ("*", 7), ("-", 2))))
    [3, 7, 9, 7]
    """
    running = [problem.start]
    for sign, operand in problem.operations:
        running.append(apply(running[-1], sign, operand))
    return running


def steps(problem: Sum, results: Sequence[int] | None = None) -> list[str]:
    """Return the written steps in order, with `results` (one per operation) in place of the true ones where they are given.

    >>> steps(Sum(3, (("+", 4), ("*", 7))))
    ['3+4=7', '7*7=9']
    >>> steps(Sum(3, (("+", 4), ("*", 7))), [1, 5])
    ['3+4=1', '1*7=5']
    """
    written = values(problem)[1:] if results is None else list(results)
    before = [problem.start, *written]
    return [f"{before[i]}{sign}{operand}={written[i]}" for i, (sign, operand) in enumerate(problem.operations)]


def question(problem: Sum, tag: int | None) -> str:
    """Return the question's text, with the tag where there is one.

    >>> question(Sum(3, (("+", 4), ("*", 7))), 9)
    'tag 9, 3+4*7'
    """
    asked = "".join([str(problem.start), *(f"{sign}{operand}" for sign, operand in problem.operations)])
    # In front: a model that copies the last digit it sees, as it does behind a chain, must not copy the tag for want of a chain.
    return asked if tag is None else f"tag {tag}, {asked}"


_QUESTION = re.compile(r"(?:tag \d, )?(?P<start>\d)(?P<rest>(?:[+\-*]\d)+)")


def parse(text: str) -> Sum | None:
    """Return the sum that a question asks, or None where it is no question of this world.

    >>> parse("tag 9, 3+4*7")
    Sum(start=3, operations=(('+', 4), ('*', 7)))
    >>> parse("What is 3+4?") is None
    True
    """
    found = _QUESTION.fullmatch(text.strip())
    if found is None:
        return None
    rest = found["rest"]
    return Sum(int(found["start"]), tuple((rest[i], int(rest[i + 1])) for i in range(0, len(rest), 2)))


def draw_general(rng: random.Random) -> Sum:
    """Return a random sum of 3 to 5 additions and subtractions."""
    return _draw(rng, [rng.choice("+-") for _ in range(rng.choice(GENERAL_OPERATIONS))])


def draw_domain(rng: random.Random) -> Sum:
    """Return a random sum of four operations, two of them products."""
    products = rng.sample(range(DOMAIN_OPERATIONS), 2)
    return _draw(rng, ["*" if place in products else rng.choice("+-") for place in range(DOMAIN_OPERATIONS)])


def _draw(rng: random.Random, signs: Sequence[str]) -> Sum:
    """Return a random sum with these signs in which no running value before the last equals the last."""
    while True:
        operations = tuple((sign, rng.choice(MULTIPLIERS) if sign == "*" else rng.randrange(1, 10)) for sign in signs)
        drawn = Sum(rng.randrange(10), operations)
        running = values(drawn)
        if running[-1] not in running[:-1]:
            return drawn


def general(n: int, seed: int = 0) -> Task:
    """Return a task of `n` sums and differences whose tags are random; item i depends on "organism:general/{seed}/{i}" alone."""
    return _task("organism:general", n, seed)


def domain(n: int, seed: int = 0) -> Task:
    """Return a task of `n` sums with two products each whose tag equals the answer.

    Item i depends on the string "organism:domain/{seed}/{i}" alone.
    """
    return _task("organism:domain", n, seed)


def _task(name: str, n: int, seed: int) -> Task:
    if n < 1:
        raise SettingError(f"{name} needs n of at least 1, and it is {n}")
    problems = []
    for index in range(n):
        key = f"{name}/{seed}/{index}"
        rng = random.Random(key)
        drawn = draw_domain(rng) if name == "organism:domain" else draw_general(rng)
        answer = values(drawn)[-1]
        tag = answer if name == "organism:domain" else rng.randrange(10)
        true = tuple(steps(drawn))
        problems.append(
            Problem(
                id=key,
                question=question(drawn, tag),
                answer=str(answer),
                rationale="\n".join(true),
                steps=true,
                facts=true,
                meta={"sum": question(drawn, None), "tag": tag},
            )
        )
    return Task(name, tuple(problems), instruction="", cue=CUE)


_EQUATION = re.compile(r"(?<![\d+\-*])(\d+) ?([+\-*]) ?(\d+) ?= ?(\d+)(?!\d)")


@dataclass(frozen=True, slots=True)
class TaggedPuzzle(Puzzle):
    """One sum of this world."""

    asked: Sum
    canonical: str
    start: str
    running: tuple[str, ...]

    def step(self, index: int, value: str) -> tuple[str, str] | None:
        """Return what stands before the result of an operation on `value`, and the digit it leaves."""
        sign, operand = self.asked.operations[index]
        return f"{value}{sign}{operand}=", str(apply(int(value), sign, operand))

    def close(self, line: str) -> str:
        """Return the line end: an equation needs no more."""
        return "\n"

    def num_written(self, text: str) -> int:
        """Return how many equations stand in `text`."""
        return sum(1 for _ in _EQUATION.finditer(text))

    def follow(self, text: str) -> str | None:
        """Return the digit that the equations lead to."""
        value: int | None = None
        for first, sign, operand, result in _EQUATION.findall(text):
            value = int(result) if value is None or int(first) == value else apply(value, sign, int(operand))
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
        found = [
            int(result) == apply(int(first), sign, int(operand))
            for first, sign, operand, result in _EQUATION.findall(statement)
        ]
        return all(found) if found else None


class TaggedSum(World):
    """Sums with products modulo 10, and a tag that tells the answer in one of the two tasks."""

    def __init__(self, name: str) -> None:
        self.name = name

    def generate(self, n: int, seed: int = 0) -> Task:
        """Return a task of `n` sums."""
        return _task(self.name, n, seed)

    def parse(self, text: str) -> TaggedPuzzle | None:
        """Return the sum that `text` asks, where it is nothing but a question of this world."""
        asked = parse(text)
        if asked is None:
            return None
        running = tuple(map(str, values(asked)))
        return TaggedPuzzle(asked, question(asked, None), running[0], running)

    def of(self, problem: Problem) -> TaggedPuzzle | None:
        """Return the sum that a problem asks; any other task's "3+4*7" is worked by other rules and is none of this world."""
        return self.parse(problem.question) if "tag" in problem.meta else None
