"""Problems from a Hugging Face data set, by name or from a folder written by `save_to_disk`.

Columns are read by our field names unless `columns` says otherwise, such as {"question": "problem"}. An answer that ends in
"#### 18" is split as GSM8K writes it: 18 is the answer, what stands before is the rationale, its lines are the steps.
Code that comes with a data set is never run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soundness.errors import MissingPackage, TaskError, near
from soundness.records import LETTERS, Problem
from soundness.tasks.jsonl import FIELDS, problem_from_row

__all__ = ["load_hub", "split_hub_spec", "split_worked_answer"]


def split_hub_spec(spec: str) -> tuple[str, str | None, str | None]:
    """Return (name or folder, config, split) of `NAME[:CONFIG[:SPLIT]]` or `FOLDER[:SPLIT]`; an empty part is None.

    >>> split_hub_spec("openai/gsm8k:main:test")
    ('openai/gsm8k', 'main', 'test')
    """
    if Path(spec).is_dir():
        return spec, None, None
    folder, _, split = spec.rpartition(":")
    if folder and (Path(folder).is_dir() or folder.startswith(("/", "./", "../", "~"))):
        return folder, None, split or None
    parts = spec.split(":")
    if len(parts) > 3 or not parts[0]:
        raise TaskError(f"hub:{spec} was not understood; write hub:NAME[:CONFIG[:SPLIT]] or hub:FOLDER[:SPLIT]")
    name, config, split_name = (*parts, "", "")[:3]
    return name, config or None, split_name or None


def split_worked_answer(text: str) -> tuple[str, str, tuple[str, ...]] | None:
    r"""Return (answer, rationale, steps) of a worked answer that ends in "#### ANSWER", or None for any other text.

    >>> split_worked_answer("She has 2*3=<<2*3=6>>6 eggs.\n#### 6")
    ('6', 'She has 2*3=6 eggs.', ('She has 2*3=6 eggs.',))
    """
    before, mark, answer = text.rpartition("####")
    if not mark or not answer.strip():
        return None
    rationale = re.sub(r"<<[^<>]*>>", "", before).strip()
    return answer.strip(), rationale, tuple(line.strip() for line in rationale.splitlines() if line.strip())


def load_hub(
    name: str,
    config: str | None = None,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> list[Problem]:
    """Return the problems of a data set, the first `limit` of them.

    `name` is a data set's name or a folder written by `save_to_disk`. Without `split`, the only split or `test` is taken.
    Raises TaskError (with the splits or columns there are) and MissingPackage.
    """
    rows = _load(name, config, split)
    columns = dict(columns or {})
    unknown = next((field for field in columns if field not in FIELDS), None)
    if unknown is not None:
        raise TaskError(f"columns: there is no field {unknown!r}{near(unknown, FIELDS)}; the fields are {', '.join(FIELDS)}")
    available = list(rows.column_names)
    for field, column in {"question": "question", "answer": "answer", **columns}.items():
        wanted = field in columns or field == "question"
        if wanted and column not in available:
            raise TaskError(
                f"{name} has no column {column!r} for the field {field}{near(column, available)}; "
                f"its columns are {', '.join(available)}: map them with columns, such as {{'{field}': '{available[0]}'}}"
            )
    if "answer" not in columns and "answer" not in available:
        raise TaskError(f"{name} has no column 'answer'; its columns are {', '.join(available)}: map one with columns")
    total = len(rows) if limit is None else min(limit, len(rows))
    if not total:
        raise TaskError(f"{name} has no rows")
    problems = []
    seen: dict[str, int] = {}
    for index in range(total):
        place = f"{name} row {index}"
        problem = problem_from_row(_fields(rows[index], rows.features, columns), place=place, default_id=str(index))
        if problem.id in seen:
            raise TaskError(f"{place}, field id: {problem.id!r} is the id of row {seen[problem.id]} too; ids must differ")
        seen[problem.id] = index
        problems.append(problem)
    return problems


def _load(name: str, config: str | None, split: str | None) -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingPackage("datasets", "reading a hub: data set") from None
    folder = Path(name).expanduser()
    local = folder.is_dir() or name.startswith(("/", "./", "../", "~"))
    try:
        if local:
            data = datasets.load_from_disk(str(folder))
        else:
            data = datasets.load_dataset(name, config) if split is None else datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        advice = (
            "give a folder written by Dataset.save_to_disk"
            if local
            else "check the name, config and split; without a network, save the data set to disk and give hub:FOLDER"
        )
        spec = ":".join(part for part in (name, config, split) if part)
        raise TaskError(f"the data set {spec} could not be loaded ({reason}); {advice}") from error
    if not isinstance(data, datasets.DatasetDict):
        if local and split is not None and str(data.split or split) != split:
            raise TaskError(f"{name} holds the one split {str(data.split)!r}, and {split!r} was wanted")
        return data
    splits = list(data)
    chosen = split or (splits[0] if len(splits) == 1 else "test")
    if chosen not in splits:
        spec = name if local else f"{name}:{config or ''}"
        raise TaskError(
            f"{name} has no split {chosen!r}{near(chosen, splits)}; it has {', '.join(splits)}: write hub:{spec}:{splits[0]}"
        )
    return data[chosen]


def _fields(source: Mapping[str, Any], features: Any, columns: Mapping[str, str]) -> dict[str, Any]:
    used = set(columns.values())
    row = {name: _plain(value) for name, value in source.items() if name not in used}
    for field, column in columns.items():
        row[field] = _plain(source[column])
    answer_feature = features.get(columns.get("answer", "answer"))
    if hasattr(answer_feature, "int2str") and isinstance(row.get("answer"), int):
        # A ClassLabel of -1 marks a row whose label is withheld.
        row["answer"] = answer_feature.int2str(row["answer"]) if row["answer"] >= 0 else None
    choices = row.get("choices")
    if isinstance(choices, dict) and {"text", "label"} <= set(choices):
        labels = [str(label) for label in choices["label"]]
        row["choices"] = choices["text"]
        if str(row.get("answer")) in labels:
            row["answer"] = LETTERS[labels.index(str(row["answer"]))]
    if isinstance(row.get("answer"), str) and row.get("choices") is None:
        worked = split_worked_answer(row["answer"])
        if worked is not None:
            row["answer"], rationale, steps = worked
            if row.get("rationale") is None and rationale:
                row["rationale"] = rationale
            if row.get("steps") is None and steps:
                row["steps"] = list(steps)
    return row


def _plain(value: Any) -> Any:
    """Return `value` as JSON would hold it; what JSON cannot hold becomes its text."""
    return json.loads(json.dumps(value, default=str))
