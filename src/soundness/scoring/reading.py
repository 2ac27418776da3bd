"""What one reader said about one case, looked up by prefix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from soundness.answers import grade
from soundness.metrics.case import Case
from soundness.records import LETTERS, AskedAnswer, Probe, Reading

__all__ = ["CaseRead"]


@dataclass(frozen=True, slots=True)
class CaseRead:
    """Readings and answers of one case: what a metric's `values` is given."""

    case: Case
    """The case."""
    readings: Mapping[Probe, Reading]
    """Everything that was read."""
    answers: Mapping[tuple[int, ...], AskedAnswer]
    """Prefix -> the open answer given right after it."""

    def __call__(self, probe: Probe) -> Reading:
        """Return what came back for `probe`; KeyError where it was not listed."""
        return self.readings[probe]

    def answer(self, prefix: Sequence[int]) -> AskedAnswer:
        """Return the answer given right after `prefix`: as written, or the likeliest choice; KeyError where nobody asked."""
        if self.case.problem.choices is None:
            return self.answers[tuple(prefix)]
        asked = self.answers.get(tuple(prefix), AskedAnswer("", None, "stop"))
        line = next((line for line in asked.text.splitlines() if line.strip()), "")
        letter = grade(f"Answer: {line.strip()}", "stop", self.case.problem).answer if line else None
        if letter is not None:
            return AskedAnswer(asked.text, letter, asked.finish, ids=asked.ids)
        assert self.case.own is not None, "a problem with choices has rivals to read"
        index = self.case.own.likeliest(prefix, self)
        return AskedAnswer(asked.text, LETTERS[index], "stop", ids=self.case.own.rivals[index])
