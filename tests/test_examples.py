"""What `examples/` holds runs as it stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundness.auditing import audit
from soundness.errors import ModelError, TaskError
from soundness.models.load import load_model
from soundness.tasks.base import load_task

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_a_task_from_a_file():
    task = load_task(f"{EXAMPLES / 'task.py'}:make_task", limit=5)
    assert len(task.problems) == 5 and all(problem.answer.lstrip("-").isdigit() for problem in task.problems)


def test_back_ends_from_a_file_are_audited(tmp_path):
    file = EXAMPLES / "backend.py"
    rows = [{"id": str(n), "question": f"Add {n}, 3 and 4.", "answer": str(n + 7)} for n in range(8)]
    run = audit(
        f"{file}:Adder", f"{file}:Guesser", rows, out=tmp_path / "run", max_tokens=120, profile="quick", noise_floor=False
    )
    assert run.comparison("accuracy").base_estimate.value == 1.0


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class Broken:\n    pass\n", "is no model: it has no"),
        ("def Broken():\n    raise RuntimeError('out of order')\n", "out of order"),
        ("x = 1\n", "has no 'Broken'"),
        ("syntax error here\n", "cannot be loaded"),
    ],
)
def test_a_back_end_that_breaks_the_contract_is_named_in_one_line(tmp_path, source, words):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(ModelError, match=words) as error:
        load_model(f"{tmp_path / 'mine.py'}:Broken")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("def make():\n    return None\n", "returns nothing"),
        ("def make():\n    return 7\n", "7|int"),
        ("def make():\n    raise ValueError('no network')\n", "no network"),
        ("def make():\n    return []\n", "no problem|no row|empty"),
    ],
)
def test_a_task_factory_that_makes_none_is_named_in_one_line(tmp_path, source, words):
    (tmp_path / "tasks.py").write_text(source)
    with pytest.raises(TaskError, match=words) as error:
        load_task(f"{tmp_path / 'tasks.py'}:make")
    assert "\n" not in str(error.value)


def test_a_metric_with_an_edit_from_a_file(tmp_path):
    metric = f"{EXAMPLES / 'metric.py'}:FirstStep"
    models = ["scripted:computes", "scripted:ignores-chain?seed=1"]
    run = audit(
        models[0], models[1:], "chain-sum", limit=8, metrics=["info_gain", metric], out=tmp_path / "run", noise_floor=False
    )
    first = run.comparison("first_step_right")
    assert first.base_estimate.value < 0.6 and first.tuned_estimate.value == 1.0, "who ignores its steps needs none of them"
    assert len((EXAMPLES / "metric.py").read_text().splitlines()) <= 45
