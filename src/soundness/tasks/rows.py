r"""Rows for training, as trainers know them: conversations, ShareGPT, prompt and completion, Alpaca; and tasks, which are rows too.

Each reply that a model shall learn becomes one problem: `meta["prompt_turns"]` is the conversation before it, `meta["completion"]`
the reply. A conversation with three replies gives three problems. Rows of verl (a prompt and its ground truth, no reply) are
problems as they are, and so is everything else that `soundness.tasks.load` reads.

>>> task = load_training_task([{"instruction": "Add.", "input": "1 and 2", "output": "3"}])
>>> task.turns(task.problems[0]), task.problems[0].meta["completion"]
((Turn(role='user', content='Add.\n\n1 and 2'),), '3')
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from soundness.answers.channels import with_thinking
from soundness.errors import SettingError, TaskError, near
from soundness.records import Problem, Turn
from soundness.tasks.base import Task, load_task
from soundness.tasks.hub import open_hub, split_hub_spec
from soundness.tasks.load import Selection, is_file, select_rows
from soundness.tasks.prompts import Prompting
from soundness.tasks.sources import Row, Source, open_file, open_rows

__all__ = ["ROLES", "load_training_task"]

ROLES = {
    **{name: "user" for name in ("user", "human", "prompter")},
    **{name: "assistant" for name in ("assistant", "gpt", "chatgpt", "bing", "bard", "model", "bot")},
    **{name: "system" for name in ("system", "developer")},
}
"""Who speaks, by the names that data sets have for it."""

_TALKS = ("messages", "conversations", "conversation", "dialog", "dialogue")
_REPLIES = ("completion", "response", "output", "chosen")
_MAPPED = ("messages", "prompt", "completion")
"""What `columns` may map in rows for training, besides the fields of a problem."""


class _Reply(NamedTuple):
    """A reply with the conversation before it."""

    turns: tuple[Turn, ...]
    text: str


def load_training_task(
    source: Any,
    *,
    limit: int | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    select: str | None = None,
    skip: int = 0,
    shuffle: bool | int = False,
    split: str | None = None,
    prompt: Prompting | Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Task:
    """Return the task whose problems a model is trained on.

    Rows for training (see the module) have their reply in `meta["completion"]` and are asked exactly as their conversation says,
    without an instruction; what is no such row is read as `load_task` reads it. `columns` may also map `messages`, `prompt` and
    `completion`. The other options are those of `load_task`. Raises TaskError naming the row, and SettingError.
    """
    columns = dict(columns or {})
    opened = None if isinstance(source, str | Path) and not _holds_rows(str(source)) else _open(source, name)
    if opened is not None:
        first = next(opened.rows, None)
        if first is not None and _is_for_training(first.fields, columns):
            for one in columns:
                if one not in (*_MAPPED, "id"):
                    raise TaskError(
                        f"columns: rows for training have {', '.join((*_MAPPED, 'id'))}, and no {one!r}{near(one, _MAPPED)}"
                    )
            selection = Selection(limit=limit, select=select, skip=skip, shuffle=shuffle, split=split)
            rows = Source(opened.name, chain([first], opened.rows), opened.typed, opened.options)
            return _task(rows, selection, columns, prompt)
        if first is not None and not isinstance(source, str | Path):
            source = [dict(row.fields) for row in chain([first], opened.rows)]  # an iterator is gone once it was looked at
    unknown = next((one for one in columns if one in _MAPPED), None)
    if unknown is not None:
        raise TaskError(f"columns: {unknown} is for rows with a reply, and there is none in {name or source}")
    return load_task(
        source,
        limit=limit,
        seed=seed,
        columns=columns or None,
        select=select,
        skip=skip,
        shuffle=shuffle,
        split=split,
        prompt=prompt,
        name=name,
    )


def _holds_rows(spec: str) -> bool:
    return spec.startswith("hub:") or (is_file(Path(spec).expanduser()) and not spec.endswith(".toml"))


def _open(source: Any, name: str | None) -> Source:
    if isinstance(source, str) and source.startswith("hub:"):
        found = open_hub(*split_hub_spec(source.removeprefix("hub:")))
    elif isinstance(source, str | Path):
        found = open_file(Path(source).expanduser())
    else:
        found = open_rows(source, name)
    found.name = name or found.name
    return found


def _is_for_training(fields: Mapping[str, Any], columns: Mapping[str, str]) -> bool:
    """Return whether a row holds a reply to be learnt, rather than a problem to be solved."""
    if "messages" in columns or "completion" in columns:
        return True
    talk = next((fields[name] for name in _TALKS if isinstance(fields.get(name), list)), None)
    if talk is not None:
        return True
    has_reply = any(isinstance(fields.get(name), str | list) for name in _REPLIES)
    asks = "prompt" in fields or "instruction" in fields
    return has_reply and asks and "answer" not in fields and "reward_model" not in fields and "score" not in fields


def _task(
    source: Source, selection: Selection, columns: Mapping[str, str], prompt: Prompting | Mapping[str, Any] | None
) -> Task:
    problems: list[Problem] = []
    for row in islice(select_rows(source, selection), selection.limit):
        replies = _replies(row, columns)
        identity = row.fields.get(columns.get("id", "id"))
        identity = str(identity) if isinstance(identity, str | int) and not isinstance(identity, bool) else row.name
        for number, reply in enumerate(replies):
            asked = next(turn.content for turn in reversed(reply.turns) if turn.role == "user")
            meta = {"completion": reply.text, "prompt_turns": [list(turn) for turn in reply.turns]}
            # A conversation of several replies gives several problems; the first keeps the row's own id.
            problems.append(Problem(identity if not number else f"{identity}:{number}", asked, None, meta=meta))
    if not problems:
        raise TaskError(f"{source.name} has no rows{'' if selection == Selection() else ' that were selected'}")
    ids = [problem.id for problem in problems]
    if len(set(ids)) < len(ids):
        problems = [replace(problem, id=f"{problem.id}#{place}") for place, problem in enumerate(problems)]
    task = Task(source.name, tuple(problems), instruction="")
    if not prompt:
        return task
    from soundness.tasks.prompts import parse_prompting

    prompting = prompt if isinstance(prompt, Prompting) else parse_prompting(prompt)
    if prompting.few_shot or prompting.few_shot_from or prompting.examples:
        raise SettingError("few_shot is for problems; rows for training are shown as their conversation says")
    return task.with_prompting(prompting)


def _replies(row: Row, columns: Mapping[str, str]) -> list[_Reply]:
    """Return every reply of a row with what stands before it; raises TaskError for a row that has none."""
    fields, place = row.fields, row.place
    for wanted, column in columns.items():
        if column not in fields:
            _fail(
                place,
                f"there is no column {column!r} for {wanted}{near(column, map(str, fields))}; the columns are {_listed(fields)}",
            )
    talk = columns.get("messages") or next((name for name in _TALKS if isinstance(fields.get(name), list)), None)
    if talk is not None and "completion" not in columns:
        turns = _conversation(fields[talk], place, talk)
        told = fields.get("system")
        if isinstance(told, str) and told.strip() and (not turns or turns[0].role != "system"):
            turns = [Turn("system", told), *turns]
    else:
        turns = _asked_and_said(fields, columns, place)
    replies = []
    for number, turn in enumerate(turns):
        if turn.role != "assistant":
            continue
        before = tuple(turns[:number])
        if not any(one.role == "user" for one in before):
            continue  # a greeting that nobody asked for
        if not turn.content.strip():
            _fail(place, "a reply in it is empty")
        replies.append(_Reply(before, turn.content))
    if not replies:
        roles = ", ".join(turn.role for turn in turns)[:80]
        _fail(place, f"there is no reply to a user in it (it has {roles or 'nothing'}), so there is nothing to learn")
    return replies


def _asked_and_said(fields: Mapping[str, Any], columns: Mapping[str, str], place: str) -> list[Turn]:
    """Return the conversation of a prompt and its completion, each a text or turns, or of Alpaca's instruction, input and output."""
    answer = columns.get("completion") or next((name for name in _REPLIES if fields.get(name) is not None), None)
    if answer is None:
        _fail(place, f"it has no reply ({', '.join(_REPLIES)}); the row has {_listed(fields)}")
    if answer == "chosen" and "completion" not in columns:
        _fail(
            place,
            "it holds a preference (chosen, rejected); say that the chosen reply shall be learnt with --column completion=chosen",
        )
    asked = columns.get("prompt") or next(
        (name for name in ("prompt", "instruction", "question", "input") if fields.get(name)), None
    )
    if asked is None:
        _fail(place, f"it has no prompt; the row has {_listed(fields)}")
    turns = []
    if isinstance(fields.get("system"), str) and fields["system"].strip():
        turns.append(Turn("system", fields["system"]))
    history = fields.get("history")
    for pair in history if isinstance(history, list) else []:  # LLaMA-Factory: [[asked, said], ...]
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)):
            _fail(place, f"field history: pairs of texts were wanted, found {_shown(pair)}")
        turns += [Turn("user", pair[0]), Turn("assistant", pair[1])]
    value = fields[asked]
    if isinstance(value, list):
        turns += _conversation(value, place, asked)
    elif isinstance(value, str):
        more = fields.get("input") if asked == "instruction" else None
        turns.append(Turn("user", f"{value}\n\n{more}" if isinstance(more, str) and more.strip() else value))
    else:
        _fail(place, f"field {asked}: text or a conversation was wanted, found {_shown(value)}")
    said = fields[answer]
    if isinstance(said, list):
        turns += _conversation(said, place, answer)
    elif isinstance(said, str):
        turns.append(Turn("assistant", said))
    else:
        _fail(place, f"field {answer}: text or a conversation was wanted, found {_shown(said)}")
    return turns


def _conversation(value: Any, place: str, name: str) -> list[Turn]:
    """Return the turns of a conversation in any of its forms, thinking that is kept apart in a thinking span first."""
    if not isinstance(value, list) or not value:
        _fail(place, f"field {name}: a conversation was wanted, found {_shown(value)}")
    turns = []
    for item in value:
        if not isinstance(item, Mapping):
            _fail(place, f"field {name}: turns with role and content were wanted, found {_shown(item)}")
        role = item.get("role", item.get("from"))
        if ROLES.get(str(role)) is None:
            known = ", ".join(dict.fromkeys(ROLES.values()))
            _fail(place, f"field {name}: a turn of {_shown(role)}, and only {known} can be shown to a model here")
        turns.append(Turn(ROLES[str(role)], _content(item, place, name)))
    if any(turn.role == "system" for turn in turns[1:]):
        _fail(place, f"field {name}: a system message stands behind the first turn")
    return turns


def _content(item: Mapping[str, Any], place: str, name: str) -> str:
    text = item.get("content", item.get("value", item.get("text")))
    if isinstance(text, list):
        parts = [
            part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else None for part in text
        ]
        if any(not isinstance(part, str) for part in parts):
            _fail(place, f"field {name}: a turn holds something else than text ({_shown(text)})")
        text = "".join(str(part) for part in parts)
    thought = item.get("reasoning_content", item.get("reasoning", item.get("thinking")))
    if item.get("tool_calls"):
        _fail(place, f"field {name}: a turn calls a tool, which cannot be shown to a model here")
    if not isinstance(text, str):
        _fail(place, f"field {name}: a turn with text was wanted, found {_shown(dict(item))}")
    try:
        text.encode()
    except UnicodeEncodeError:
        _fail(place, f"field {name}: it holds half of a surrogate pair, which is no text")
    return with_thinking(thought, text) if isinstance(thought, str) else text


def _fail(place: str, message: str) -> NoReturn:
    raise TaskError(f"{place}: {message}")


def _shown(value: Any) -> str:
    text = " ".join(json.dumps(value, default=str).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _listed(names: Mapping[str, Any] | Sequence[str] | Iterator[str]) -> str:
    text = ", ".join(str(name)[:40] for name in names)
    return text if len(text) <= 200 else f"{text[:197]}..."
