from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundness.errors import TaskError
from soundness.tasks.jsonl import load_jsonl

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def write(folder: Path, *rows: object) -> Path:
    path = folder / "task.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no data files in {DATA}")
@pytest.mark.parametrize(
    "path", sorted(p for p in DATA.glob("*.jsonl") if p.stem != "verl_rollouts"), ids=lambda path: path.stem
)
def test_data_files_load_whole(path: Path):
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    problems = load_jsonl(path)
    assert [p.id for p in problems] == [row["id"] for row in rows]
    for problem, row in zip(problems, rows, strict=True):
        assert problem.answer == row.get("answer")
        assert list(problem.choices or ()) == (row["choices"] or [])
        if problem.choices:
            assert problem.answer_text == row.get("answer_text", problem.answer_text)
        assert list(problem.steps or ()) == row.get("steps", [])
        assert set(problem.meta) == set(row) - {"id", "question", "answer", "choices", "rationale", "steps", "facts", "context"}


def test_fields_and_meta(tmp_path: Path):
    row = {
        "question": "Which?",
        "choices": ["oak", "tin"],
        "answer": "B",
        "rationale": "r",
        "steps": ["s"],
        "facts": ["f"],
        "context": "c",
        "hops": 2,
    }
    (problem,) = load_jsonl(write(tmp_path, "", row))
    assert problem.id == "2"
    assert (problem.rationale, problem.steps, problem.facts, problem.context) == ("r", ("s",), ("f",), ("c",))
    assert problem.meta == {"hops": 2}


@pytest.mark.parametrize(
    ("choices", "answer", "letter"),
    [
        (["oak", "tin"], "B", "B"),
        (["oak", "tin"], "tin", "B"),
        (["oak", "tin"], " Tin ", "B"),
        (["oak", "tin"], "b", "B"),
        (["B", "A"], "A", "A"),
        (["x", "a"], "a", "B"),
        ([3, 4], 4, "B"),
        (["yes", "Yes"], "Yes", "B"),
        (["oak", "tin"], None, None),
    ],
)
def test_answers_to_choices_become_letters(tmp_path: Path, choices: list[object], answer: object, letter: str | None):
    (problem,) = load_jsonl(write(tmp_path, {"question": "?", "choices": choices, "answer": answer}))
    assert problem.answer == letter


@pytest.mark.parametrize(("answer", "text"), [(18, "18"), (0.5, "0.5"), ("51.0", "51.0"), (None, None)])
def test_open_answers_become_text(tmp_path: Path, answer: object, text: str | None):
    (problem,) = load_jsonl(write(tmp_path, {"question": "?", "answer": answer}))
    assert problem.answer == text


GOOD = {"id": "a", "question": "?", "answer": "1"}


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{nope", "malformed JSON"),
        ('{"question": "?", "answer": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "line 2"),
        ("[1, 2]", "a list"),
        ("3", "a number"),
        (GOOD, "field id: 'a' is the id of line 1"),
        ({"answer": "1"}, "field question: it is missing"),
        ({"questions": "?"}, "did you mean 'questions'"),
        ({"question": "  "}, "field question: it is empty"),
        ({"question": 3}, "field question: text was wanted, found a number"),
        ({"question": "?", "answer": ["1"]}, "field answer: text or a number was wanted, found a list"),
        ({"question": "?", "answer": True}, "found true or false"),
        ({"question": "?", "answer": ""}, "field answer: it is empty"),
        (
            {"question": "?", "choices": ["oak", "tin"], "answer": "C"},
            "'C' is neither a letter A to B nor among ['oak', 'tin']",
        ),
        ({"question": "?", "choices": ["oak", "oak"], "answer": "oak"}, "choices A and B"),
        ({"question": "?", "choices": ["oak"], "answer": "A"}, "field choices: 2 to 26 were wanted, found 1"),
        ({"question": "?", "choices": "oak", "answer": "A"}, "field choices: a list of texts was wanted, found text"),
        ({"question": "?", "choices": ["oak", ""], "answer": "A"}, "field choices: one of them is empty"),
        ({"question": "?", "steps": "one"}, "field steps: a list of texts was wanted, found text"),
        ({"question": "?", "facts": [1]}, "field facts"),
        ({"question": "?", "rationale": 1}, "field rationale: text was wanted"),
        ({"id": 1.5, "question": "?"}, "field id"),
        ({"id": " ", "question": "?"}, "field id: it is empty"),
        ('{"question": "\\ud800"}', "surrogate"),
    ],
)
def test_bad_rows_name_file_line_and_field(tmp_path: Path, row: object, told: str):
    path = write(tmp_path, GOOD, row)
    with pytest.raises(TaskError) as error:
        load_jsonl(path)
    message = str(error.value)
    assert message.startswith(f"{path} line 2")
    assert told in message
    assert "\n" not in message


def test_bad_files(tmp_path: Path):
    with pytest.raises(TaskError, match="has no rows"):
        load_jsonl(write(tmp_path, "", "  "))
    with pytest.raises(TaskError, match=r"did you mean 'task\.jsonl'"):
        load_jsonl(tmp_path / "tsk.jsonl")
    with pytest.raises(TaskError, match="does not exist either"):
        load_jsonl(tmp_path / "none" / "task.jsonl")
    with pytest.raises(TaskError, match="is a folder"):
        load_jsonl(tmp_path)
    (tmp_path / "latin.jsonl").write_bytes(b'{"question": "caf\xe9"}\n')
    with pytest.raises(TaskError, match=r"line 1: not UTF-8 .* byte 17"):
        load_jsonl(tmp_path / "latin.jsonl")


def test_byte_order_mark_and_line_separators_inside_strings(tmp_path: Path):
    path = tmp_path / "marked.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"question": "a\xe2\x80\xa8b"}\r\n')
    assert load_jsonl(path)[0].question == "a\u2028b"


def test_limit_stops_reading(tmp_path: Path):
    assert len(load_jsonl(write(tmp_path, GOOD, "{broken"), limit=1)) == 1
