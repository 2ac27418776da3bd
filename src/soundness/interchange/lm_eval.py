"""Traces from lm-evaluation-harness: the `samples_*.jsonl` files that `--log_samples` writes.

A line is one document under one filter: `doc`, `target`, `arguments` (what was asked) and `resps` (what came back). Tasks that
compare log-likelihoods have numbers there and no text; thinking is cut before logging where a `think_end_token` is set.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from soundness.errors import FileError, TaskError
from soundness.files import read_json, read_json_lines
from soundness.interchange.traces import Imported, unique

__all__ = ["import_lm_eval"]

_QUESTIONS = ("question", "problem", "query", "input", "prompt", "text")
_SAMPLES_NAME = re.compile(r"samples_(?P<task>.+?)_(?P<date>\d{4}-\d{2}-\d{2}T.+)\.jsonl$")


def import_lm_eval(paths: Sequence[str | Path], *, model: str | None = None) -> Imported:
    """Return the traces of `samples_*.jsonl` files; `model` names their writer, by default what the results file beside them says.

    Raises `TaskError` for a file that lm-eval did not write.
    """
    rows: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for path in map(Path, paths):
        task, config = _task(path), _results(path)
        writer = model or str(config.get("model_name") or config.get("model_name_sanitized") or path.parent.name)
        stripped = re.search(r"think_end_token['\"]?\s*[=:]\s*['\"]?([^,'\"}]+)", json.dumps(config.get("config", {})))
        if stripped:
            notes[
                f"{path.name}: lm-eval cut all that stands before {stripped.group(1)!r} (its think_end_token) from the log"
            ] = None
        without = 0
        for number, line in _lines(path):
            texts = _texts(line, f"{path} line {number}")
            without += not texts
            for sample, text in enumerate(texts):
                name = f"{task}:{line['doc_id']}:{sample}:{writer}"
                rows.append({"id": name, **_problem(line), "trace": text, "model": writer})
        if without:
            notes[
                f"{path.name}: {without} samples have log-likelihoods and no text (a multiple-choice task), so no chain was logged"
            ] = None
    if rows:
        notes["lm-eval does not log why a generation ended, so a chain that was cut off cannot be told from a finished one"] = (
            None
        )
    return Imported(unique(rows), tuple(notes))


def _task(path: Path) -> str:
    found = _SAMPLES_NAME.match(path.name)
    return found["task"] if found else path.stem


def _results(path: Path) -> Mapping[str, Any]:
    """Return the results file that was written with a samples file, or nothing where there is none."""
    found = _SAMPLES_NAME.match(path.name)
    beside = path.with_name(f"results_{found['date']}.json") if found else None
    if beside is None or not beside.is_file():
        return {}
    try:
        results = read_json(beside)
    except FileError as error:
        raise TaskError(f"{error}, or move it away and name the writer with --model") from error
    return results if isinstance(results, dict) else {}


def _lines(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        rows = list(read_json_lines(path))
    except FileError as error:
        raise TaskError(f"{error}; name files that lm-eval wrote with --log_samples") from error
    for number, row in rows:
        missing = [name for name in ("doc_id", "doc", "target", "resps") if not isinstance(row, dict) or name not in row]
        if missing:
            raise TaskError(
                f"{path} line {number} has no {', '.join(missing)}, so lm-eval's --log_samples did not write it; "
                "traces in another form go into JSON Lines with question and trace"
            )
        yield number, row


def _texts(line: Mapping[str, Any], place: str) -> list[str]:
    """Return the raw replies to one document, one per repeat; empty where the replies are numbers."""
    replies = line["resps"]
    if not isinstance(replies, list):
        raise TaskError(f"{place}, field resps: a list was wanted, found {type(replies).__name__}")
    flat = [reply for group in replies for reply in (group if isinstance(group, list) else [group])]
    return flat if all(isinstance(reply, str) for reply in flat) else []


def _problem(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return question and answer of one document: its own fields where it has them, else what was asked."""
    doc = line["doc"] if isinstance(line["doc"], Mapping) else {}
    asked = next((doc[name] for name in _QUESTIONS if isinstance(doc.get(name), str) and doc[name].strip()), None)
    if asked is None:
        arguments = line.get("arguments")
        first = next(iter(arguments.values()), None) if isinstance(arguments, Mapping) else (arguments or [None])[0]
        asked = first.get("arg_0") if isinstance(first, Mapping) else (first[0] if isinstance(first, list) and first else first)
    target = line["target"]
    if isinstance(target, list):
        target = target[0] if len(target) == 1 else None
    answer = None if target is None else str(target).rsplit("####", 1)[-1].strip()
    return {"question": str(asked or ""), **({"answer": answer} if answer else {})}
