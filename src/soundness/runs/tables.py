"""The run's records as Parquet tables: problems, chains, readings, scores, cases, edits.

Token ids are lists of uint32, steps lists of `{start, stop}`, log-probabilities doubles in nats; a null is an absent value.
Any Parquet reader opens them; `read_rows` gives the records back, equal to what was written. A lone surrogate, which no UTF-8
file can hold, is written as "?".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from soundness.errors import RunError
from soundness.files import parse_json, replace_file
from soundness.records import Chain, Outcome, Problem, Prompt, Reader, Reading, Score, Span

__all__ = [
    "CASES",
    "CHAINS",
    "EDITS",
    "PROBLEMS",
    "READINGS",
    "SCORES",
    "CaseRow",
    "EditRow",
    "ReadingRow",
    "Table",
    "read_rows",
    "write_table",
]

ROWS_PER_GROUP = 20_000
"""Rows converted and held at a time; also Parquet's row group, far from the 2 GB that one column of text may hold."""

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class ReadingRow:
    """One reading with the chain it bears on and the part that it plays there."""

    reader: Reader
    """Who read."""
    reader_name: str
    """Model that read, by its name in the run."""
    problem_id: str
    """The problem of the chain."""
    writer: str
    """Model that wrote the chain, by its name in the run."""
    sample: int
    """Which sample of that problem."""
    role: str
    """What the probe was for, such as `after step 3`."""
    prefix_length: int
    """Tokens conditioned on."""
    continuation: tuple[int, ...]
    """Token ids scored."""
    reading: Reading
    """What came back."""


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One chain as one reader sees it: its steps and how strongly an answer is believed after each of them."""

    reader: Reader
    """Who read."""
    reader_name: str
    """Model that read, by its name in the run."""
    problem_id: str
    """The problem of the chain."""
    writer: str
    """Model that wrote the chain, by its name in the run."""
    sample: int
    """Which sample of that problem."""
    skip_reason: str
    """Why the chain has no steps to measure, or an empty string."""
    steps: tuple[str, ...]
    """The text of each of the K steps of its reasoning, before the answer is stated."""
    num_tokens: int
    """Tokens of those steps, in the reader's vocabulary."""
    asked_with: str | None
    """Open answer given when asked after all steps, or None."""
    asked_without: str | None
    """Open answer given when asked before any step, or None."""
    reference_nats: tuple[float, ...]
    """log p(reference answer) after 0..K steps, nats; empty where not read."""
    reference_share: tuple[float, ...]
    """The same among the choices of a choice problem; equal to `reference_nats` for an open answer."""
    own_share: tuple[float, ...]
    """log p(own answer) after 0..K steps, among the choices where there are any, nats; empty where not read."""
    own_given: tuple[bool, ...]
    """Whether the own answer is the one given after 0..K steps; empty where not read."""


@dataclass(frozen=True, slots=True)
class EditRow:
    """What one intervention made of one chain, and what the reader then believed."""

    reader: Reader
    """Who read."""
    reader_name: str
    """Model that read, by its name in the run."""
    problem_id: str
    """The problem of the chain."""
    writer: str
    """Model that wrote the chain, by its name in the run."""
    sample: int
    """Which sample of that problem."""
    kind: str
    """Name of the intervention."""
    step: int | None = None
    """The step touched first (from 0), or None where the whole chain was, or nothing."""
    before: str = ""
    """The text that was replaced."""
    after: str = ""
    """The text that stood there instead."""
    note: str = ""
    """Which operator, which donor, which seed."""
    reason: str = ""
    """Why the edit could not be made; empty where it was."""
    num_tokens: int | None = None
    """Tokens of the edited steps, or None where no edit was made."""
    kept: bool | None = None
    """Whether the own answer is still given, or None where that was not read."""
    own_share: float | None = None
    """log p(own answer) after the edited steps, among the choices where there are any, nats; None where not read."""
    reference_nats: float | None = None
    """log p(reference answer) after the edited steps, nats; None where not read."""


@dataclass(frozen=True)
class Table(Generic[Record]):
    """How one kind of record lies in a table."""

    name: str
    """Its file is `<name>.parquet`."""
    schema: Callable[[], Any] = field(repr=False)
    """Returns the pyarrow schema."""
    columns: Callable[[Sequence[Record]], dict[str, Any]] = field(repr=False)
    """Returns one sequence, or pyarrow array, per column."""
    records: Callable[[dict[str, list[Any]]], list[Record]] = field(repr=False)
    """Returns the records of columns of Python values."""
    former: Mapping[str, str] = field(default_factory=dict)
    """Column -> the name that it had in an earlier layout."""
    absent: Mapping[str, Any] = field(default_factory=dict)
    """Column that an earlier layout lacked -> what stands in every row then; None where a column may be null."""

    @property
    def file(self) -> str:
        """The table's file name."""
        return f"{self.name}.parquet"


def write_table(path: str | Path, rows: Iterable[Record], table: Table[Record]) -> None:
    """Write `rows` to `path`: the old file stays until the new one is complete. The same rows give the same bytes.

    Every page carries a checksum. Raises FileError where the disk is full or the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = table.schema()

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:
            for some in _groups(rows):
                columns = table.columns(some)
                arrays = [_array(columns[column.name], column.type) for column in schema]
                writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))

    replace_file(path, write)


def read_rows(path: str | Path, table: Table[Record]) -> list[Record]:
    """Return the records of a table in the order written.

    Raises RunError where the file is missing, damaged or another table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise RunError(f"{path} is missing: the run has not got that far; finish it with the same soundness command again")
    rows: list[Record] = []
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = _names_there(file.schema_arrow, table)
            if names is None:
                raise RunError(
                    f"{path} has other columns than the table {table.name!r}: "
                    f"wanted {', '.join(table.schema().names)}; found {', '.join(file.schema_arrow.names)}; "
                    "it was written by another program or version: run the same soundness command again to rebuild it"
                )
            wanted = [there for there in names.values() if there is not None]
            for batch in file.iter_batches(batch_size=ROWS_PER_GROUP, columns=wanted):
                columns = {
                    name: [table.absent.get(name)] * batch.num_rows if there is None else _values(batch.column(there))
                    for name, there in names.items()
                }
                rows += table.records(columns)
            in_groups = sum(file.metadata.row_group(place).num_rows for place in range(file.num_row_groups))
            if not len(rows) == file.metadata.num_rows == in_groups:
                raise ValueError("its footer and its pages speak of different numbers of rows")
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        # ValueError and what follows it come from rows that contradict themselves.
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise RunError(
            f"{path} is damaged ({first}): run the same soundness command again to rebuild it from the traces"
        ) from error
    return rows


def _names_there(schema: Any, table: Table[Any]) -> dict[str, str | None] | None:
    """Return for each column of `table` the column that holds it in a file of that schema, None for one that may be absent.

    None instead of all where the file is another table.
    """
    there = {column.name: column.type for column in schema}
    names: dict[str, str | None] = {}
    for column in table.schema():
        known = [name for name in (column.name, table.former.get(column.name)) if name in there]
        if known and there[known[0]].equals(column.type):
            names[column.name] = known[0]
        elif not known and (column.nullable or column.name in table.absent):
            names[column.name] = None
        else:
            return None
    return names if any(names.values()) else None


def _groups(rows: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield `rows` in lists of at most ROWS_PER_GROUP."""
    rest = iter(rows)
    while some := list(islice(rest, ROWS_PER_GROUP)):
        yield some


def _array(values: Any, kind: Any) -> Any:
    """Return one column as a pyarrow array of type `kind`."""
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_writable(value) for value in values], kind)


def _writable(value: Any) -> Any:
    """Return text, or a sequence of texts, with every lone surrogate replaced by "?"."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value if value is None else [_writable(part) for part in value]


def _values(array: Any) -> list[Any]:
    """Return a pyarrow array as Python values; lists of numbers through one flat list, which is several times faster."""
    import pyarrow as pa

    kind = array.type
    flat = pa.types.is_list(kind) and array.null_count == 0 and not pa.types.is_string(kind.value_type)
    if not flat:
        return list(array.to_pylist())
    offsets = array.offsets.to_pylist()
    inner = array.flatten()
    first = offsets[0] if offsets else 0
    if pa.types.is_struct(kind.value_type):
        parts = [inner.field(index).to_numpy(zero_copy_only=False).tolist() for index in range(kind.value_type.num_fields)]
        items: list[Any] = list(zip(*parts, strict=True))
    else:
        items = inner.to_numpy(zero_copy_only=False).tolist()
    return [items[start - first : stop - first] for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]


def _schema(*columns: tuple[str, str]) -> Callable[[], Any]:
    """Return a function that builds the pyarrow schema of (name, kind) pairs; a kind ending in `?` may be null."""

    def build() -> Any:
        import pyarrow as pa

        kinds = {
            "text": pa.string(),
            "texts": pa.list_(pa.field("element", pa.string(), nullable=False)),
            "count": pa.int64(),
            "ids": pa.list_(pa.field("element", pa.uint32(), nullable=False)),
            "nats": pa.float64(),
            "number": pa.float64(),
            "numbers": pa.list_(pa.field("element", pa.float64(), nullable=False)),
            "flag": pa.bool_(),
            "flags": pa.list_(pa.field("element", pa.bool_(), nullable=False)),
            "spans": pa.list_(
                pa.field(
                    "element",
                    pa.struct([pa.field(name, pa.int64(), nullable=False) for name in ("start", "stop")]),
                    nullable=False,
                )
            ),
        }
        return pa.schema([pa.field(name, kinds[kind.rstrip("?")], nullable=kind.endswith("?")) for name, kind in columns])

    return build


def _spans(rows: Sequence[Sequence[Span]], kind: Any) -> Any:
    """Return step spans as a pyarrow list array of `{start, stop}`."""
    import numpy as np
    import pyarrow as pa

    offsets = np.cumsum([0, *(len(spans) for spans in rows)], dtype=np.int32)
    flat = np.asarray([span for spans in rows for span in spans], dtype=np.int64).reshape(-1, 2)
    structs = pa.StructArray.from_arrays([flat[:, 0].copy(), flat[:, 1].copy()], fields=list(kind.value_type))
    return pa.ListArray.from_arrays(offsets, structs, type=kind)


def _problem_columns(rows: Sequence[Problem]) -> dict[str, Any]:
    return {
        **{
            name: [getattr(row, name) for row in rows]
            for name in ("id", "question", "answer", "choices", "rationale", "steps", "facts", "context")
        },
        "meta": [json.dumps(dict(row.meta), ensure_ascii=True, allow_nan=False) for row in rows],
    }


def _problems(columns: dict[str, list[Any]]) -> list[Problem]:
    names = list(columns)
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [
        Problem(
            **{
                **row,
                "choices": None if row["choices"] is None else tuple(row["choices"]),
                "steps": None if row["steps"] is None else tuple(row["steps"]),
                "facts": tuple(row["facts"]),
                "context": tuple(row["context"]),
                "meta": _meta(row["meta"]),
            }
        )
        for row in rows
    ]


def _meta(text: str) -> dict[str, Any]:
    meta = parse_json(text)
    if not isinstance(meta, dict):
        raise ValueError(f"meta is {text[:40]!r}, and a JSON object was wanted")
    return meta


def _chain_columns(rows: Sequence[Chain]) -> dict[str, Any]:
    return {
        **{
            name: [getattr(row, name) for row in rows]
            for name in (
                "problem_id",
                "model",
                "sample",
                "seed",
                "ids",
                "text",
                "finish",
                "step_texts",
                "answer",
                "answer_step",
                "conclusion",
                "answer_how",
                "confidence",
                "grader_words",
            )
        },
        "answer_start": [None if row.answer_span is None else row.answer_span[0] for row in rows],
        "answer_stop": [None if row.answer_span is None else row.answer_span[1] for row in rows],
        "prompt_text": [row.prompt.text for row in rows],
        "prompt_ids": [row.prompt.ids for row in rows],
        "steps": _spans([row.steps for row in rows], CHAINS.schema().field("steps").type),
        "outcome": [None if row.outcome is None else row.outcome.value for row in rows],
    }


def _chains(columns: dict[str, list[Any]]) -> list[Chain]:
    names = list(columns)
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return [
        Chain(
            problem_id=row["problem_id"],
            model=row["model"],
            sample=row["sample"],
            seed=row["seed"],
            prompt=Prompt(row["prompt_text"], tuple(row["prompt_ids"])),
            ids=tuple(row["ids"]),
            text=row["text"],
            finish=row["finish"],
            steps=tuple(Span(*span) for span in row["steps"]),
            step_texts=tuple(row["step_texts"]),
            answer=row["answer"],
            answer_step=row["answer_step"],
            conclusion=row["conclusion"],
            outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
            answer_span=None if row["answer_start"] is None else (row["answer_start"], row["answer_stop"]),
            answer_how=row["answer_how"],
            confidence=row["confidence"],
            grader_words=row["grader_words"],
        )
        for row in rows
    ]


def _reading_columns(rows: Sequence[ReadingRow]) -> dict[str, Any]:
    return {
        **{
            name: [getattr(row, name) for row in rows]
            for name in ("reader", "reader_name", "problem_id", "writer", "sample", "role", "prefix_length", "continuation")
        },
        "nats": [row.reading.nats for row in rows],
        "top": [row.reading.top for row in rows],
        "token_nats": [row.reading.token_nats for row in rows],
        "token_top": [row.reading.token_top for row in rows],
    }


def _readings(columns: dict[str, list[Any]]) -> list[ReadingRow]:
    readings = (Reading(tuple(nats), tuple(top)) for nats, top in zip(columns["token_nats"], columns["token_top"], strict=True))
    return [
        ReadingRow(reader, reader_name, problem_id, writer, sample, role, prefix_length, tuple(continuation), reading)
        for reader, reader_name, problem_id, writer, sample, role, prefix_length, continuation, reading in zip(
            *_readers(columns),
            columns["problem_id"],
            columns["writer"],
            columns["sample"],
            columns["role"],
            columns["prefix_length"],
            columns["continuation"],
            readings,
            strict=True,
        )
    ]


def _readers(columns: dict[str, list[Any]]) -> tuple[list[Reader], list[str]]:
    """Return who read each row, and by what name; soundness 0.1 wrote both in one column, as in `tuned:NAME`."""
    parts = [reader.partition(":") for reader in columns["reader"]]
    names = [name or part[2] for name, part in zip(columns["reader_name"], parts, strict=True)]
    return [Reader(part[0]) for part in parts], names


CASE_FIELDS = tuple(CaseRow.__dataclass_fields__)
EDIT_FIELDS = tuple(EditRow.__dataclass_fields__)


def _case_columns(rows: Sequence[CaseRow]) -> dict[str, Any]:
    return {name: [getattr(row, name) for row in rows] for name in CASE_FIELDS}


def _cases(columns: dict[str, list[Any]]) -> list[CaseRow]:
    whole = [[tuple(v) if isinstance(v, list) else v for v in columns[name]] for name in CASE_FIELDS[2:]]
    return [CaseRow(*row) for row in zip(*_readers(columns), *whole, strict=True)]


def _edit_columns(rows: Sequence[EditRow]) -> dict[str, Any]:
    return {name: [getattr(row, name) for row in rows] for name in EDIT_FIELDS}


def _edits(columns: dict[str, list[Any]]) -> list[EditRow]:
    return [EditRow(*row) for row in zip(*_readers(columns), *(columns[name] for name in EDIT_FIELDS[2:]), strict=True)]


SCORE_FIELDS = ("metric", "problem_id", "sample", "writer", "reader", "value", "reason", "reader_name")


def _score_columns(rows: Sequence[Score]) -> dict[str, Any]:
    return {name: [getattr(row, name) for row in rows] for name in SCORE_FIELDS}


def _scores(columns: dict[str, list[Any]]) -> list[Score]:
    readers, names = _readers(columns)
    whole = {**columns, "reader": readers, "reader_name": names}
    return [Score(*row) for row in zip(*(whole[name] for name in SCORE_FIELDS), strict=True)]


# What soundness 0.1 called the columns on who read.
_FORMER = {"reader": "scorer"}
_ABSENT = {"reader_name": ""}

PROBLEMS: Table[Problem] = Table(
    "problems",
    _schema(
        ("id", "text"),
        ("question", "text"),
        ("answer", "text?"),
        ("choices", "texts?"),
        ("rationale", "text?"),
        ("steps", "texts?"),
        ("facts", "texts"),
        ("context", "texts"),
        ("meta", "text"),  # JSON
    ),
    _problem_columns,
    _problems,
)
"""One row per question; `meta` is JSON text."""

CHAINS: Table[Chain] = Table(
    "chains",
    _schema(
        ("problem_id", "text"),
        ("model", "text"),
        ("sample", "count"),
        ("seed", "count"),
        ("prompt_text", "text"),
        ("prompt_ids", "ids"),
        ("ids", "ids"),
        ("text", "text"),
        ("finish", "text"),
        ("steps", "spans"),
        ("step_texts", "texts"),
        ("answer", "text?"),
        ("answer_step", "count?"),
        ("conclusion", "count?"),
        ("outcome", "text?"),
        ("answer_how", "text"),
        ("confidence", "text?"),
        ("grader_words", "text"),
        ("answer_start", "count?"),
        ("answer_stop", "count?"),
    ),
    _chain_columns,
    _chains,
    absent={"answer_how": "", "confidence": None, "grader_words": "", "answer_start": None, "answer_stop": None},
)
"""One row per chain: what was asked, what was written, where the steps lie, what became of the answer."""

READINGS: Table[ReadingRow] = Table(
    "readings",
    _schema(
        ("reader", "text"),
        ("reader_name", "text"),
        ("problem_id", "text"),
        ("writer", "text"),
        ("sample", "count"),
        ("role", "text"),
        ("prefix_length", "count"),
        ("continuation", "ids"),
        ("nats", "nats"),
        ("top", "flag"),
        ("token_nats", "numbers"),
        ("token_top", "flags"),
    ),
    _reading_columns,
    _readings,
    former=_FORMER,
    absent=_ABSENT,
)
"""One row per probe and role; `nats` and `top` sum up `token_nats` and `token_top`."""

SCORES: Table[Score] = Table(
    "scores",
    _schema(
        ("metric", "text"),
        ("problem_id", "text"),
        ("sample", "count"),
        ("writer", "text"),
        ("reader", "text"),
        ("value", "number?"),
        ("reason", "text"),
        ("reader_name", "text"),
    ),
    _score_columns,
    _scores,
    former=_FORMER,
    absent=_ABSENT,
)
"""One row per metric, chain and reader; `value` is null exactly where `reason` says why."""

CASES: Table[CaseRow] = Table(
    "cases",
    _schema(
        ("reader", "text"),
        ("reader_name", "text"),
        ("problem_id", "text"),
        ("writer", "text"),
        ("sample", "count"),
        ("skip_reason", "text"),
        ("steps", "texts"),
        ("num_tokens", "count"),
        ("asked_with", "text?"),
        ("asked_without", "text?"),
        ("reference_nats", "numbers"),
        ("reference_share", "numbers"),
        ("own_share", "numbers"),
        ("own_given", "flags"),
    ),
    _case_columns,
    _cases,
    former={**_FORMER, "skip_reason": "unfit"},
    absent=_ABSENT,
)
"""One row per chain and reader: the steps that count as reasoning, and the belief before and after each."""

EDITS: Table[EditRow] = Table(
    "edits",
    _schema(
        ("reader", "text"),
        ("reader_name", "text"),
        ("problem_id", "text"),
        ("writer", "text"),
        ("sample", "count"),
        ("kind", "text"),
        ("step", "count?"),
        ("before", "text"),
        ("after", "text"),
        ("note", "text"),
        ("reason", "text"),
        ("num_tokens", "count?"),
        ("kept", "flag?"),
        ("own_share", "nats?"),
        ("reference_nats", "nats?"),
    ),
    _edit_columns,
    _edits,
    former=_FORMER,
    absent=_ABSENT,
)
"""One row per chain, reader and edit: the text before and after, and the belief that followed."""
