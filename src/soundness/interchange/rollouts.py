r"""Traces from what reinforcement learning leaves on disk: verl's rollout dumps and TRL's logs of completions.

verl (`trainer.rollout_data_dir`) writes a JSON object a line: `input` (the prompt as text, its special tokens often gone), `output`,
`score`, `step`, and `gts` where the data has a ground truth. TRL (`log_completions=True`) writes Parquet with `prompt`, `completion`,
`step` and a column for each reward. Neither says why a completion ended. A training step is a writer of its own, so that steps can be
compared; completions of one prompt are samples of one problem.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soundness.errors import TaskError
from soundness.interchange.traces import Imported, asked_in, short_digest, thinking_first
from soundness.tasks.sources import open_file

__all__ = ["conversation_in", "import_trl", "import_verl"]

_UNFINISHED = "the dumps do not say why a completion ended, so a chain that was cut off cannot be told from a finished one"

# How a rendered chat marks its turns: with special tokens (ChatML, Llama 3, Gemma), and with the role alone where they were dropped.
_MARKS = (
    re.compile(r"<\|im_start\|>(?P<role>system|user|assistant)\n"),
    re.compile(r"<\|start_header_id\|>(?P<role>system|user|assistant)<\|end_header_id\|>\n\n"),
    re.compile(r"<start_of_turn>(?P<role>system|user|model)\n"),
    re.compile(r"(?:^|\n+)(?P<role>system|user|assistant)\n"),
    re.compile(r"(?:^|\n+)(?P<role>System|User|Human|Assistant): ?"),
)
_ENDS = re.compile(r"(?:<\|im_end\|>|<\|eot_id\|>|<end_of_turn>|<\|endoftext\|>)\s*$")
_START = re.compile(r"^(?:<\|begin_of_text\|>|<bos>|<s>)\s*")
_ROLE = {"model": "assistant", "human": "user"}


def import_verl(paths: Sequence[str | Path], *, model: str | None = None) -> Imported:
    """Return the traces of verl's rollout dumps; `model` names their writer in front of the step, by default the run or the file.

    Where the prompt opens a thinking span, the trace opens with it. Raises `TaskError` for a file that is no such dump.
    """
    rows: list[dict[str, Any]] = []
    lost: Counter[str] = Counter()
    numbers: Counter[tuple[str, str]] = Counter()
    for path in map(Path, paths):
        for row in open_file(path).rows:
            line = row.fields
            missing = [name for name in ("input", "output") if not isinstance(line.get(name), str)]
            if missing:
                raise TaskError(f"{row.place} has no {', '.join(missing)}, so verl did not write it as a rollout")
            turns, opened = conversation_in(line["input"])
            if turns is None:
                lost["prompts could not be taken apart into turns; they are asked as they stand"] += 1
                turns = [["user", line["input"]]]
            answers = _answers(line.get("gts"))
            if not answers:
                lost["completions have no ground truth, so they are read towards their own answers"] += 1
            fields = {"question": turns[-1][1], "prompt_turns": turns, **_answer_fields(answers)}
            label = line.get("run") if isinstance(line.get("run"), str) else None
            writer = _writer(model or label or path.stem, line.get("step"))
            rows.append(_trace(fields, opened + line["output"], writer, line.get("score"), numbers))
    return _imported(rows, lost)


def import_trl(paths: Sequence[str | Path], *, model: str | None = None) -> Imported:
    """Return the traces of TRL's logs of completions; `model` names their writer in front of the step, by default the folder.

    Raises `TaskError` for a file that is no such log.
    """
    rows: list[dict[str, Any]] = []
    lost: Counter[str] = Counter()
    numbers: Counter[tuple[str, str]] = Counter()
    for path in map(Path, paths):
        for row in open_file(path).rows:
            line = row.fields
            missing = [name for name in ("prompt", "completion") if not isinstance(line.get(name), str | list)]
            if missing:
                raise TaskError(f"{row.place} has no {', '.join(missing)}, so TRL did not write it as a log of completions")
            opened, turns = "", None
            if isinstance(line["prompt"], list):
                turns = asked_in(line["prompt"], row.place)
            else:
                turns, opened = conversation_in(line["prompt"])
            turns = turns or [["user", line["prompt"]]]
            text = line["completion"]
            if isinstance(text, list):
                said = [turn for turn in text if isinstance(turn, Mapping) and turn.get("role") == "assistant"]
                if len(said) < len(text):
                    lost["completions hold turns of tools or users, which are left out"] += 1
                text = "\n\n".join(thinking_first(turn)[0] for turn in said)
            answers = _answers(next((line[name] for name in ("answer", "ground_truth", "solution") if line.get(name)), None))
            if not answers:
                lost["completions have no reference answer, so they are read towards their own answers"] += 1
            known = {"step", "prompt", "completion", "advantage", "answer", "ground_truth", "solution"}
            rewards = {name: value for name, value in line.items() if name not in known and isinstance(value, int | float)}
            fields = {"question": turns[-1][1], "prompt_turns": turns, **_answer_fields(answers)}
            folder = path.resolve().parent
            base = folder.parent.name if folder.name == "completions" else path.stem
            writer = _writer(model or base, line.get("step"))
            rows.append(_trace(fields, opened + text, writer, rewards or None, numbers))
    return _imported(rows, lost)


def _imported(rows: Sequence[dict[str, Any]], lost: Counter[str]) -> Imported:
    return Imported(tuple(rows), (*(f"{count} {what}" for what, count in lost.items()), *((_UNFINISHED,) if rows else ())))


def _writer(name: str, step: Any) -> str:
    return name if not isinstance(step, int | float) or isinstance(step, bool) else f"{name} step {int(step)}"


def _trace(fields: dict[str, Any], text: str, writer: str, score: Any, numbers: Counter[tuple[str, str]]) -> dict[str, Any]:
    problem = short_digest(fields)
    number = numbers[problem, writer]
    numbers[problem, writer] += 1
    row = {"id": f"{problem}:{number}:{writer}", "problem": problem, **fields, "trace": text, "model": writer}
    return row if score is None else {**row, "score": score}


def _answers(value: Any) -> list[str]:
    """Return the accepted answers that a ground truth holds."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in ("ground_truth", "target", "answer", "value") if name in value), None)
    if isinstance(value, list):
        return [text for one in value for text in _answers(one)]
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not str(value).strip():
        return []
    return [str(value).rsplit("####", 1)[-1].strip()]


def _answer_fields(answers: Sequence[str]) -> dict[str, Any]:
    if not answers:
        return {}
    return {"answer": answers[0], **({"aliases": list(answers[1:])} if len(answers) > 1 else {})}


def conversation_in(text: str) -> tuple[list[list[str]] | None, str]:
    r"""Return the turns of a chat that was rendered to text, and what it opens of the reply; None where its turns cannot be told.

    >>> conversation_in("system\nBe brief.\n\nuser\n2 + 2?\n\nassistant\n<think>\n")
    ([['system', 'Be brief.'], ['user', '2 + 2?']], '<think>\n')
    >>> conversation_in("2 + 2?")
    (None, '')
    """
    text = _START.sub("", text)
    for mark in _MARKS:
        found = list(mark.finditer(text))
        if not found or text[: found[0].start()].strip():
            continue
        roles = [_ROLE.get(one["role"].lower(), one["role"].lower()) for one in found]
        if roles[-1] != "assistant" or "user" not in roles:
            continue
        ends = [one.start() for one in found[1:]] + [len(text)]
        said = [text[one.end() : end] for one, end in zip(found, ends, strict=True)]
        turns = [[role, _ENDS.sub("", words).strip("\n")] for role, words in zip(roles[:-1], said[:-1], strict=True)]
        if turns[-1][0] != "user" or not turns[-1][1].strip():
            continue
        return turns, said[-1]
    return None, ""
