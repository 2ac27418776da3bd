"""Rows out of files as people have them: JSON Lines, JSON arrays and objects, Parquet, CSV and TSV; frames and data sets from Python.

A row is a table of fields; what the fields mean is another matter (`soundness.tasks.fields`). A file may bring its own options:
a first JSON line, or an object around the rows, that holds `prompt`, `columns` or `rows` and no problem.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from soundness.errors import FileError, MissingPackage, TaskError, near
from soundness.files import MOST_BYTES, JsonFault, check_value, parse_json, read_json_lines

__all__ = ["OPTION_TABLES", "SUFFIXES", "Row", "Source", "open_file", "open_rows", "plain"]

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv")
"""Endings of files with rows."""

OPTION_TABLES = ("prompt", "columns", "rows")
"""Tables of options that a file may bring with it."""

_MOST_PARQUET_BYTES = 4 << 30
"""Most bytes of a Parquet file once it is unpacked; a few kilobytes on disk can hold terabytes of zeros."""

_LIST_NAMES = ("problems", "data", "examples", "questions", "rows", "instances", "items", "samples")
"""Keys under which a JSON object holds its rows, in any case."""


class Row(NamedTuple):
    """One row of a file."""

    place: str
    """Where it stands, such as "f.jsonl line 3"; begins every message about it."""
    name: str
    """Its number as text: the line, or the row from 0 where there are no lines. The id of a problem that has none."""
    fields: Mapping[str, Any]
    """Field -> JSON value."""


@dataclass
class Source:
    """Rows with what came with them."""

    name: str
    """Short label."""
    rows: Iterator[Row]
    """The rows, read as they are asked for."""
    typed: bool = True
    """Whether numbers and texts can be told apart; in CSV they cannot."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options that the file itself brings: `prompt`, `columns`, `rows`."""


def open_file(path: str | Path) -> Source:
    """Return the rows of a file. Raises TaskError, in one line, for what cannot be read."""
    path = Path(path)
    try:
        return _open_file(path)
    except FileError as error:
        raise TaskError(str(error)) from None


def _open_file(path: Path) -> Source:
    suffix = path.suffix.lower()
    if suffix in (".gz", ".zip", ".bz2", ".xz", ".zst"):
        raise TaskError(f"{path} is packed; unpack it first")
    if suffix == ".parquet":
        return Source(path.stem, _guarded(_parquet_rows(path)))
    if suffix in (".csv", ".tsv"):
        return Source(path.stem, _guarded(_csv_rows(path, "\t" if suffix == ".tsv" else None)), typed=False)
    start = _start(path)
    marked = start[:2] in (b"\xff\xfe", b"\xfe\xff")  # UTF-16, which Windows calls Unicode text
    text = start.decode("utf-16", "ignore") if marked else start.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "ignore")
    # An array, or the one value of a .json, which may also hold one object a line.
    if suffix == ".json" or text.lstrip().startswith("["):
        value = _whole_value(path)
        if value is not _SEVERAL:
            return _from_value(value, path)
    return _from_lines(_lines_of(_whole_text(path), path) if marked else read_json_lines(path), path)


_SEVERAL = object()
"""What `_whole_value` returns for a file of one value a line."""


def _guarded(rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except FileError as error:
        raise TaskError(str(error)) from None


def _start(path: Path) -> bytes:
    """Return the first bytes of a file; raises FileError, with near names, where there is none."""
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder, and a file was wanted")
        with path.open("rb") as file:
            return file.read(4096)
    except FileNotFoundError:
        names = [beside.name for beside in path.parent.iterdir()] if path.parent.is_dir() else []
        where = "" if path.parent.is_dir() else f"; the folder {path.parent} does not exist either"
        raise FileError(f"there is no file {path}{near(path.name, names)}{where}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FileError(f"{str(path)[:200]} cannot be read ({reason})") from None


def _whole_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise FileError(f"{path} is larger than {MOST_BYTES:,} bytes, which is the most that is read at once; use JSON Lines")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise FileError(
            f"{path}: not {encoding.removesuffix('-sig').upper()} ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from None


def _whole_value(path: Path) -> Any:
    """Return the one JSON value of a file, or `_SEVERAL` where each line is an object of its own."""
    text = _whole_text(path)
    try:
        return parse_json(text)
    except JsonFault as fault:
        if text.lstrip()[:1] == "{" and "Extra data" in str(fault):
            return _SEVERAL
        raise FileError(f"{path}: {fault}") from None


def _lines_of(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield number, parse_json(line)
        except JsonFault as fault:
            raise FileError(f"{path} line {number}: {fault}: {_short(line)}") from None


def _from_lines(lines: Iterable[tuple[int, Any]], path: Path) -> Source:
    """Return the source of JSON Lines; a first line of options alone is taken off."""
    iterator = iter(lines)
    first: list[tuple[int, Any]] = []
    options: dict[str, Any] = {}
    try:
        head = next(iterator, None)
    except FileError as error:
        raise TaskError(str(error)) from None
    if head is not None:
        if _holds_options(head[1]):
            options = dict(head[1])
        else:
            first = [head]

    def rows() -> Iterator[Row]:
        for number, value in first:
            yield _row(value, f"{path} line {number}", str(number))
        for number, value in iterator:
            yield _row(value, f"{path} line {number}", str(number))

    return Source(path.stem, _guarded(rows()), options=options)


def _holds_options(value: Any) -> bool:
    """Return whether a JSON value is a table of options and no problem."""
    return (
        isinstance(value, dict)
        and bool(value)
        and set(value) <= set(OPTION_TABLES)
        and all(isinstance(one, dict) for one in value.values())
    )


def _row(value: Any, place: str, name: str) -> Row:
    if not isinstance(value, dict):
        raise TaskError(
            f"{place}: an object {{...}} was wanted, found {_kind(value)}: {_short(json.dumps(value, default=str))}"
        )
    return Row(place, name, value)


def _from_value(value: Any, path: Path) -> Source:
    """Return the source of one JSON value: an array of objects, an object that holds one, or objects by their id."""
    options: dict[str, Any] = {}
    if isinstance(value, dict):
        options = {name: value[name] for name in OPTION_TABLES if isinstance(value.get(name), dict)}
        lists = [name for name, held in value.items() if isinstance(held, list) and held and isinstance(held[0], dict)]
        named = [name for name in lists if name.lower() in _LIST_NAMES]
        if len(named) == 1 or (len(lists) == 1 and "question" not in {name.lower() for name in value}):
            value = value[(named or lists)[0]]
        elif value and all(isinstance(held, dict) for held in value.values()) and not options:
            value = [{"id": name, **held} for name, held in value.items()]
        elif len(lists) > 1:
            raise TaskError(f"{path} holds several lists of objects ({', '.join(lists)[:80]}); give a file for each")
        else:
            value = [value]
    if not isinstance(value, list):
        raise TaskError(f"{path}: an array of objects was wanted, found {_kind(value)}")
    rows = (_row(one, f"{path} row {number}", str(number)) for number, one in enumerate(value))
    return Source(path.stem, rows, options=options)


def _csv_rows(path: Path, delimiter: str | None) -> Iterator[Row]:
    _start(path)
    text = _whole_text(path)
    if delimiter is None:
        # The sign that stands most often in the first line; a comma where none does.
        head = text.split("\n", 1)[0]
        delimiter = max(",;\t|", key=lambda sign: (head.count(sign), sign == ","))
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = next(reader, None)
        if not names:
            raise FileError(f"{path} is empty; its first line has to name the columns")
        names = [name.strip() for name in names]
        twice = next((name for name in names if name and names.count(name) > 1), None)
        if twice is not None:
            raise FileError(f"{path} line 1 names two columns {_short(twice, 40)!r}; its first line has to name the columns")
        before = reader.line_num
        for number, cells in enumerate(reader):
            place, before = f"{path} line {before + 1}", reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(names):
                raise FileError(
                    f"{place} has {len(cells)} cells, and the first line names {len(names)} columns; quote what holds {delimiter!r}"
                )
            filled = [*cells, *[""] * (len(names) - len(cells))]
            yield Row(
                place,
                str(number),
                {name: cell if cell.strip() else None for name, cell in zip(names, filled, strict=True) if name},
            )
    except csv.Error as error:
        raise FileError(f"{path} line {reader.line_num}: no CSV that can be read ({error})") from None


def _parquet_rows(path: Path) -> Iterator[Row]:
    _start(path)
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingPackage("pyarrow", "reading a Parquet file") from None
    try:
        file = parquet.ParquetFile(path)
        unpacked = sum(file.metadata.row_group(index).total_byte_size for index in range(file.num_row_groups))
        if unpacked > _MOST_PARQUET_BYTES or file.metadata.num_rows > 100_000_000:
            raise FileError(f"{path} unpacks to {unpacked / 1e9:.1f} GB; at most {_MOST_PARQUET_BYTES >> 30} GiB are read here")
        number = 0
        for batch in file.iter_batches(batch_size=1000):
            for fields in batch.to_pylist():
                yield Row(f"{path} row {number}", str(number), plain(fields, f"{path} row {number}"))
                number += 1
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError, RecursionError) as error:
        raise FileError(f"{path} cannot be read as Parquet ({_short(_first_line(error), 120)})") from None


def open_rows(data: Any, name: str | None = None) -> Source:
    """Return the rows of what a program holds: dictionaries, a `datasets.Dataset` or a pandas, polars or Arrow table.

    Raises TaskError for anything else.
    """
    kind = type(data).__name__
    label = name or "problems"
    # Asked for what they can do, so that none of these libraries has to be imported, or installed.
    if (
        isinstance(data, Mapping) and data and all(hasattr(one, "column_names") for one in data.values())
    ):  # datasets.DatasetDict
        splits = ", ".join(map(str, data))
        raise TaskError(f"a data set with the splits {splits} was given; give one of them, such as data[{next(iter(data))!r}]")
    if hasattr(data, "column_names") and hasattr(data, "features") and hasattr(data, "__getitem__"):  # datasets.Dataset
        rows: Iterable[Any] = _dataset_rows(data)
    elif hasattr(data, "to_dict") and hasattr(data, "columns") and hasattr(data, "iloc"):  # a pandas frame
        repeated = [str(one) for one in data.columns if list(data.columns).count(one) > 1]
        if repeated:
            raise TaskError(f"the frame has two columns {repeated[0]!r}; names must differ")
        rows = data.to_dict(orient="records")
    elif hasattr(data, "to_pylist"):  # an Arrow table
        rows = data.to_pylist()
    elif hasattr(data, "to_dicts"):  # a polars frame
        rows = data.to_dicts()
    elif isinstance(data, Iterable) and not isinstance(data, (str, bytes, Mapping)):
        rows = data
    else:
        raise TaskError(f"a task is a file, hub:NAME, a world, or rows (dictionaries, a data set, a frame), and this is {kind}")

    def read() -> Iterator[Row]:
        for number, value in enumerate(rows):
            place = f"row {number}"
            if not isinstance(value, Mapping):
                raise TaskError(f"{place}: a dictionary was wanted, found {_kind(value)}: {_short(repr(value))}")
            yield Row(place, str(number), plain(value, place))

    return Source(label, read())


def _dataset_rows(data: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a `datasets.Dataset`, class labels by their names."""
    named = {column: one for column, one in (data.features or {}).items() if hasattr(one, "int2str")}
    for row in data:
        # A label of -1 marks a row whose label is withheld.
        labels = {
            column: (one.int2str(row[column]) if row[column] >= 0 else None)
            for column, one in named.items()
            if isinstance(row[column], int)
        }
        yield {**row, **labels}


def plain(value: Any, place: str) -> Any:
    """Return a value as JSON would hold it: NaN and other marks of a missing value are None, arrays are lists.

    Raises TaskError for an infinity and for what is nested too deeply; what JSON has no form for becomes its text.
    """
    try:
        made = _plain(value, 0, place)
        check_value(made)
    except (JsonFault, RecursionError) as fault:
        raise TaskError(f"{place}: {str(fault)[:120] or 'nested too deeply'}") from None
    return made


def _plain(value: Any, depth: int, place: str) -> Any:
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise JsonFault(f"{value} is no number that can be used")
        return None if math.isnan(value) else value
    if depth > 100:
        raise JsonFault("nested too deeply: at most 100 levels can be used")
    if isinstance(value, Mapping):
        return {str(name): _plain(one, depth + 1, place) for name, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(one, depth + 1, place) for one in value]
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value):,} bytes>"
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return _plain(value.tolist(), depth + 1, place)
    if hasattr(value, "isoformat"):
        text = str(value.isoformat())
        return None if text == "NaT" else text
    text = str(value)
    return None if text in ("<NA>", "NaT", "nan") else text


def _kind(value: Any) -> str:
    names = {bool: "true or false", dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


def _short(text: str, length: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + "..."


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
