"""Traces from lm-evaluation-harness: the `samples_*.jsonl` files that `--log_samples` writes.

A line is one document under one filter: `doc`, `target`, `arguments` (what was asked) and `resps` (what came back, one reply for
each repeat). Replies to one document are samples of one problem, in one log and in several. Tasks that compare log-likelihoods have
numbers there and no text; thinking is cut before logging where a `think_end_token` is set.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from soundness.errors import FileError, TaskError
from soundness.files import read_json, read_json_lines
from soundness.interchange.traces import Imported, short_digest
from soundness.records import LETTERS, Problem
from soundness.tasks.fields import Reader, program_column

__all__ = ["import_lm_eval"]

_QUESTIONS = ("question", "problem", "query", "input", "prompt", "text")
_SAMPLES_NAME = re.compile(r"samples_(?P<task>.+?)_(?P<date>\d{4}-\d{2}-\d{2}T.+)\.jsonl$")
_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*\)?[.:]?")  # "B", "(B)", "B."


class _Line(NamedTuple):
    """One document of a log, once."""

    document: str
    """Its id in the task."""
    fields: dict[str, Any]
    """The problem, as fields of a row."""
    replies: tuple[str, ...]
    """What was written for it, one text for each repeat."""


def import_lm_eval(paths: Sequence[str | Path], *, model: str | None = None) -> Imported:
    """Return the traces of `samples_*.jsonl` files; `model` names their writer, by default what the results file beside them says.

    A second log of one task and one writer gives further samples, unless it says word for word the same: then it is counted once.
    Raises `TaskError` for a file that lm-eval did not write.
    """
    notes: dict[str, None] = {}
    problems: dict[str, dict[str, Any]] = {}
    rows: list[dict[str, Any]] = []
    numbers: Counter[tuple[str, str]] = Counter()
    seen: dict[tuple[str, str], list[dict[str, tuple[str, ...]]]] = {}
    for path in map(Path, paths):
        task, config = _task(path), _results(path)
        writer = model or str(config.get("model_name") or config.get("model_name_sanitized") or path.parent.name)
        stripped = re.search(r"think_end_token['\"]?\s*[=:]\s*['\"]?([^,'\"}]+)", json.dumps(config.get("config", {})))
        if stripped:
            notes[
                f"{path.name}: lm-eval cut all that stands before {stripped.group(1)!r} (its think_end_token) from the log"
            ] = None
        lines, without, lost = _documents(path)
        if without:
            notes[
                f"{path.name}: {without} samples have log-likelihoods and no text (a multiple-choice task), so no chain was logged"
            ] = None
        for what, count in lost.items():
            notes[f"{path.name}: {count} documents {what}"] = None
        written = {line.document: line.replies for line in lines}
        logs = seen.setdefault((task, writer), [])
        if written and written in logs:
            notes[f"{path.name}: it repeats another log of {writer} word for word and was counted once"] = None
            continue
        logs.append(written)
        for line in lines:
            name = f"{task}:{line.document}"
            if problems.setdefault(name, line.fields) != line.fields:
                # Another selection or order of documents under the same numbers.
                name = f"{name}:{short_digest(line.fields)}"
                problems.setdefault(name, line.fields)
            for text in line.replies:
                number = numbers[name, writer]
                numbers[name, writer] += 1
                identity = f"{name}:{number}:{writer}"
                rows.append({"id": identity, "problem": name, **line.fields, "trace": text, "model": writer})
    if rows:
        notes["lm-eval does not log why a generation ended, so a chain that was cut off cannot be told from a finished one"] = (
            None
        )
    return Imported(tuple(rows), tuple(notes))


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
        raise TaskError(f"{error}, or move it away and name the writer with --model") from None
    return results if isinstance(results, dict) else {}


def _documents(path: Path) -> tuple[list[_Line], int, Counter[str]]:
    """Return the documents of a log with their replies, how many have none that is text, and what was lost of how many."""
    found: dict[str, _Line] = {}
    without: set[str] = set()
    lost: Counter[str] = Counter()
    for number, line in _lines(path):
        document = _name(line["doc_id"])
        replies = _texts(line, f"{path} line {number}")
        if not replies:
            without.add(document)
            continue
        if document in found and found[document].replies == replies:
            continue  # another filter logs the same replies again
        fields, why = _problem(line)
        if document in found:
            replies = (*found[document].replies, *replies)
        elif why:
            lost[why] += 1
        found[document] = _Line(document, fields, replies)
    return list(found.values()), len(without), lost


def _name(value: Any) -> str:
    return str(value) if isinstance(value, (str, int)) else short_digest(value)


def _lines(path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
    try:
        for number, row in read_json_lines(path):
            missing = [name for name in ("doc_id", "doc", "target", "resps") if not isinstance(row, dict) or name not in row]
            if missing:
                raise TaskError(
                    f"{path} line {number} has no {', '.join(missing)}, so lm-eval's --log_samples did not write it; "
                    "traces in another form go into JSON Lines with question and trace"
                )
            yield number, row
    except FileError as error:
        raise TaskError(f"{error}; name files that lm-eval wrote with --log_samples") from None


def _texts(line: Mapping[str, Any], place: str) -> tuple[str, ...]:
    """Return the raw replies to one document, one per repeat; empty where the replies are numbers."""
    replies = line["resps"]
    if not isinstance(replies, list):
        raise TaskError(f"{place}, field resps: a list was wanted, found {type(replies).__name__}")
    flat = [reply for group in replies for reply in (group if isinstance(group, list) else [group])]
    return tuple(flat) if all(isinstance(reply, str) for reply in flat) else ()


def _problem(line: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return one document's problem as fields of a row, and what was lost of it, in words ("" where nothing was).

    What its document says is read as the row of a data set; the target is what the harness graded against, and decides.
    """
    document = dict(line["doc"]) if isinstance(line["doc"], Mapping) else {}
    target = _accepted(line["target"])
    if program_column(document) is not None:
        question = next((document[name] for name in ("prompt", *_QUESTIONS) if _is_text(document.get(name))), None) or _asked(
            line
        )
        return {"question": question}, "ask for programs, which no rule can grade; they are kept without a reference answer"
    known = _read(document)
    if known is None:
        question = next((document[name] for name in _QUESTIONS if _is_text(document.get(name))), None) or _asked(line)
        return {"question": question, **_answer_fields(target)}, ""
    fields: dict[str, Any] = {"question": known.question}
    if known.context:
        fields["context"] = list(known.context)
    if known.choices is None:
        accepted = list(dict.fromkeys((*target, *(known.accepted if known.answer in target else ()))))
        if known.answer in accepted:  # a data set's first answer is the one it means, its aliases follow
            accepted.remove(str(known.answer))
            accepted.insert(0, str(known.answer))
        return {**fields, **_answer_fields(accepted)}, ""
    fields["choices"] = list(known.choices)
    graded = _letter_of(target, known.choices)
    if known.answer is None and graded is None:
        return fields, "have options, and a target that names none of them; they are kept without a reference answer"
    if known.answer is not None and graded not in (None, known.answer) and not target[0].strip().isdigit():
        return {
            **fields,
            "answer": graded,
        }, "name another option than the target that the harness graded against, which counts here"
    return {**fields, "answer": known.answer or graded}, ""


def _read(document: Mapping[str, Any]) -> Problem | None:
    """Return what the document says as a row of a data set, or None where it cannot be read as one."""
    try:
        return Reader().problem(document, place="", default_id="")
    except TaskError:
        pass
    try:  # its answer may be what cannot be read
        bare = {name: value for name, value in document.items() if name not in ("answer", "answers", "target", "label")}
        return Reader().problem(bare, place="", default_id="")
    except TaskError:
        return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _asked(line: Mapping[str, Any]) -> str:
    """Return what was asked, as the model was shown it."""
    arguments = line.get("arguments")
    first: Any = next(iter(arguments.values()), None) if isinstance(arguments, Mapping) else arguments
    for _ in range(3):  # [[text, options]], {"gen_args_0": {"arg_0": text}}
        if isinstance(first, Mapping):
            first = first.get("arg_0")
        elif isinstance(first, list) and first:
            first = first[0]
    return first if _is_text(first) else "(the log does not say what was asked)"


def _accepted(target: Any) -> list[str]:
    """Return the answers that a target accepts, the first first; the harness writes a list of them as the text of a Python list."""
    if isinstance(target, str) and target.strip().startswith(("[", "(", "{")) and len(target) < 100_000:
        try:
            target = ast.literal_eval(target.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return [target.strip()]
    if target is None:
        return []
    if isinstance(target, Mapping):
        return [one for value in target.values() for one in _accepted(value)]
    if isinstance(target, (list, tuple, set)):
        return list(dict.fromkeys(one for value in target for one in _accepted(value)))
    text = str(target).rsplit("####", 1)[-1].strip()
    return [text] if text else []


def _answer_fields(accepted: Sequence[str]) -> dict[str, Any]:
    if not accepted:
        return {}
    return {"answer": accepted[0], **({"aliases": list(accepted[1:])} if len(accepted) > 1 else {})}


def _letter_of(target: Sequence[str], choices: Sequence[str]) -> str | None:
    """Return the letter of the option that a target names: its letter, its text, or its index from 0."""
    if len(target) != 1:
        return None
    letters, text = LETTERS[: len(choices)], target[0].strip()
    found = _LETTER.fullmatch(text)
    if found and found[1].upper() in letters:
        return found[1].upper()
    same = [letter for letter, choice in zip(letters, choices, strict=True) if choice.strip().casefold() == text.casefold()]
    if len(same) == 1:
        return same[0]
    return letters[int(text)] if re.fullmatch(r"\d{1,2}", text) and int(text) < len(choices) else None
