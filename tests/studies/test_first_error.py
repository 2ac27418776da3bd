from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from soundness.models.scripted import ScriptedModel
from soundness.studies.first_error import DETECTORS, FILES, _is_false, labelled_chains
from soundness.tasks.base import load_task
from soundness.tasks.worlds import chain_sum


def silent(what: str, done: int, total: int) -> None:
    """Nobody listens."""


def write_files(folder: Path, *, wrong_from: int = 1) -> None:
    """Write both files with sums of which every second goes wrong in its second step and goes on from there."""
    task = load_task("chain-sum:operators=3", limit=12)
    rows = []
    for i, problem in enumerate(task.problems):
        steps = list(problem.steps or ())
        row = {"id": problem.id, "question": task.message(problem), "answer": problem.answer, "choices": None}
        if i % 2:
            row["mistake_index"] = 1
            left, _, result = steps[1].rpartition(" ")
            steps[1] = f"{left} {(int(result) + 3) % 10}"
            last = (int(problem.answer or 0) + 3) % 10
            steps[2] = re.sub(r"^\d", steps[1][-1], steps[2][:-1]) + str(last)
        else:
            last = int(problem.answer or 0)
        steps.append(f"Answer: {last}")
        rows.append({**row, "steps": steps})
    for name in FILES:
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")


def test_absent_data_are_skipped_with_what_to_do(tmp_path: Path) -> None:
    skipped = labelled_chains(tmp_path, "smollm2", 3, seed=0, on_progress=silent)
    assert "bbh_mistake.jsonl" in skipped["skipped"] and "--data" in skipped["skipped"]
    write_files(tmp_path)
    assert "cannot be loaded" in labelled_chains(tmp_path, "scripted:nobody", 3, seed=0, on_progress=silent)["skipped"]


def test_a_scorer_that_computes_finds_the_wrong_step_with_every_detector_that_reads_it(tmp_path: Path) -> None:
    write_files(tmp_path)
    found = labelled_chains(tmp_path, "scripted:computes", 12, seed=0, on_progress=silent)
    for name, target in FILES.items():
        about = found[name]
        assert (about["chains"], about["wrong_steps"], about["towards"]) == (12, 6, target)
        table = about["auroc"]
        assert set(DETECTORS) < set(table)
        # What it would have written is another digit: the wrong one surprises, and its sum is false by arithmetic modulo 10 or not.
        assert table["surprise of digits"]["pooled"][0] == 1.0 == table["surprise of digits"]["within position"][0]
        assert table["length"]["pooled"][0] == pytest.approx(0.5, abs=0.25)
        assert table["digits + gain"]["pooled"][0] > 0.7
        for row in table.values():
            for low, estimate, high in [(e[1], e[0], e[2]) for e in row.values() if e is not None]:
                assert 0 <= low <= estimate <= high <= 1


def finishes(question: str, written: str) -> str:
    """Say where the chain so far leads once the operations that are left are done."""
    asked = chain_sum.parse(question)
    if asked is None:
        return ""
    value = chain_sum.follow(written)
    done = sum(1 for _ in chain_sum.EQUATION.finditer(written))
    for sign, operand in asked.operations[done:]:
        value = chain_sum.apply(asked.start if value is None else value, sign, operand)
    return f" {value}\n" if written.endswith("Answer:") else ""


def test_gain_has_the_sign_that_its_target_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Towards the reference a wrong step loses; towards the chain's own answer, wrong as it is, the same step gains.
    write_files(tmp_path)
    monkeypatch.setattr("soundness.studies.first_error.load_model", lambda spec: ScriptedModel(finishes, name="finishes"))
    found = labelled_chains(tmp_path, "finishes", 12, seed=0, on_progress=silent)
    for name in FILES:
        assert found[name]["auroc"]["gain"]["pooled"][0] == 1.0, name


@pytest.mark.parametrize(
    ("text", "false"),
    [
        ("18 - 6 = 12", False),
        ("18 - 6 = 11", True),
        ("\\(3 \\times 4 = 12\\)", False),
        ("3 × 4 = 13", True),
        ("1,200 + 300 = 1,500", False),
        ("7 / 3 = 2.33", False),
        ("7 / 3 = 2", False),  # rounded
        ("8 / 2 = 5", True),
        ("6 / 0 = 6", True),
        ("3 + 4 + 5 = 12", False),  # no equation of two numbers
        ("2 + 3 = 5 * 1", False),
        ("x = 5, in 2020-21", False),
        ("$5 + $6 = $11", False),
    ],
)
def test_false_equations(text: str, false: bool) -> None:
    assert _is_false(text) is false
