from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.errors import FileError, RunError
from soundness.records import Chain, Outcome, Problem, Prompt, Reader, Reading, Score, Span
from soundness.runs.tables import (
    CHAINS,
    PROBLEMS,
    READINGS,
    SCORES,
    ReadingRow,
    Table,
    _values,
    read_rows,
    write_table,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
maybe = st.none() | text
texts = st.lists(text, max_size=3).map(tuple)
ids = st.lists(st.integers(0, 2**32 - 1), max_size=5).map(tuple)
count = st.integers(0, 2**40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)

problems = st.builds(
    Problem,
    id=text,
    question=text,
    answer=maybe,
    choices=st.none() | texts,
    rationale=maybe,
    steps=st.none() | texts,
    facts=texts,
    context=texts,
    meta=st.dictionaries(st.text(max_size=4), json_values, max_size=2),
)
chains = st.builds(
    Chain,
    problem_id=text,
    model=text,
    sample=count,
    seed=st.integers(-(2**63), 2**63 - 1),
    prompt=st.builds(Prompt, text=text, ids=ids),
    ids=ids,
    text=text,
    finish=st.sampled_from(["stop", "length"]),
    steps=st.lists(st.builds(Span, count, count), max_size=3).map(tuple),
    answer=maybe,
    step_texts=texts,
    answer_step=st.none() | count,
    conclusion=st.none() | count,
    outcome=st.none() | st.sampled_from(Outcome),
)
token = st.tuples(st.floats(-1e300, 0), st.booleans())
readings = st.lists(token, min_size=1, max_size=4).map(lambda rows: Reading(*map(tuple, zip(*rows, strict=True))))
who = st.sampled_from(Reader)
reading_rows = st.builds(ReadingRow, who, text, text, text, count, text, count, ids, readings)
scored = st.builds(
    Score,
    text,
    text,
    count,
    text,
    who,
    value=st.floats(allow_nan=False, allow_infinity=False),
    reason=st.just(""),
    reader_name=text,
)
unscored = st.builds(Score, text, text, count, text, who, value=st.none(), reason=text.filter(bool))

KINDS: list[tuple[Table[Any], st.SearchStrategy[Any]]] = [
    (PROBLEMS, problems),
    (CHAINS, chains),
    (READINGS, reading_rows),
    (SCORES, scored | unscored),
]


@pytest.mark.parametrize(("table", "rows"), KINDS, ids=[table.name for table, _ in KINDS])
def test_records_come_back_equal(table: Table[Any], rows: st.SearchStrategy[Any], tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.mktemp("tables")

    @settings(max_examples=40, deadline=None)
    @given(st.lists(rows, max_size=5))
    def round_trip(records: list[Any]) -> None:
        path = folder / table.file
        write_table(path, records, table)
        found = read_rows(path, table)
        assert found == records
        assert [repr(r) for r in found] == [repr(r) for r in records]  # types as well, tuples within tuples included
        content = path.read_bytes()
        write_table(path, iter(records), table)
        assert path.read_bytes() == content

    round_trip()
    assert [p.name for p in folder.iterdir()] == [table.file]


def test_no_field_of_a_record_is_forgotten() -> None:
    def columns(table: Table[Any]) -> set[str]:
        return set(table.schema().names)

    def names(record: type) -> set[str]:
        return {field.name for field in fields(record) if field.compare}  # what is no part of a record is not stored

    assert columns(PROBLEMS) == names(Problem)
    assert columns(CHAINS) == names(Chain) - {"prompt", "answer_span"} | {"answer_start", "answer_stop"} | {
        f"prompt_{name}" for name in names(Prompt) - {"stop"}
    }
    assert columns(READINGS) == names(ReadingRow) - {"reading"} | names(Reading) | {"nats", "top"}
    assert columns(SCORES) == names(Score)


def reading_row(i: int) -> ReadingRow:
    return ReadingRow(
        Reader.BASE,
        "b",
        f"p{i % 500}",
        "tuned",
        0,
        "after step 3",
        300,
        (i, 7, 9),
        Reading((-0.5, -i * 0.25, -1.0), (True,) * 3),
    )


def test_many_groups_of_rows_keep_their_order_and_take_seconds_at_most(tmp_path: Path) -> None:
    rows = [reading_row(i) for i in range(45_000)]
    start = time.process_time()
    write_table(tmp_path / "readings.parquet", (row for row in rows), READINGS)
    assert read_rows(tmp_path / "readings.parquet", READINGS) == rows
    assert time.process_time() - start < 30  # two seconds as a rule; this only catches a change of order


def test_a_slice_of_a_column_gives_its_own_lists() -> None:
    import pyarrow as pa

    assert _values(pa.array([[1], [2, 3], [], [4]]).slice(1, 2)) == [[2, 3], []]
    assert _values(pa.array([[1.0], None])) == [[1.0], None]


def test_any_parquet_reader_opens_them(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    chain = Chain(
        "p", "m", 0, 1, Prompt("Q", (1, 2)), (3, 2**32 - 1), "hi", "stop", (Span(0, 1), Span(1, 2)), outcome=Outcome.RIGHT
    )
    write_table(tmp_path / "chains.parquet", [chain], CHAINS)
    row = pq.read_table(tmp_path / "chains.parquet").to_pylist()[0]
    assert row["steps"] == [{"start": 0, "stop": 1}, {"start": 1, "stop": 2}]
    assert row["ids"] == [3, 2**32 - 1] and row["outcome"] == "right"
    write_table(tmp_path / "readings.parquet", [reading_row(4)], READINGS)
    row = pq.read_table(tmp_path / "readings.parquet").to_pylist()[0]
    assert row["nats"] == -2.5 and row["top"] is True
    write_table(tmp_path / "scores.parquet", [Score("m", "p", 0, "w", Reader.NOBODY, None, "cut off")], SCORES)
    assert pq.read_table(tmp_path / "scores.parquet").to_pylist()[0]["value"] is None


def test_a_lone_surrogate_does_not_cost_the_run(tmp_path: Path) -> None:
    problem = Problem("p", "broken \ud800 text", "A", ("yes \udfff", "no"), meta={"raw": "\ud800"})
    write_table(tmp_path / "problems.parquet", [problem], PROBLEMS)
    (found,) = read_rows(tmp_path / "problems.parquet", PROBLEMS)
    assert (found.question, found.choices, found.meta) == ("broken ? text", ("yes ?", "no"), {"raw": "\ud800"})


def test_missing_damaged_and_foreign_tables_say_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    with pytest.raises(RunError, match="is missing: .* again"):
        read_rows(path, SCORES)
    write_table(path, [Score("m", "p", i, "w", Reader.NOBODY, 1.0) for i in range(100)], SCORES)
    with pytest.raises(RunError, match="other columns than the table 'problems'"):
        read_rows(path, PROBLEMS)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RunError, match="damaged .* again"):
        read_rows(path, SCORES)


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    write_table(path, [Score("m", "p", 0, "w", Reader.NOBODY, 1.0)], SCORES)
    before = path.read_bytes()

    def rows() -> Sequence[Score]:
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="No space left on device.*free some disk space"):
        write_table(path, (row for _ in range(1) for row in rows()), SCORES)

    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["scores.parquet"]


def test_a_table_of_an_earlier_layout_is_read_by_what_its_columns_were_called(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "scores.parquet"
    write_table(path, [Score("m", "p", i, "w", Reader.NOBODY, None, "cut off") for i in range(3)], SCORES)
    old = pq.read_table(path).rename_columns({"reason": "why"}).drop_columns(["value", "reader"])
    pq.write_table(old.append_column("more", pa.array([1, 2, 3])), path)
    with pytest.raises(RunError, match="other columns"):
        read_rows(path, SCORES)
    table = replace(SCORES, former={"reason": "why"}, absent={"reader": "-", "reader_name": ""})
    assert read_rows(path, table) == [Score("m", "p", i, "w", Reader.NOBODY, None, "cut off") for i in range(3)]


def test_rows_that_contradict_themselves_are_damage(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "scores.parquet"
    write_table(path, [Score("m", "p", 0, "w", Reader.NOBODY, 1.0)], SCORES)
    row = pq.read_table(path).to_pylist()[0]
    for change in ({"value": float("nan")}, {"value": None}, {"reason": "and a reason"}):
        pq.write_table(pa.Table.from_pylist([{**row, **change}], schema=SCORES.schema()), path)
        with pytest.raises(RunError, match=r"scores\.parquet is damaged"):
            read_rows(path, SCORES)
    path = tmp_path / "problems.parquet"
    write_table(path, [Problem("p", "q", "a")], PROBLEMS)
    row = pq.read_table(path).to_pylist()[0]
    for meta in ("{", "[" * 5000, "9" * 5000, "3"):
        pq.write_table(pa.Table.from_pylist([{**row, "meta": meta}], schema=PROBLEMS.schema()), path)
        with pytest.raises(RunError, match=r"problems\.parquet is damaged"):
            read_rows(path, PROBLEMS)


def test_one_flipped_bit_in_the_pages_of_a_table_changes_no_value_unsaid(tmp_path: Path) -> None:
    path = tmp_path / "readings.parquet"
    rows = [reading_row(i) for i in range(300)]
    write_table(path, rows, READINGS)
    whole = path.read_bytes()
    pages = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")  # the footer has no checksum: run.json has one of the file
    rng = random.Random(3)
    seen = {"damaged": 0, "unharmed": 0}
    for _ in range(120):
        place = rng.randrange(pages)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << rng.randrange(8)]) + whole[place + 1 :])
        try:
            assert read_rows(path, READINGS) == rows, place
            seen["unharmed"] += 1
        except RunError as error:
            assert "readings.parquet" in str(error) and len(str(error)) < 800
            seen["damaged"] += 1
    assert seen["damaged"] > 60, seen
