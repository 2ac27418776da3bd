from __future__ import annotations

from pathlib import Path

import pytest

from soundness.metrics.base import Job
from soundness.metrics.formats import FORMATS, Formats, Graded, as_choice, format_message, grade_format
from soundness.models.cached import CachedModel
from soundness.models.scripted import ScriptedModel
from soundness.models.store import Store
from soundness.records import Problem
from soundness.tasks.base import Task

SUM = Problem("1", "What is 2 + 2?", "4")
COLOUR = Problem("2", "Which is a colour?", "B", ("dog", "red"))


@pytest.mark.parametrize(
    ("form", "text", "graded"),
    [
        ("json", 'Here: {"answer": "4"}', Graded(True, True, False)),
        ("json", '{"answer": 5}', Graded(True, False, False)),
        ("json", '{"result": 4}', Graded(False, False, False)),
        ("json", '{"answer": {"x": 1}} {"answer": 4}', Graded(False, False, False)),
        ("json", "Answer: 4", Graded(False, False, True)),
        ("ranked", "1. 4\n2. 5\n3. 6", Graded(True, True, False)),
        ("ranked", "1. 5\n2. 4\n3. 6", Graded(True, False, False)),
        ("ranked", "1. 4", Graded(False, False, False)),
        ("ranked", "2 + 2 = 4\nAnswer: 4", Graded(False, False, True)),
        ("open", "Answer: 4", Graded(True, True, False)),
        ("open", "I do not know", Graded(False, False, False)),
    ],
)
def test_form_and_answer_are_two_things(form: str, text: str, graded: Graded) -> None:
    assert grade_format(text, "stop", form, SUM, None) == graded


def test_choices_become_words_when_an_open_answer_is_asked() -> None:
    assert grade_format("Answer: red", "stop", "open", COLOUR, COLOUR).right
    assert grade_format("Answer: B", "stop", "choice", COLOUR, COLOUR).right
    assert "dog" not in (format_message(COLOUR, "open", Task("t", (COLOUR,)), COLOUR) or "")
    assert "A. dog" in (format_message(COLOUR, "choice", Task("t", (COLOUR,)), COLOUR) or "")


def test_options_are_other_problems_answers_and_never_the_same_value() -> None:
    choice = as_choice(SUM, ["4.0", "5", "6", "7", "8"], seed=0)
    assert choice is not None and choice.choices is not None and len(choice.choices) == 4
    assert choice.answer_text == "4" and "4.0" not in choice.choices
    assert as_choice(SUM, ["5", "6", "7", "8"], seed=0) == as_choice(SUM, ["8", "7", "6", "5"], seed=0)
    assert as_choice(SUM, ["4"], seed=0) is None


def test_a_model_of_one_format_is_inflexible(tmp_path: Path) -> None:
    model = ScriptedModel(lambda question, written: "" if written else "Answer: 4\n", name="one-dress")
    with Store(tmp_path / "store.sqlite") as store:
        job = Job({"m": CachedModel(model, store)}, "m", Task("t", (SUM,)), (), max_tokens=40, seed=0, splitter="auto")
        scores = list(Formats().ask(job))
    found = {score.metric: (score.value, score.reason) for score in scores}
    assert found["format_right_open"] == (1.0, "") and found["format_valid_json"] == (0.0, "")
    assert found["format_off_task"] == (1.0, "")
    assert found["format_right_choice"][0] is None  # no other answers to choose among
    assert {f"format_{what}_{form}" for form in FORMATS for what in ("right", "valid")} <= set(found)
