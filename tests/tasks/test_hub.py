from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soundness.errors import TaskError
from soundness.tasks import load_task
from soundness.tasks.fields import split_worked_answer
from soundness.tasks.hub import open_hub, split_hub_spec

datasets = pytest.importorskip("datasets")

ROWS = {"problem": ["2*3?", "1+1?"], "answer": ["It is 2*3=<<2*3=6>>6.\nDone.\n#### 6", "#### 2"], "level": [1, 2]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sets") / "math"
    made = datasets.Dataset.from_dict(ROWS)
    datasets.DatasetDict({"train": made, "test": made.select([1])}).save_to_disk(str(path))
    return path


def test_saved_data_set_with_columns_and_worked_answers(folder: Path):
    task = load_task(f"hub:{folder}:train", columns={"question": "problem"})
    first, second = task.problems
    assert (first.question, first.answer) == ("2*3?", "6")
    assert first.rationale == "It is 2*3=6.\nDone."
    assert first.steps == ("It is 2*3=6.", "Done.")
    assert (second.answer, second.rationale, second.steps) == ("2", None, None)
    assert first.meta == {"level": 1}
    assert (first.id, second.id) == ("0", "1")
    assert load_task(f"hub:{folder}:train").problems == task.problems  # `problem` is a known name
    assert task.name == "math:train"


def test_test_split_is_the_default_and_limit_counts(folder: Path):
    assert [p.question for p in load_task(f"hub:{folder}", columns={"question": "problem"}).problems] == ["1+1?"]
    assert len(load_task(f"hub:{folder}", split="train", columns={"question": "problem"}, limit=1).problems) == 1


def test_errors_name_splits_and_columns(folder: Path):
    with pytest.raises(TaskError, match="no split 'tst'.*'test'.*train, test"):
        open_hub(str(folder), split="tst")
    with pytest.raises(TaskError, match="there is no column 'problm'.*'problem'.*problem, answer, level"):
        load_task(f"hub:{folder}", columns={"question": "problm"})
    with pytest.raises(TaskError, match="no field 'questio'.*'question'"):
        load_task(f"hub:{folder}", columns={"questio": "problem"})
    with pytest.raises(TaskError, match="save_to_disk"):
        open_hub(str(folder.parent))
    with pytest.raises(TaskError, match="names the split 'train', and split=test another"):
        load_task(f"hub:{folder}:train", split="test")


def test_one_split_choices_and_class_labels(tmp_path: Path):
    features = datasets.Features(
        {
            "question": datasets.Value("string"),
            "choices": datasets.List(datasets.Value("string")),
            "answer": datasets.ClassLabel(names=["A", "B"]),
        }
    )
    made = datasets.Dataset.from_dict({"question": ["q"], "choices": [["oak", "tin"]], "answer": [1]}, features=features)
    made.save_to_disk(str(tmp_path / "one"))
    (problem,) = load_task(f"hub:{tmp_path / 'one'}").problems
    assert (problem.answer, problem.choices) == ("B", ("oak", "tin"))


def test_labelled_choices(tmp_path: Path):
    rows = [{"question": "q", "choices": {"text": ["oak", "tin"], "label": ["1", "2"]}, "key": "2"}]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "arc"))
    (problem,) = load_task(f"hub:{tmp_path / 'arc'}", columns={"answer": "key"}).problems
    assert (problem.answer, problem.choices) == ("B", ("oak", "tin"))


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("Unknown split 'x'. Should be one of ['train']")])
def test_failures_of_the_library_become_task_errors(monkeypatch: pytest.MonkeyPatch, error: Exception):
    asked: list[Any] = []

    def fail(*arguments: Any, **options: Any) -> None:
        asked.append((arguments, options))
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fail)
    with pytest.raises(TaskError, match="some/set:main:x could not be loaded"):
        load_task("hub:some/set:main:x")
    assert asked == [(("some/set", "main"), {"split": "x"})]


def test_spec_parts():
    assert split_hub_spec("a/b") == ("a/b", None, None)
    assert split_hub_spec("a/b:main") == ("a/b", "main", None)
    assert split_hub_spec("a/b::test") == ("a/b", None, "test")
    assert split_hub_spec("/no/such:train") == ("/no/such", None, "train")
    with pytest.raises(TaskError):
        split_hub_spec("a:b:c:d")


def test_worked_answers():
    assert split_worked_answer("plain") is None
    assert split_worked_answer("x ####") is None
    assert split_worked_answer("a\n\nb\n#### 1,000") == ("1,000", "a\n\nb", ("a", "b"))
