r"""How problems are put to a model: the options that the command line, a task file and Python share.

>>> prompting = parse_prompting({"system": "Be brief.", "answer_format": "boxed", "chat_template_kwargs": "enable_thinking=false"})
>>> prompting.chat_template_kwargs, FORMATS[prompting.answer_format].cue
({'enable_thinking': False}, '\nAnswer: \\boxed{')

A task file keeps them in a TOML beside it, under `[prompt]` (`problems.toml` for `problems.jsonl`):

    [prompt]
    system = "Be brief."
    answer_format = "boxed"
    few_shot = 4
    few_shot_from = "train.jsonl"
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from soundness.errors import SettingError, near
from soundness.records import Turn

__all__ = [
    "DEFAULT_FEW_SHOT",
    "FORMATS",
    "AnswerFormat",
    "AnswerFormatName",
    "Prompting",
    "Template",
    "parse_prompting",
    "plain_text",
]

AnswerFormatName = Literal["line", "letter", "boxed", "json", "custom"]
Template = Literal["own", "shared", "none"]

DEFAULT_FEW_SHOT = 4
"""Worked examples that a model without chat template is shown; four fit any context and fix the form."""

QUESTION_LABEL = "Question: "
"""What begins a question in a plain text with worked examples; a model that writes it has gone on to a question of its own."""

REASONING_LABEL = "Reasoning:"
"""What stands between a question and its solution there; without it, small models go on with the options of a choice problem."""


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """One way in which a chain ends in its answer."""

    open_instruction: str
    """Last line of the message for an open problem."""
    choice_instruction: str
    """Last line of the message for a problem with choices."""
    cue: str
    """What is written after a chain to ask for its answer; conditioned on, never scored."""
    lead: str
    """What stands between cue and answer; scored with the answer."""
    terminator: str
    """What closes an open answer; scored with it."""
    complete: str
    """Regular expression (MULTILINE) of a complete answer line: a pretrained model is stopped behind its first."""


def _stated(form: str) -> str:
    return f"Think step by step, then end with a line 'Answer: ' followed by {form}."


# A line that begins with "Answer:", Markdown's emphasis, list or heading marks before it allowed, and holds something.
_LINE = r"^[ \t>*_#-]*(?:final\s+)?answer[ \t*_]*:[ \t*_]*\S[^\n]*\n"

FORMATS: dict[AnswerFormatName, AnswerFormat] = {
    "line": AnswerFormat(_stated("the answer"), _stated("the letter"), "\nAnswer:", " ", "\n", f"(?i){_LINE}"),
    "letter": AnswerFormat(_stated("the answer"), _stated("the letter"), "\nAnswer:", " ", "\n", f"(?i){_LINE}"),
    "boxed": AnswerFormat(
        "Think step by step, then put the final answer in \\boxed{}.",
        "Think step by step, then put the letter of the answer in \\boxed{}.",
        "\nAnswer: \\boxed{",
        "",
        "}",
        r"\\boxed\s*\{[^\n]*\}[^\n]*\n",  # its line to the end, so that a closing $ or full stop is kept
    ),
    "json": AnswerFormat(
        'Think step by step, then end with one line of JSON, {"answer": "..."}, that holds the answer.',
        'Think step by step, then end with one line of JSON, {"answer": "..."}, that holds the letter of the answer.',
        '\n{"answer": "',
        "",
        '"}',
        r'^[^\n]*\{[^\n{}]*"answer"\s*:[^\n{}]*\}[^\n]*\n',  # an object on one line with the field answer
    ),
    "custom": AnswerFormat("", "", "", " ", "\n", f"(?i){_LINE}"),
}
"""Name -> what the name means; `custom` takes all of it from the options `instruction`, `cue` and `terminator`."""

_FROZEN = ConfigDict(extra="forbid", validate_default=False, use_attribute_docstrings=True)


@checked_dataclass(frozen=True, config=_FROZEN)
class Prompting:
    """How the problems of a task are put to a model."""

    system: str | None = None
    """System message; None for none of ours, whatever the chat template adds by itself."""
    instruction: str | None = None
    """Last line of every message; None takes the answer format's own, "" leaves it out."""
    answer_format: AnswerFormatName | None = None
    """How an answer is stated: `line` ("Answer: 18"), `letter` (of an option), `boxed`, `json` or `custom`."""
    cue: str | None = None
    """What is written after a chain to ask for its answer; None takes the answer format's own."""
    terminator: str | None = None
    """What closes an open answer when it is scored; None takes the answer format's own."""
    few_shot: int | None = field(default=None)
    """Worked examples shown before the question; None shows four to a model without chat template and none to others."""
    few_shot_from: str | None = None
    """Where they come from: a file, `hub:NAME:CONFIG:SPLIT`, or the name of another split of the task's own data set."""
    examples: tuple[Mapping[str, Any], ...] = ()
    """Written examples, each with `question`, `answer`, `steps` (or `rationale`) and, if it has them, `choices`."""
    template: Template = "own"
    """`own`: each model's chat template; `shared`: the base's for all; `none`: plain text, as for a pretrained model."""
    chat_template: str | None = None
    """A chat template (Jinja) in place of the tokenizer's, or the path of a file that holds one."""
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Variables that the chat template reads, such as enable_thinking or reasoning_effort."""
    stop: tuple[str | int, ...] = ()
    """Where a generation ends besides the model's own end: texts (left out of what is kept) and token ids."""
    date: str = "2025-01-01"
    """What a chat template that names the day takes for today, so that a run resumed tomorrow asks the same."""

    @field_validator("few_shot", mode="after")
    @classmethod
    def _not_negative(cls, value: int | None) -> int | None:
        if value is not None and not 0 <= value <= 64:
            raise ValueError("needs a whole number from 0 to 64")
        return value

    @field_validator("few_shot", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("needs a whole number from 0 to 64")
        return value

    @field_validator("date", mode="before")
    @classmethod
    def _day(cls, value: Any) -> str:
        try:
            return (value if isinstance(value, date) else date.fromisoformat(str(value))).isoformat()[:10]
        except ValueError:
            raise ValueError("needs a date such as 2025-01-01") from None

    @field_validator("chat_template", mode="after")
    @classmethod
    def _template_text(cls, value: str | None) -> str | None:
        if value is None or "{" in value:
            return value
        path = Path(value).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or "it is no UTF-8 text"
            raise ValueError(f"needs a file with a chat template ({reason})") from None
        if "{" not in text:
            raise ValueError("needs a file with a chat template, and there is no Jinja in this one")
        return text

    @field_validator("stop", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        value = (value,) if isinstance(value, (str, int)) else value
        if isinstance(value, Iterable):
            value = tuple(value)
            if any(isinstance(one, bool) or one == "" for one in value):
                raise ValueError("needs texts that are not empty, or token ids")
        return value

    @field_validator("examples", mode="after")
    @classmethod
    def _complete(cls, value: tuple[Mapping[str, Any], ...]) -> tuple[Mapping[str, Any], ...]:
        for number, row in enumerate(value, 1):
            lacking = [name for name in ("question", "answer") if not row.get(name)]
            lacking += [] if row.get("steps") or row.get("rationale") else ["steps"]
            if lacking:
                raise ValueError(f"example {number} needs {' and '.join(lacking)}")
        return value

    @model_validator(mode="after")
    def _together(self) -> Prompting:
        if self.answer_format == "custom" and not (self.cue and self.instruction is not None):
            raise ValueError("answer_format custom needs a cue and an instruction")
        if self.examples and self.few_shot_from:
            raise ValueError("examples and few_shot_from exclude each other: give one")
        if self.few_shot is not None and self.examples and self.few_shot > len(self.examples):
            raise ValueError(f"few_shot is {self.few_shot}, and there are {len(self.examples)} examples")
        if self.template == "none" and (self.chat_template or self.chat_template_kwargs):
            raise ValueError("template none leaves the chat template out, so chat_template and its variables have no use")
        return self

    @property
    def form(self) -> AnswerFormat:
        """The answer format, with the cue and terminator that were given in its place."""
        form = FORMATS[self.answer_format or "line"]
        return replace(
            form,
            cue=form.cue if self.cue is None else self.cue,
            terminator=form.terminator if self.terminator is None else self.terminator,
        )

    @property
    def given(self) -> dict[str, Any]:
        """The options that differ from their defaults, as JSON values."""
        default = Prompting()
        mine = {one.name: getattr(self, one.name) for one in fields(self)}
        changed = {name: value for name, value in mine.items() if value != getattr(default, name)}
        return dict(json.loads(json.dumps(changed, default=list)))


OPTIONS = tuple(one.name for one in fields(Prompting))

_PAIR = re.compile(r"\s*([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)  # NAME=VALUE; a Jinja variable is a Python name


def parse_prompting(
    options: Mapping[str, Any], *, folder: str | Path | None = None, escapes: bool = False, place: str = "prompt option"
) -> Prompting:
    r"""Return the prompting that a flat table of options describes; options that are None are left out.

    Values may be texts as a command line gives them: `few_shot` "4"; `chat_template_kwargs` "a=1,b=high" or a list of such
    pairs, each value JSON where it is JSON; `stop` one text or several, `id=7` naming a token. `folder` is what relative paths
    count from. With `escapes`, `\n` and `\t` in texts are a newline and a tab. Raises SettingError of one line that begins
    with `place`.

    >>> parse_prompting({"stop": ["\\n\\n", "id=7"], "few_shot": "2"}, escapes=True).stop
    ('\n\n', 7)
    """
    values: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            raise SettingError(f"{place}: there is no {name!r}{near(name, OPTIONS)}; there are {', '.join(OPTIONS)}")
        if value is None:
            continue
        if escapes:
            value = _unescaped(value)
        if name == "chat_template_kwargs":
            value = _variables(value, place)
        elif name == "stop":
            value = _stops(value)
        elif name == "few_shot" and isinstance(value, str) and value.strip().isdecimal() and len(value) < 6:
            value = int(value)
        elif name == "chat_template" and isinstance(value, Path):
            value = str(value)
        if name == "chat_template" and isinstance(value, str) and "{" not in value and folder is not None:
            value = str(Path(folder) / Path(value).expanduser())
        if name == "few_shot_from" and isinstance(value, str) and folder is not None:
            beside = Path(folder) / value
            value = str(beside) if _is_file(beside) else value
        values[name] = value
    try:
        return TypeAdapter(Prompting).validate_python(values, strict=False)
    except ValidationError as error:
        raise SettingError(_one_line(error, place)) from None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _unescaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\\n", "\n").replace("\\t", "\t")
    return [_unescaped(one) for one in value] if isinstance(value, (list, tuple)) else value


def _variables(value: Any, place: str) -> Any:
    """Return a mapping of template variables out of NAME=VALUE pairs; a mapping stays as it is."""
    if isinstance(value, Mapping):
        return dict(value)
    pairs = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [str(value)]
    variables: dict[str, Any] = {}
    for pair in pairs:
        text = str(pair).strip()
        if text.startswith("{"):
            try:
                variables |= json.loads(text)
                continue
            except (ValueError, TypeError, RecursionError):
                raise SettingError(f"{place} chat_template_kwargs: no JSON object: {text[:60]!r}") from None
        # A comma separates pairs only where another NAME= follows, so that a value may hold one.
        for part in re.split(r",(?=\s*[A-Za-z_]\w*\s*=)", text):
            found = _PAIR.fullmatch(part)
            if found is None:
                raise SettingError(
                    f"{place} chat_template_kwargs: NAME=VALUE was wanted, such as enable_thinking=false, found {part[:60]!r}"
                )
            variables[found[1]] = _json_or_text(found[2].strip())
    return variables


def _json_or_text(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _stops(value: Any) -> Any:
    found = [value] if isinstance(value, (str, int)) else value
    if not isinstance(found, (list, tuple)):
        return value
    # id=7 names a token, since a text may well be "7".
    return tuple(int(one[3:]) if isinstance(one, str) and re.fullmatch(r"id=\d{1,9}", one) else one for one in found)


def _one_line(error: ValidationError, place: str) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "literal_error":
        known = {"answer_format": get_args(AnswerFormatName), "template": get_args(Template)}.get(name, ())
        said = f"one of {', '.join(known)} was wanted{near(str(first['input']), known)}"
    shown = f", found {str(first['input'])[:60]!r}" if name else ""
    return " ".join(f"{place}{' ' + name if name else ''}: {said}{shown}".split())


def plain_text(turns: Sequence[Turn]) -> str:
    r"""Return a conversation as plain text for a model without chat template.

    A message alone is itself and a newline. With worked examples each question and each solution gets a label and each example
    ends in a blank line; a system message stands above all.

    >>> plain_text([Turn("user", "2 + 2?")])
    '2 + 2?\n'
    >>> plain_text([Turn("user", "1 + 1?"), Turn("assistant", "Answer: 2"), Turn("user", "2 + 2?")])
    'Question: 1 + 1?\nReasoning:\nAnswer: 2\n\nQuestion: 2 + 2?\nReasoning:\n'
    """
    system = "".join(f"{turn.content}\n\n" for turn in turns if turn.role == "system")
    rest = [turn for turn in turns if turn.role != "system"]
    if len(rest) == 1:
        return f"{system}{rest[0].content}\n"
    parts = [
        f"{QUESTION_LABEL}{turn.content}\n{REASONING_LABEL}\n" if turn.role == "user" else f"{turn.content.rstrip()}\n\n"
        for turn in rest
    ]
    return system + "".join(parts)
