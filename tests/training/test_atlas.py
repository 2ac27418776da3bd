from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundness.atlas import compare, read_plan
from soundness.errors import SettingError, TaskError

PLAN = """
model = "{model}"
task = "{task}"
audit = "{audit}"
seeds = [0]
keep_every = 2
max_tokens = 24
[settings]
max_steps = 4
batch_size = 8
lora_rank = 4
device = "cpu"
learning_rate = 0.005
[[method]]
method = "sft"
name = "label"
target = "label"
[[method]]
method = "sft"
settings = {{ max_steps = 2 }}
"""


def write(path: Path, start: int) -> Path:
    rows = [{"id": str(i), "question": f"Toss {i}.", "answer": "1", "steps": ["0 + 1 = 1"]} for i in range(start, start + 8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.timeout(400)
def test_trainings_are_audited_where_they_are_equally_accurate(coin_model: Path, tmp_path: Path) -> None:
    task, audit = write(tmp_path / "train.jsonl", 0), write(tmp_path / "audit.jsonl", 10)
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(model=coin_model, task=task, audit=audit))
    atlas = compare(plan, out=tmp_path / "atlas")
    assert [(row.name, row.method, row.seed) for row in atlas.rows] == [("label", "sft", 0), ("sft", "sft", 0)]
    assert all(row.step in (2, 4) for row in atlas.rows)
    assert Path(atlas.page).is_file()
    assert any("1 seed(s)" in note for note in atlas.notes)
    written = json.loads((tmp_path / "atlas" / "atlas.json").read_text())
    assert written["target"] == atlas.target
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "atlas" / "models").rglob("training.json")}
    assert compare(plan, out=tmp_path / "atlas").rows == atlas.rows  # nothing is done again
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_bad_plans_are_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    for text, words in (
        ("model = 'm'\ntask = 't'", "at least one"),
        ("model = 'm'\ntask = 't'\nlimits = 3\n[[method]]\nmethod = 'sft'", "did you mean 'limit'"),
        ("model = 'm'\ntask = 't'\n[[method]]\nmethod = 'stf'", "did you mean 'sft'"),
        ("model = 'm'\ntask = 't'\n[[method]]\nname = 'a'", "names its method"),
        ("model = 'm'\ntask = 't'\n[[method]]\nmethod = 'sft'\n[[method]]\nmethod = 'sft'", "one name"),
        ("model =", "is not TOML"),
    ):
        plan.write_text(text)
        with pytest.raises(SettingError, match=words):
            read_plan(plan)
    task = write(tmp_path / "train.jsonl", 0)
    plan.write_text(f"model = 'm'\ntask = '{task}'\n[[method]]\nmethod = 'sft'\n")
    with pytest.raises(TaskError, match="are among those trained on"):
        compare(plan, out=tmp_path / "atlas")
