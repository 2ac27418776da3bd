"""What a synthetic task knows about itself: one class per world, one object per question whose every true step is known."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence

from soundness.records import Problem
from soundness.tasks.base import Task

__all__ = ["Puzzle", "World"]


class Puzzle(ABC):
    """One question of a world: its true steps, and what any other steps lead to. A value is what a step arrives at, as text."""

    canonical: str
    """The question itself, however it was put."""
    start: str
    """The value before any step."""
    running: tuple[str, ...]
    """The true values, the start first and the answer last."""

    @property
    def num_steps(self) -> int:
        """How many steps lead to the answer."""
        return len(self.running) - 1

    @abstractmethod
    def step(self, index: int, value: str) -> tuple[str, str] | None:
        """Return (what is written before the result, result) of step `index` taken from `value`, or None where it cannot be taken."""

    @abstractmethod
    def close(self, line: str) -> str:
        """Return what ends the line of a step that is written up to its result at least, line end included."""

    @abstractmethod
    def num_written(self, text: str) -> int:
        """Return how many finished steps stand in `text`."""

    @abstractmethod
    def follow(self, text: str) -> str | None:
        """Return the value that the steps written in `text` lead to, or None where there is none.

        The first step's written result starts it. A later step that begins with the carried value is believed as written; any other
        has its operation applied to the carried value. All other text is ignored.
        """

    @abstractmethod
    def last_value(self, text: str) -> str | None:
        """Return the last value that stands in `text`, or None."""

    @abstractmethod
    def wrong_results(self, index: int) -> Sequence[str]:
        """Return the results of step `index` that are wrong and of the right kind, in a fixed order."""

    @abstractmethod
    def wildcard(self, draw: float) -> str:
        """Return the possible answer that a number in [0, 1) picks."""

    @abstractmethod
    def check(self, statement: str) -> bool | None:
        """Return whether every step or fact that `statement` states is true in this world, or None where it states none."""

    def names(self) -> tuple[tuple[str, ...], ...]:
        """Return the names that may stand for each other, by type; nothing in worlds of numbers."""
        return ()

    def say(self, value: str) -> str:
        """Return how `value` is given as the answer."""
        return value

    def steps_from(self, index: int, value: str) -> list[str]:
        """Return the steps from `index` on, each on a line of its own without the line end, as they follow from `value`."""
        lines = []
        for place in range(index, self.num_steps):
            taken = self.step(place, value)
            if taken is None:
                break
            line = taken[0] + taken[1]
            lines.append((line + self.close(line)).rstrip("\n"))
            value = taken[1]
        return lines

    def true_steps(self) -> tuple[str, ...]:
        """Return the true steps in order."""
        return tuple(self.steps_from(0, self.start))

    def wrong(self, index: int, rng: random.Random) -> str | None:
        """Return a wrong result for step `index` that leads to a last value unlike the answer and unlike all before the step.

        None where there is none.
        """
        passed = {*self.running[: index + 1], self.running[-1]}
        fitting = [result for result in self.wrong_results(index) if self.last_after(index, result) not in (None, *passed)]
        return rng.choice(fitting) if fitting else None

    def last_after(self, index: int, result: str) -> str | None:
        """Return the last value where step `index` arrives at `result`, or None where some later step cannot be taken."""
        value = result
        for place in range(index + 1, self.num_steps):
            taken = self.step(place, value)
            if taken is None:
                return None
            value = taken[1]
        return value

    def corrupt(self, rng: random.Random) -> tuple[str, ...]:
        """Return the steps with one wrong result and what consistently follows from it, another answer.

        Which step and which result are drawn. Raises `ValueError` where no step has a wrong result that leads elsewhere.
        """
        order = list(range(self.num_steps))
        rng.shuffle(order)
        for index in order:
            fitting = [
                result for result in self.wrong_results(index) if self.last_after(index, result) not in (None, self.running[-1])
            ]
            if fitting:
                return self.with_result(index, rng.choice(fitting))
        raise ValueError(f"no step of {self.canonical!r} has a wrong result that leads to another answer")

    def with_result(self, index: int, result: str) -> tuple[str, ...]:
        """Return the steps with `result` in place of what step `index` arrives at, and what follows from it."""
        taken = self.step(index, self.running[index])
        assert taken is not None
        line = taken[0] + result
        before = self.true_steps()[:index]
        return (*before, (line + self.close(line)).rstrip("\n"), *self.steps_from(index + 1, result))


class World(ABC):
    """One synthetic task."""

    name: str
    """How a specification names it, such as `chain-sum`; ids of its problems begin with it and a slash."""

    @abstractmethod
    def generate(self, n: int, seed: int = 0) -> Task:
        """Return a task of `n` problems; item i depends on the string "NAME/{seed}/{i}" and on the world's own options alone."""

    @abstractmethod
    def parse(self, text: str) -> Puzzle | None:
        """Return the puzzle that the last question of this world in `text` asks, or None where there is none.

        `text` is what a model is shown: passages, question, options, instruction.
        """

    def of(self, problem: Problem) -> Puzzle | None:
        """Return the puzzle that a problem is, or None where it is none of this world."""
        return self.parse(problem.question)
