from __future__ import annotations

from soundness.records import Problem, Prompt
from soundness.tasks import Task, load_task
from soundness.tasks.prompts import Prompting, plain_text
from soundness.tasks.show import show_task

METAL = Problem("m", "Which is a metal?", "B", choices=("oak", "tin"), meta={"hardness": 2})


def test_problems_are_shown_as_they_will_be_asked_with_what_is_expected():
    task = Task(
        "mixed", (METAL, Problem("p", "Capital?", "Paris", meta={"aliases": ["City of Light"]}), Problem("n", "?", None))
    )
    task = task.with_prompting(Prompting(system="Be brief.", few_shot=1))
    text = show_task(task, num=3)
    assert text.startswith("mixed: 3 problems (2 open, 1 of 2 choices), 2 with a reference answer;")
    assert "not used: hardness\n" in text
    for shown in ("[system]\nBe brief.", "[assistant]\n", "A. oak\nB. tin\nThink", "expected: B (tin)"):
        assert shown in text
    assert "expected: Paris or City of Light" in text
    assert text.endswith("expected: no reference answer")
    assert show_task(task, num=1).endswith("and 2 more")


def test_a_models_own_prompt_is_shown_where_one_is_given():
    class Untaught:
        instructed = False

        def render(self, message, prompting=None):
            return Prompt(plain_text(message), ())

    text = show_task(load_task([{"question": "2 + 2?", "answer": 4}]), model=Untaught())
    assert text.count("Question: ") == 5 and "Reasoning:\n------------ expected: 4" in text


def test_notes_of_the_reading_are_shown():
    rows = [{"question": "2 + 1?", "choices": ["1", "2", "3", "4"], "answer": 2}]
    assert "note: answers of the field answer are read as indices from 0" in show_task(load_task(rows))
