from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from soundness.errors import SettingError, TaskError
from soundness.studies.matched import _notes, _panel, _trained, compare, read_plan

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


def write(path: Path, start: int, count: int = 8) -> Path:
    rows = [
        {"id": str(i), "question": f"Toss {i}.", "answer": "1", "steps": ["0 + 1 = 1"]} for i in range(start, start + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.timeout(400)
def test_trainings_are_audited_where_they_are_equally_accurate(coin_model: Path, tmp_path: Path) -> None:
    task, audit = write(tmp_path / "train.jsonl", 0), write(tmp_path / "audit.jsonl", 10)
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN.format(model=coin_model, task=task, audit=audit))
    comparison = compare(plan, out=tmp_path / "comparison")
    assert [(row.name, row.method, row.seed) for row in comparison.rows] == [("label", "sft", 0), ("sft", "sft", 0)]
    assert all(row.step in (2, 4) for row in comparison.rows)
    assert [(row.name, row.step) for row in comparison.ends] == [("label", 4), ("sft", 2)]
    page = Path(comparison.page).read_text()
    assert (Path(comparison.page).parent / comparison.audit).is_file()
    assert f'<a href="{comparison.audit}">' in page
    assert "<script" not in page
    assert page.count("data:image/svg+xml;base64,") == 1
    for row in comparison.rows:
        assert page.count(f'<th scope="row">{row.name}') == 2  # where accuracies match, and at the end
    assert any("1 seed(s)" in note for note in comparison.notes)
    written = json.loads((tmp_path / "comparison" / "matched.json").read_text())
    assert written["target"] == comparison.target
    assert written["sweeps"] == {}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "comparison" / "models").rglob("training.json")}
    again = compare(plan, out=tmp_path / "comparison")
    assert (again.rows, again.ends) == (comparison.rows, comparison.ends)  # nothing is done again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    plan.write_text(plan.read_text() + "[[method]]\nmethod = 'sft'\nname = 'more'\nsettings = { max_steps = 2 }\n")
    more = compare(plan, out=tmp_path / "comparison")  # a longer plan goes on from what is there
    assert [row.name for row in more.rows] == ["label", "sft", "more"]
    assert more.audit != comparison.audit
    assert (tmp_path / "comparison" / comparison.audit).is_file()
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.timeout(400)
def test_each_training_gets_the_rate_that_suits_it(coin_model: Path, tmp_path: Path) -> None:
    """At the low rate nothing is learned and half of the answers stay wrong; the middle one learns; the high one diverges."""
    task, audit, tune = (write(tmp_path / f"{start}.jsonl", start, 24) for start in (0, 30, 60))
    plan = tmp_path / "plan.toml"
    text = (
        PLAN.format(model=coin_model, task=task, audit=audit)
        .partition("[[method]]")[0]
        .replace("seeds = [0]", "seeds = [0, 1]")
        .replace("max_steps = 4", "max_steps = 16")
    )
    plan.write_text(
        f"tune = '{tune}'\n{text}adaptation = 'full'\n[[method]]\nmethod = 'sft'\nlearning_rates = [1e-7, 3e-3, 10]\n"
    )
    comparison = compare(plan, out=tmp_path / "comparison")
    found = comparison.sweeps["sft"]
    assert list(found) == ["1e-07", "0.003", "10"]
    assert found["0.003"] == 1.0 > found["1e-07"]
    assert found["10"] is None
    assert [(row.seed, row.learning_rate) for row in comparison.rows] == [(0, 0.003), (1, 0.003)]
    assert sorted(one.name for one in (tmp_path / "comparison" / "models").iterdir()) == [
        "sft-0.003-0",
        "sft-0.003-1",
        "sft-1e-07-0",
    ]
    words = (tmp_path / "comparison" / "matched.md").read_text()
    assert "| sft | 0.003 | 1.00 [1.00, 1.00] |" in words
    assert re.search(r"\| training \| 1e-07 \| 0\.003 \| 10 \|\n.*\n\| sft \| 0\.\d\d \| 1\.00 \| diverged \|", words)
    # The audited problems are not those that rates are chosen on.
    plan.write_text(plan.read_text().replace(f"tune = '{tune}'\n", ""))
    with pytest.raises(TaskError, match=r"at least 20, and .*30.jsonl leaves 0: name others with tune"):
        compare(plan, out=tmp_path / "other")


def test_bad_plans_are_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    for text, words in (
        ("model = 'm'\ntask = 't'", "at least one"),
        ("model = 'm'\ntask = 't'\nlimits = 3\n[[method]]\nmethod = 'sft'", "did you mean 'limit'"),
        ("model = 'm'\ntask = 't'\n[[method]]\nmethod = 'stf'", "did you mean 'sft'"),
        ("model = 'm'\ntask = 't'\n[[method]]\nname = 'a'", "names its method"),
        ("model = 'm'\ntask = 't'\n[[method]]\nmethod = 'sft'\n[[method]]\nmethod = 'sft'", "one name"),
        ("model = 'm'\ntask = 't'\n[[method]]\nmethod = 'sft'\nlearning_rates = [0]", "each of learning_rates must be above 0"),
        ("model =", "is not TOML"),
    ):
        plan.write_text(text)
        with pytest.raises(SettingError, match=words):
            read_plan(plan)
    task = write(tmp_path / "train.jsonl", 0)
    plan.write_text(f"model = 'm'\ntask = '{task}'\n[[method]]\nmethod = 'sft'\n")
    with pytest.raises(TaskError, match="all problems to audit on are among those trained on"):
        compare(plan, out=tmp_path / "comparison")


def test_problems_that_are_trained_on_are_not_audited(tmp_path: Path) -> None:
    task, audited = write(tmp_path / "train.jsonl", 0), write(tmp_path / "audit.jsonl", 5)
    plan = tmp_path / "plan.toml"
    plan.write_text(f"model = 'm'\ntask = '{task}'\naudit = '{audited}'\n[[method]]\nmethod = 'sft'\n")
    read = read_plan(plan)
    panel = _panel(read, _trained(read))
    assert [one.question for one in panel.problems] == [f"Toss {i}." for i in range(8, 13)]
    assert any(note.startswith("audited on 5 problems: of the 100") for note in _notes(read, panel, [], 0.5))
