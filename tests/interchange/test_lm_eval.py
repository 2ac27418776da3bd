from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from soundness.auditing import score
from soundness.chains.imported import load_traces
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
    with pytest.raises(TaskError, match="there is no file"):
        import_lm_eval([tmp_path / "absent.jsonl"])


# --- kinds of logs --------------------------------------------------------------------------------------------------------

FIRST, SECOND = "2026-01-02T03-04-05.678901", "2026-01-03T03-04-05.678901"
FOUR = ["oak", "tin", "salt", "wool"]


def line(doc, target, *replies, number=0, asked="What?", **more):
    arguments = {"gen_args_0": {"arg_0": asked, "arg_1": {}}}
    return {"doc_id": number, "doc": doc, "target": target, "arguments": arguments, "resps": [list(replies)], **more}


def imported(folder, *logs, model=None):
    paths = []
    for name, rows in logs:
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths.append(path)
    found = import_lm_eval(paths, model=model)
    return found, load_traces(write_traces(found, Path(folder) / "out"))


CHOICES = {
    "text target": ({"question": "A metal?", "choices": FOUR}, "tin"),
    "index target": ({"question": "A metal?", "choices": FOUR}, 1),
    "index as text": ({"question": "A metal?", "choices": FOUR}, "1"),
    "bracketed": ({"Question": "A metal?", "choices": FOUR}, "(B)"),
    "MMLU-Pro": ({"question": "A metal?", "options": FOUR, "answer": "B", "answer_index": 1}, "B"),
    "columns": ({"question": "A metal?", "A": "oak", "B": "tin", "C": "salt", "answer": "B"}, "B"),
    "MedQA": ({"sent1": "x", "question": "A metal?", "options": {"A": "oak", "B": "tin"}, "answer_idx": "B"}, "B"),
    "numbered": ({"question": "A metal?", "choices": {"text": FOUR, "label": list("1234")}, "answerKey": "2"}, "B"),
    "target decides": ({"question": "A metal?", "choices": FOUR, "answer": 0}, "B"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_options_reach_the_trace_with_the_right_letter(tmp_path, name):
    found, (trace,) = imported(
        tmp_path, (f"samples_x_{FIRST}.jsonl", [line(*CHOICES[name], "It is tin. The answer is (B) tin.")])
    )
    assert trace.problem.answer == "B" and trace.problem.choices[1] == "tin"
    assert ("the harness graded against" in " ".join(found.account)) == (name == "target decides")


TARGETS = {
    "list as text": ({"question": "?"}, "['Paris', 'City of Light']", ("Paris", "City of Light")),
    "list": ({"question": "?"}, ["Paris", "Lutetia"], ("Paris", "Lutetia")),
    "its own first": ({"question": "?", "answer": {"value": "Paris"}}, "['City', 'Paris']", ("Paris", "City")),
    "tuples": ({"question": "?", "passage": "p"}, "[('7',), ('seven',)]", ("7", "seven")),
    "worked": ({"question": "?", "answer": "3 + 4 = 7\n#### 7"}, "7", ("7",)),
    "worked target": ({"question": "?"}, "3 + 4 = 7\n#### 7", ("7",)),
    "number": ({"question": "?"}, 7, ("7",)),
    "interval": ({"question": "?"}, "[1, 2)", ("[1, 2)",)),
    "none": ({"question": "?"}, None, ()),
    "empty": ({"question": "?"}, "", ()),
    "boxed": ({"problem": "?", "solution": "So \\boxed{7}."}, "7", ("7",)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_accepted_answer_of_a_target_is_kept(tmp_path, name):
    doc, target, accepted = TARGETS[name]
    _, (trace,) = imported(tmp_path, (f"samples_x_{FIRST}.jsonl", [line(doc, target, "So it is.")]))
    assert trace.problem.accepted == accepted and trace.problem.choices is None


def test_passages_stories_and_articles_are_context(tmp_path):
    rows = [
        line({name: "Ann has 3.", "question": f"{name}?"}, "3", "Answer: 3", number=number)
        for number, name in enumerate(("passage", "context", "article", "story", "support", "background"))
    ]
    _, traces = imported(tmp_path, (f"samples_x_{FIRST}.jsonl", rows))
    assert [trace.problem.context for trace in traces] == [("Ann has 3.",)] * 6


def test_a_document_that_is_not_understood_is_asked_as_it_was(tmp_path):
    rows = [
        line({"x": 1}, "3", "Answer: 3", asked="Ann has 3. How many?"),
        {**line({}, "3", "Answer: 3", number=1), "arguments": [["asked in a list", {}]]},
        {**line({}, "3", "Answer: 3", number=2), "arguments": None},
    ]
    _, traces = imported(tmp_path, (f"samples_x_{FIRST}.jsonl", rows))
    assert [trace.problem.question for trace in traces] == [
        *("Ann has 3. How many?", "asked in a list", "(the log does not say what was asked)"),
    ]


def test_programs_and_targets_that_name_no_option_are_kept_without_reference_and_counted(tmp_path):
    rows = [
        line({"prompt": "def f():", "canonical_solution": "x", "entry_point": "f"}, "check(f)", "return 1"),
        line({"question": "A metal?", "choices": FOUR}, "gold", "Gold.", number=1),
        line({"question": "A metal?", "choices": FOUR}, "gold", "Gold.", number=2),
    ]
    found, traces = imported(tmp_path, (f"samples_x_{FIRST}.jsonl", rows))
    assert [trace.problem.answer for trace in traces] == [None] * 3
    account = " ".join(found.account)
    assert "1 documents ask for programs" in account and "2 documents have options, and a target that names none" in account


def test_repeats_filters_and_further_logs_are_samples_of_one_problem(tmp_path):
    doc = {"question": "1 + 1?"}
    log = [line(doc, "2", "a", "b", filter="x"), line(doc, "2", "a", "b", filter="y")]
    more = [line(doc, "2", "c", "d")]
    found, traces = imported(tmp_path, (f"samples_t_{FIRST}.jsonl", log), (f"samples_t_{SECOND}.jsonl", more), model="m")
    assert [(trace.text, trace.sample, trace.problem.id) for trace in traces] == [
        (text, i, "t:0") for i, text in enumerate("abcd")
    ]
    same, traces = imported(tmp_path / "x", (f"samples_t_{FIRST}.jsonl", log), (f"samples_t_{SECOND}.jsonl", log), model="m")
    assert len(traces) == 2 and "word for word" in " ".join(same.account)


def test_other_documents_under_the_same_number_and_other_writers_stay_apart(tmp_path):
    logs = [
        (f"m1/samples_t_{FIRST}.jsonl", [line({"question": "1 + 1?"}, "2", "a")]),
        (f"m1/samples_t_{SECOND}.jsonl", [line({"question": "5 + 5?"}, "10", "b")]),
        (f"m2/samples_t_{FIRST}.jsonl", [line({"question": "1 + 1?"}, "2", "c")]),
    ]
    _, traces = imported(tmp_path, *logs)
    assert [(trace.model, trace.sample) for trace in traces] == [("m1", 0), ("m1", 0), ("m2", 0)]
    first, second, third = (trace.problem.id for trace in traces)
    assert first == third != second


def test_broken_lines_raise_nothing_but_task_errors(tmp_path):
    rng = random.Random("lm-eval")
    junk = [None, 1, -1.5, "", "x", "[", "('a',", [], [[]], [None], {}, {"a": None}, True, "\ud800", "B", ["B"], [["x", 1]]]
    path = tmp_path / f"samples_t_{FIRST}.jsonl"
    for number in range(1500):
        doc, target = rng.choice([*CHOICES.values(), *(one[:2] for one in TARGETS.values())])
        row = json.loads(json.dumps(line(doc, target, "Answer: B")))
        for _ in range(rng.randint(1, 3)):
            name = rng.choice([*row, "doc", "doc"])
            if name == "doc" and isinstance(row.get("doc"), dict) and rng.random() < 0.8:
                row["doc"][rng.choice(["question", "choices", "answer", "passage", "options", "label"])] = copy.deepcopy(
                    rng.choice(junk)
                )
            else:
                row[name] = copy.deepcopy(rng.choice(junk))
        path.write_text(json.dumps(row) + "\n")
        try:
            found = import_lm_eval([path])
            if found.rows and number % 10 == 0:
                load_traces(write_traces(found, tmp_path / "out"))
        except TaskError as error:
            assert "\n" not in str(error)
