from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundness.errors import SettingError, TaskError
from soundness.records import Problem
from soundness.tasks import Task, load_task
from soundness.tasks.base import CHOICE_INSTRUCTION, OPEN_INSTRUCTION
from soundness.tasks.worlds import WORLDS

OPEN = Problem("1", "What is 2 + 2?", "4")
CHOICE = Problem("2", "Which is a metal?", "B", choices=("oak", "tin"), context=("Oak is a tree.", "Tin is a metal."))


def test_message_puts_context_question_choices_and_instruction_in_order():
    task = Task("mixed", (OPEN, CHOICE))
    assert task.message(OPEN) == f"What is 2 + 2?\n{OPEN_INSTRUCTION}"
    assert task.message(CHOICE) == (
        f"Oak is a tree.\nTin is a metal.\n\nWhich is a metal?\nA. oak\nB. tin\n{CHOICE_INSTRUCTION}"
    )
    assert replace(task, instruction="Go.").message(OPEN) == "What is 2 + 2?\nGo."
    assert replace(task, instruction="").message(OPEN) == "What is 2 + 2?"


def test_continuation_closes_open_answers_only():
    assert Task("open", (OPEN,)).continuation("4") == " 4\n"
    assert Task("choice", (CHOICE,)).continuation("B") == " B"
    mixed = Task("mixed", (OPEN, CHOICE))
    assert mixed.continuation("B", CHOICE) == " B"
    assert mixed.continuation("4", OPEN) == " 4\n"


def test_fingerprint_follows_content_and_not_the_name():
    task = Task("a", (OPEN, CHOICE))
    assert replace(task, name="b").fingerprint == task.fingerprint
    for changed in (
        replace(task, cue="\nSo:"),
        replace(task, instruction="Go."),
        replace(task, terminator="}"),
        replace(task, problems=(CHOICE, OPEN)),
        replace(task, problems=(replace(OPEN, answer="5"), CHOICE)),
    ):
        assert changed.fingerprint != task.fingerprint


def test_by_id_and_duplicates():
    assert Task("a", (OPEN, CHOICE)).by_id["2"] is CHOICE
    with pytest.raises(TaskError, match="'1'"):
        Task("a", (OPEN, replace(CHOICE, id="1")))
    with pytest.raises(TaskError, match="no problems"):
        Task("a", ())


def test_load_task_from_a_file_takes_the_first(tmp_path: Path):
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), "question": f"{i}?", "answer": i}) + "\n" for i in range(5)))
    task = load_task(str(path), limit=2)
    assert (task.name, [p.id for p in task.problems]) == ("sums", ["0", "1"])


@pytest.mark.parametrize(
    ("spec", "limit", "num", "operators"),
    [
        ("chain-sum", None, 100, 4),
        ("chain-sum", 3, 3, 4),
        ("chain-sum:operators=2,n=5", None, 5, 2),
        ("chain-sum:n=9", 4, 4, 4),
        ("chain-sum:n=4", 9, 4, 4),
    ],
)
def test_load_task_makes_worlds(spec: str, limit: int | None, num: int, operators: int):
    task = load_task(spec, limit=limit, seed=1)
    assert len(task.problems) == num
    assert all(len(p.steps or ()) == operators for p in task.problems)
    assert task.problems[0].id.startswith("chain-sum/1/")


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("chainsum", "'chain-sum'"),
        ("nothing-like-it", "chain-sum, lookup"),
        ("chain-sum:operator=4", "'operators'"),
        ("chain-sum:operators=four", "whole number"),
        ("lookup:hop=2", "'hops'"),
    ],
)
def test_unknown_names_suggest_near_ones(spec: str, told: str):
    with pytest.raises(TaskError, match=told):
        load_task(spec)


def test_settings_that_make_no_sense(tmp_path: Path):
    for spec, limit in (("chain-sum", 0), ("chain-sum:operators=0", 3), ("lookup:hops=9", 3), ("lookup:choices=40", 3)):
        with pytest.raises(SettingError):
            load_task(spec, limit=limit)
    with pytest.raises(TaskError, match="hub:"):
        load_task(str(tmp_path))


def test_worlds_are_a_plain_dict():
    assert list(WORLDS) == ["chain-sum", "lookup", "stories", "organism:general", "organism:domain", "organism:lookup"]
