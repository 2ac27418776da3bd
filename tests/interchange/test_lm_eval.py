from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from soundness.auditing import score
from soundness.errors import TaskError
from soundness.interchange.lm_eval import import_lm_eval
from soundness.interchange.traces import write_traces
from soundness.models.scripted import load_scripted

DATA = Path(__file__).parent / "data"  # written by lm-eval 0.4.13 through produce_lm_eval.py


def logs(folder, task):
    return sorted(Path(folder).rglob(f"samples_{task}_*.jsonl"))


def check(folder):
    imported = import_lm_eval(logs(folder, "sums"))
    assert [row["trace"] for row in imported.rows] == ["2 * 3 = 6\n2 + 6 = 8\nAnswer: 8", "8"]
    assert [(row["question"], row["answer"]) for row in imported.rows] == [("2 + 2 * 3?", "8"), ("4 + 4?", "8")]
    assert len({row["id"] for row in imported.rows}) == 2  # the second filter logs the same replies again
    assert {row["model"] for row in imported.rows} == {"tiny"}
    account = " ".join(imported.account)
    assert "cut all that stands before '</think>'" in account
    assert "1 of 2 traces hold an answer and no steps" in account
    assert "does not log why a generation ended" in account
    return imported


def test_samples_become_traces_and_what_was_stripped_is_said():
    check(DATA)


@pytest.mark.slow
def test_what_lm_eval_writes_today(tmp_path):
    pytest.importorskip("lm_eval")
    producer = Path(__file__).with_name("produce_lm_eval.py")
    done = subprocess.run([sys.executable, producer, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    check(tmp_path)


def test_a_task_of_log_likelihoods_has_no_chains_and_says_so(tmp_path):
    imported = import_lm_eval(logs(DATA, "pick"))
    assert imported.rows == ()
    with pytest.raises(TaskError, match="2 samples have log-likelihoods and no text"):
        write_traces(imported, tmp_path)


def test_imported_traces_are_scored(tmp_path):
    path = write_traces(import_lm_eval(logs(DATA, "sums"), model="mine"), tmp_path / "in")
    with score(path, scorer=load_scripted("computes"), out=tmp_path / "run", metrics=["info_gain"]) as run:
        chains = run.chains()
    assert [(chain.model, chain.outcome, len(chain.steps)) for chain in chains] == [("mine", "right", 3), ("mine", "right", 1)]


def test_another_file_is_refused_with_its_line(tmp_path):
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps({"question": "?", "trace": "!"}) + "\n")
    with pytest.raises(TaskError, match=r"line 1 has no doc_id, doc, target, resps"):
        import_lm_eval([path])
    path.write_text("not json\n")
    with pytest.raises(TaskError, match="line 1: malformed JSON"):
        import_lm_eval([path])
    with pytest.raises(TaskError, match="cannot be read"):
        import_lm_eval([tmp_path / "absent.jsonl"])
