from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.records import Problem
from soundness.tasks.base import Task
from soundness.training.data import taught_text

OPEN = Problem("o", "2 + 3?", "5", steps=("2 + 3 = 5",))
CHOICE = Problem("c", "Which?", "B", choices=("one", "two"), rationale="Two is twice one.")
OWN = replace(OPEN, meta={"completion": "as written"})


@pytest.mark.parametrize(
    ("problem", "target", "text"),
    [
        (OPEN, "label", "Answer: 5."),
        (OPEN, "rationale", "2 + 3 = 5\nAnswer: 5."),
        (CHOICE, "label", "Answer: B"),
        (CHOICE, "rationale", "Two is twice one.\nAnswer: B"),
        (OWN, "completion", "as written"),
        (OPEN, "completion", None),
        (replace(OPEN, answer=None), "label", None),
    ],
)
def test_what_is_taught_closes_an_open_answer_and_nothing_else(problem: Problem, target: str, text: str | None) -> None:
    assert taught_text(Task("t", (problem,), terminator="."), problem, target) == text
