from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from soundness.errors import TaskError
from soundness.tasks import sources
from soundness.tasks.sources import open_file, open_rows, plain

ROWS = [{"question": "1 + 1?", "answer": 2}, {"question": "Café \u2028?", "answer": "x"}]


def fields_of(path: Path) -> list[dict]:
    return [dict(row.fields) for row in open_file(path).rows]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", "\n".join(json.dumps(row) for row in ROWS)),
        ("a.ndjson", "\r\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)),
        ("a.json", json.dumps(ROWS)),
        ("a.json", json.dumps(ROWS, indent=2)),
        ("a.jsonl", json.dumps(ROWS)),
        ("a.json", "\n".join(json.dumps(row) for row in ROWS)),
        ("a.json", json.dumps({"version": 1, "data": ROWS})),
        ("a.json", json.dumps({"Data": ROWS, "Domain": "Web"})),
        ("a.json", json.dumps({"whatever": ROWS})),
        ("a.jsonl", b"\xef\xbb\xbf" + "\n".join(json.dumps(row) for row in ROWS).encode()),
        ("a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode("utf-16")),
        ("a.json", json.dumps(ROWS, ensure_ascii=False).encode("utf-16")),
    ],
)
def test_json_in_every_form_gives_the_same_rows(tmp_path: Path, name: str, content: str | bytes):
    assert fields_of(write(tmp_path / name, content)) == ROWS


def test_an_object_of_objects_is_rows_by_their_id(tmp_path: Path):
    path = write(tmp_path / "a.json", json.dumps({"p1": {"question": "?"}, "p2": {"question": "!"}}))
    assert fields_of(path) == [{"id": "p1", "question": "?"}, {"id": "p2", "question": "!"}]
    assert fields_of(write(tmp_path / "b.json", json.dumps({"question": "?", "answer": "x"}))) == [
        {"question": "?", "answer": "x"}
    ]


def test_options_that_a_file_brings_are_no_rows(tmp_path: Path):
    head = {"prompt": {"system": "Be brief."}}
    lines = open_file(write(tmp_path / "a.jsonl", "\n".join(json.dumps(row) for row in (head, *ROWS))))
    assert (lines.options, [row.place.split()[-2:] for row in lines.rows]) == (head, [["line", "2"], ["line", "3"]])
    whole = open_file(write(tmp_path / "a.json", json.dumps({**head, "problems": ROWS})))
    assert (whole.options, len(list(whole.rows))) == (head, 2)
    row = {"prompt": "def f():"}  # a row with a field of that name
    assert open_file(write(tmp_path / "b.jsonl", json.dumps(row))).options == {}


def test_csv_and_tsv(tmp_path: Path):
    text = 'question,A,B,answer\n"One, or\ntwo?",oak,tin,B\n\n"",,,\nWhich?,oak,,A\n'
    source = open_file(write(tmp_path / "a.csv", "\ufeff" + text))
    rows = list(source.rows)
    assert not source.typed
    assert [dict(row.fields) for row in rows] == [
        {"question": "One, or\ntwo?", "A": "oak", "B": "tin", "answer": "B"},
        {"question": "Which?", "A": "oak", "B": None, "answer": "A"},
    ]
    assert rows[0].place.endswith("line 2") and rows[1].place.endswith("line 6")
    assert fields_of(write(tmp_path / "a.tsv", "question\tanswer\na, b?\t1\n")) == [{"question": "a, b?", "answer": "1"}]
    assert fields_of(write(tmp_path / "b.csv", "question;answer\na, b?;1\n")) == [{"question": "a, b?", "answer": "1"}]
    assert fields_of(write(tmp_path / "c.csv", "question,answer\nx\n")) == [{"question": "x", "answer": None}]


def test_parquet(tmp_path: Path):
    table = pyarrow.table(
        {
            "question": ["?", "!"],
            "choices": [["a", "b"], ["c", "d"]],
            "answer": [1.0, float("nan")],
            "day": [pyarrow.scalar(0, pyarrow.date32()).as_py(), None],
            "image": [b"xyz", None],
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    assert fields_of(tmp_path / "a.parquet") == [
        {"question": "?", "choices": ["a", "b"], "answer": 1.0, "day": "1970-01-01", "image": "<3 bytes>"},
        {"question": "!", "choices": ["c", "d"], "answer": None, "day": None, "image": None},
    ]


def test_a_parquet_file_that_unpacks_to_more_than_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    parquet.write_table(pyarrow.table({"question": ["?" * 1000] * 5000}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 100_000
    monkeypatch.setattr(sources, "_MOST_PARQUET_BYTES", 1000)
    with pytest.raises(TaskError, match="unpacks to"):
        fields_of(tmp_path / "bomb.parquet")


def test_rows_of_a_program():
    import pandas

    frame = pandas.DataFrame({"question": ["?", "!"], "answer": [1, None], "tags": [["a"], ["b"]]})
    assert [dict(row.fields) for row in open_rows(frame).rows] == [
        {"question": "?", "answer": 1.0, "tags": ["a"]},
        {"question": "!", "answer": None, "tags": ["b"]},
    ]
    assert [dict(row.fields) for row in open_rows(pyarrow.table({"question": ["?"]})).rows] == [{"question": "?"}]
    assert [row.name for row in open_rows(iter(ROWS)).rows] == ["0", "1"]
    doubled = pandas.DataFrame([["?", "!"]], columns=["question", "question"])
    for wrong, told in (
        (5, "this is int"),
        ({"question": "?"}, "this is dict"),
        (b"x", "this is bytes"),
        (doubled, "two columns"),
    ):
        with pytest.raises(TaskError, match=told):
            open_rows(wrong)
    with pytest.raises(TaskError, match="row 1: a dictionary was wanted, found text"):
        list(open_rows([{"question": "?"}, "x"]).rows)


def test_values_become_what_json_can_hold():
    import decimal

    import numpy
    import pandas

    value = {
        "a": numpy.int64(3),
        "b": numpy.array([1.5]),
        "c": pandas.NA,
        "d": pandas.NaT,
        "e": decimal.Decimal("1.5"),
        "f": {1},
    }
    assert plain(value, "x") == {"a": 3, "b": [1.5], "c": None, "d": None, "e": "1.5", "f": [1]}
    deep: list = []
    for _ in range(1000):
        deep = [deep]
    for wrong, told in ((float("inf"), "inf is no number"), (deep, "nested too deeply"), (10**5000, "digits")):
        with pytest.raises(TaskError, match=told):
            plain({"a": wrong}, "row 3")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", "[1, 2]", "row 0: an object {...} was wanted, found a number"),
        ("a.json", '"text"', "an array of objects was wanted, found text"),
        ("a.json", "[{", "malformed JSON"),
        ("a.json", json.dumps({"train": [{"a": 1}], "test": [{"a": 1}]}), "several lists of objects (train, test)"),
        ("a.jsonl", '{"a": 1e999}', "too large"),
        ("a.jsonl", '{"a": ' + "9" * 5000 + "}", "5,000 digits"),
        ("a.jsonl", '{"a": ' + "[" * 1000 + "]" * 1000 + "}", "nested too deeply"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.jsonl", '{"question": "?", "answer": NaN}', "NaN is not JSON"),
        ("a.csv", "", "is empty"),
        ("a.csv", "a,a\n1,2\n", "names two columns 'a'"),
        ("a.csv", 'a,b\n"x,2\n', "no CSV that can be read"),
        ("a.csv", "a,b\n1,2,3\n", "line 2 has 3 cells"),
        ("a.csv", b"a,b\n\xff,2\n", "not UTF-8"),
        ("a.csv", "a,b\n\0,2\n", ""),
        ("a.parquet", "nothing of the kind", "cannot be read as Parquet"),
        ("a.jsonl.gz", b"\x1f\x8b", "unpack it first"),
        ("a.jsonl", b"\xff\xfe\x00", "not UTF-16"),
    ],
)
def test_files_that_cannot_be_read_say_why_in_one_short_line(tmp_path: Path, name: str, content: str | bytes, told: str):
    path = write(tmp_path / name, content)
    if not told:
        fields_of(path)
        return
    with pytest.raises(TaskError) as error:
        fields_of(path)
    assert told in str(error.value)
    assert "\n" not in str(error.value) and len(str(error.value).replace(str(tmp_path), "")) < 250
