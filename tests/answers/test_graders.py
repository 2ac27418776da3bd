"""Graders from a user's file: what they may be, what they may return, and that a failure is missing and not wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundness.answers import Grade, Grader, load_grader
from soundness.answers.graders import FunctionGrader, Reader, graded
from soundness.errors import SettingError
from soundness.records import Outcome, Problem
from soundness.tasks.base import Task

PROBLEM = Problem("1", "Write a function that adds.", None)
FILE = """
from soundness.answers import Grade
from soundness.records import Outcome

def grade(text, problem):
    return "return a + b" in text

def asks_for_all(text, finish, problem, prompt):
    return f"{finish}" == "length" and prompt == "p"

def in_words(text, problem):
    return "unreadable"

def with_a_grade(text, problem):
    return Grade(Outcome.WRONG, "mine", words="The judge: no.")

def cannot_say(text, problem):
    return None

def fails(text, problem):
    raise ValueError("no sandbox")

def nonsense(text, problem):
    return 0.7

def lacks_problem(text):
    return True

def wants_more(text, problem, model):
    return True

class Judge:
    name = "judge"
    def __call__(self, text, finish, problem, prompt=""):
        return Grade(Outcome.RIGHT, None, words="Yes.")

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "my_file.py"
    path.write_text(FILE, encoding="utf-8")
    return str(path)


def outcome(file: str, name: str, text: str = "return a + b", finish: str = "stop") -> Grade:
    return load_grader(f"{file}:{name}")(text, finish, PROBLEM, "p")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grade", Outcome.RIGHT),
        ("asks_for_all", Outcome.WRONG),
        ("in_words", Outcome.UNREADABLE),
        ("with_a_grade", Outcome.WRONG),
        ("Judge", Outcome.RIGHT),
        ("cannot_say", None),
        ("fails", None),
        ("nonsense", None),
    ],
)
def test_what_a_grader_may_return(file: str, name: str, expected: Outcome | None):
    said = outcome(file, name)
    assert said.outcome is expected
    assert bool(said.reason) is (expected is None)


def test_what_a_grader_says_is_kept(file: str):
    assert outcome(file, "with_a_grade")[:2] == (Outcome.WRONG, "mine")
    assert outcome(file, "with_a_grade").words == "The judge: no."
    assert outcome(file, "Judge").words == "Yes."
    assert "no sandbox" in outcome(file, "fails").reason and "0.7" in outcome(file, "nonsense").reason


def test_what_the_limit_cut_is_cut_off_unless_the_grader_asks(file: str):
    assert outcome(file, "grade", finish="length").outcome is Outcome.CUT_OFF
    assert outcome(file, "asks_for_all", finish="length").outcome is Outcome.RIGHT


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grad", "did you mean 'grade'"),
        ("number", "must be a function"),
        ("lacks_problem", "function of text and problem"),
        ("wants_more", "function of text and problem"),
    ],
)
def test_what_is_no_grader_is_refused_at_once(file: str, name: str, words: str):
    with pytest.raises(SettingError, match=words):
        load_grader(f"{file}:{name}")


def test_names_that_name_nothing(tmp_path: Path):
    with pytest.raises(SettingError, match="my_file.py:grade"):
        load_grader("exact-match")
    with pytest.raises(SettingError, match="no file"):
        load_grader(f"{tmp_path}/none.py:grade")


def test_another_version_of_the_file_is_another_grader(tmp_path: Path):
    names = set()
    for index, body in enumerate(("True", "False")):
        path = tmp_path / str(index) / "my_file.py"
        path.parent.mkdir()
        path.write_text(f"def grade(text, problem): return {body}\n", encoding="utf-8")
        names.add(load_grader(f"{path}:grade").name)
    assert len(names) == 2
    tasks = [Task("t", (PROBLEM,), grader=FunctionGrader(name, lambda text, problem: True)) for name in names]
    assert len({task.fingerprint for task in (*tasks, Task("t", (PROBLEM,)))}) == 3


def test_without_a_grader_the_reader_grades():
    problem = Problem("1", "?", "7")
    assert graded(None, "Answer: 7", "stop", problem) == Reader()("Answer: 7", "stop", problem)
    assert isinstance(Reader(), Grader)
