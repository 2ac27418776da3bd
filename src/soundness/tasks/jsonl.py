"""Problems from JSON Lines: one object a line.

Fields: `question`; `answer` (text or a number; absent or null where there is no reference); optional `id`, `choices`,
`rationale`, `steps`, `facts`, `context`. Any other field goes to `Problem.meta`. For example

    {"id": "1", "question": "Which is a metal?", "choices": ["oak", "tin"], "answer": "B"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from soundness.errors import TaskError, near
from soundness.records import LETTERS, Problem

__all__ = ["load_jsonl", "problem_from_row"]

FIELDS = ("id", "question", "answer", "choices", "rationale", "steps", "facts", "context")


def load_jsonl(path: str | Path, limit: int | None = None) -> list[Problem]:
    """Return the problems of a JSON Lines file, the first `limit` of them.

    Empty lines are skipped. Raises TaskError naming file, line and field.
    """
    path = Path(path)
    problems: list[Problem] = []
    lines_by_id: dict[str, int] = {}
    for number, row in _rows(path):
        place = f"{path} line {number}"
        problem = problem_from_row(row, place=place, default_id=str(number))
        if problem.id in lines_by_id:
            first = lines_by_id[problem.id]
            raise TaskError(f"{place}, field id: {problem.id!r} is the id of line {first} too; ids must differ")
        lines_by_id[problem.id] = number
        problems.append(problem)
        if len(problems) == limit:
            break
    if not problems:
        raise TaskError(f"{path} has no rows; it needs one JSON object a line with at least a question")
    return problems


def problem_from_row(row: Mapping[str, Any], *, place: str, default_id: str) -> Problem:
    """Return the problem that a row of fields describes.

    `place` (such as "f.jsonl line 3") begins every message of the TaskError raised for a field that cannot be used.

    >>> problem_from_row({"question": "A metal?", "choices": ["oak", "tin"], "answer": "tin"}, place="x", default_id="7").answer
    'B'
    """
    question = row.get("question")
    if question is None:
        found = ", ".join(map(str, row)) or "no field at all"
        raise TaskError(f"{place}, field question: it is missing; the row has {found}{near('question', map(str, row))}")
    if not isinstance(question, str):
        _wrong_type(place, "question", "text", question)
    if not question.strip():
        raise TaskError(f"{place}, field question: it is empty; every problem needs a question")
    choices = _choices(row.get("choices"), place)
    rationale = row.get("rationale")
    steps = row.get("steps")
    if rationale is not None and not isinstance(rationale, str):
        _wrong_type(place, "rationale", "text", rationale)
    problem = Problem(
        id=_identity(row.get("id"), place, default_id),
        question=question,
        answer=_answer(row.get("answer"), choices, place),
        choices=choices,
        rationale=rationale,
        steps=None if steps is None else _texts(steps, "steps", place),
        facts=_texts(row.get("facts"), "facts", place),
        context=_texts(row.get("context"), "context", place),
        meta={str(name): value for name, value in row.items() if name not in FIELDS},
    )
    try:
        json.dumps(dict(row), ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start]
        raise TaskError(f"{place}: it holds half of a surrogate pair ({half!r}), which is no text") from None
    return problem


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if not path.is_file():
        if path.is_dir():
            raise TaskError(f"{path} is a folder, and a JSON Lines file was wanted")
        names = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        where = "" if path.parent.is_dir() else f"; the folder {path.parent} does not exist either"
        raise TaskError(f"there is no file {path}{near(path.name, names)}{where}")
    with path.open("rb") as file:
        # Bytes, so that only a newline ends a line: U+2028 may stand inside a JSON string.
        for number, raw in enumerate(file, start=1):
            place = f"{path} line {number}"
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise TaskError(f"{place}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from None
            if not line:
                continue
            try:
                row = json.loads(line, parse_constant=_refuse_constant)
            except json.JSONDecodeError as error:
                fault = f"{error.msg} at column {error.colno}"
                raise TaskError(f"{place}: malformed JSON ({fault}): {_short(line)}") from None
            except _ConstantError as error:
                raise TaskError(f"{place}: {error} is not JSON; write null") from None
            except RecursionError:
                raise TaskError(f"{place}: JSON nested too deeply to be read") from None
            if not isinstance(row, dict):
                raise TaskError(f"{place}: an object {{...}} was wanted, found {_kind(row)}: {_short(line)}")
            yield number, row


class _ConstantError(Exception):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _identity(value: Any, place: str, default: str) -> str:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        _wrong_type(place, "id", "text or a whole number", value)
    if not str(value).strip():
        raise TaskError(f"{place}, field id: it is empty; leave the field out to use the line number")
    return str(value)


def _choices(value: Any, place: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, (list, tuple)):
        _wrong_type(place, "choices", "a list of texts", value)
    texts = tuple(_scalar(choice, place, "choices") for choice in value)
    if not 2 <= len(texts) <= len(LETTERS):
        raise TaskError(f"{place}, field choices: 2 to {len(LETTERS)} were wanted, found {len(texts)}")
    if not all(text.strip() for text in texts):
        raise TaskError(f"{place}, field choices: one of them is empty: {list(texts)}")
    return texts


def _answer(value: Any, choices: tuple[str, ...] | None, place: str) -> str | None:
    if value is None:
        return None
    answer = _scalar(value, place, "answer")
    if not answer.strip():
        raise TaskError(f"{place}, field answer: it is empty; leave it out (or null) where there is no reference answer")
    if choices is None:
        return answer
    letters = LETTERS[: len(choices)]
    wanted = answer.strip()
    if len(wanted) == 1 and wanted in letters:
        return wanted
    for fold in (str.strip, lambda text: text.strip().casefold()):
        matches = [letter for letter, text in zip(letters, choices, strict=True) if fold(text) == fold(answer)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            raise TaskError(
                f"{place}, field answer: {answer!r} is the text of choices {' and '.join(matches)}; give the letter"
            )
    if len(wanted) == 1 and wanted.upper() in letters:
        return wanted.upper()
    raise TaskError(
        f"{place}, field answer: {answer!r} is neither a letter {letters[0]} to {letters[-1]} nor among {list(choices)}"
    )


def _scalar(value: Any, place: str, field: str) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        _wrong_type(place, field, "text or a number", value)
    return str(value)


def _texts(value: Any, field: str, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str) and field == "context":
        return (value,)
    if not isinstance(value, (list, tuple)):
        _wrong_type(place, field, "a list of texts", value)
    for item in value:
        if not isinstance(item, str):
            _wrong_type(place, field, "a list of texts", item)
    return tuple(value)


def _wrong_type(place: str, field: str, wanted: str, value: Any) -> NoReturn:
    raise TaskError(
        f"{place}, field {field}: {wanted} was wanted, found {_kind(value)}: {_short(json.dumps(value, default=str))}"
    )


def _kind(value: Any) -> str:
    names = {bool: "true or false", dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


def _short(text: str, length: int = 80) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
