r"""From a row of fields to a problem, whatever the data set calls them.

Our names: `question`; `answer` (text or a number; absent or null where there is no reference); optional `id`, `choices`, `rationale`,
`steps`, `facts`, `context`. Any other field goes to `Problem.meta`. For example

    {"id": "1", "question": "Which is a metal?", "choices": ["oak", "tin"], "answer": "B"}

The names and forms of well-known data sets are read too: options as lists, objects, labelled lists or columns; answers as
letters, labels, texts, indices from 0, lists of accepted answers, worked solutions that end in "#### 18" or hold a \boxed{18}.
A column that looks like an answer or like options and is not understood is asked about, never passed over.

>>> problem_from_row({"question": "A metal?", "options": ["oak", "tin"], "answer_idx": 1}, place="x", default_id="7").answer
'B'
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import blake2b
from typing import Any, NoReturn

from soundness.errors import TaskError, near
from soundness.files import JsonFault, parse_json
from soundness.records import LETTERS, Problem

__all__ = [
    "COLUMNS",
    "FIELDS",
    "CountedFromOne",
    "Reader",
    "problem_from_row",
    "program_column",
    "solution_steps",
    "split_worked_answer",
]

FIELDS = ("id", "question", "answer", "choices", "rationale", "steps", "facts", "context")
"""Names of ours."""

_HOW = {"answer_index": "index", "answer_number": "number", "answer_text": "text"}
COLUMNS = (*FIELDS, *_HOW, "ignore")
"""What `columns` may map: our fields; `answer_index` (an option counted from 0), `answer_number` (from 1) and `answer_text` say what
kind of answer a column holds; `ignore` names columns, parted by commas, that are to be passed over."""

# Names in other data sets, lower case and without signs, in the order in which they are preferred.
_QUESTION = ("question", "problem", "query", "questiontext", "questionstem", "stem", "prompt", "input", "inputs", "instruction")
_ANSWER = (
    *("answer", "answerkey", "correctanswer", "correctoption", "correctchoice", "finalanswer", "goldanswer", "goldlabel"),
    *("referenceanswer", "expectedanswer", "groundtruth", "answers", "gold", "target", "label", "answeridx", "answerindex"),
    *(
        "answerletter",
        "labelidx",
        "correctidx",
        "correctindex",
        "cop",
        "finaldecision",
        "answersspans",
        "ideal",
        "targets",
        "correct",
    ),
)
_SURE_ANSWER = {
    "answerkey",
    "correctanswer",
    "correctoption",
    "correctchoice",
    "answeridx",
    "answerindex",
    "answerletter",
    "cop",
}
"""Names that say the right option and nothing else: where a row has two, they have to agree."""
_INDEX_NAMES = {"label", "answeridx", "answerindex", "cop", "labelidx", "correctidx", "correctindex"}
"""Names under which a whole number is an option's index."""
_CHOICES = ("choices", "options", "endings", "answerchoices", "candidates", "multiplechoicetargets", "mc1targets")
_CONTEXT = ("context", "contexts", "passage", "article", "story", "background", "support")
_RATIONALE = ("rationale", "explanation", "solution", "reasoning", "cot", "cotcontent", "exp", "longanswer")
_ID = ("id", "questionid", "queryid", "qid", "uniqueid", "uid")
_PROGRAMS = {"canonicalsolution", "entrypoint", "testlist", "testcases", "publictestcases", "inputoutput", "unittests"}
"""Names that only rows have whose answers are programs."""
_WRONG = ("incorrectanswer", "wronganswer", "distractor")
"""Beginnings of columns that hold the wrong options beside one right answer."""

# Columns of options: a stem and a letter or a number. The stem may be empty for letters ("A", "B").
_OPTION_COLUMN = re.compile(r"(?P<stem>|op|opt|option|choice|ending|alternative|answer|sol|ans)(?P<mark>[a-z]|\d{1,2})")
_LOOKS_LIKE = {
    "answer": re.compile(r"answer|gold|truth|label|target|correct|expected"),
    "choices": re.compile(r"option|choice|alternative|candidate|distractor"),
}

# "B", "(B)", "B.", "B)", "b:": a letter and its marks alone.
_LETTER = re.compile(r"\(?\s*([A-Za-z])\s*[).:]?")
# "B. tin", "(B) tin", "B: tin".
_LETTER_AND_TEXT = re.compile(r"\(?([A-Za-z])\s*[).:]\s*(\S.*)", re.DOTALL)
# "a ) 38 , b ) 27": the label of an option inside one text, at its start or behind a blank, a comma or a semicolon.
_INLINE_LABEL = re.compile(r"(?:^|[\s,;])\(?([A-Za-z])\s?[).:]\s")

_ROLLOUTS = "it is a dump of rollouts (input, output, score) and no problem: import it with soundness import verl"

_MANY_INDICES = 20
"""Answers among which, of four options counted from 0, the first is missing by chance in one file of 300."""

_MOST_QUESTION = 2_000_000
"""Longest question in characters; the longest contexts of models are shorter."""


class CountedFromOne(TaskError):
    """An answer is no index of an option counted from 0, and would be one counted from 1."""


@dataclass
class Reader:
    """Reads rows of one file or data set, and keeps in mind what has to be the same in all of them."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Our field -> the column that holds it (see COLUMNS)."""
    typed: bool = True
    """Whether numbers and texts can be told apart; in CSV they cannot."""
    notes: dict[str, None] = field(default_factory=dict)
    """What was taken for what, in words, each once."""
    systems: list[str | None] = field(default_factory=list)
    """The system message that each row brought in its conversation, or None."""
    indices: list[tuple[int, int]] = field(default_factory=list)
    """(index, number of options) of every answer that was read as an index without a word."""

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise TaskError(
                    f"columns: there is no field {name!r}{near(name, COLUMNS)}; the fields are {', '.join(COLUMNS)}"
                )
        if len([name for name in self.columns if name == "answer" or name in _HOW]) > 1:
            raise TaskError("columns: give one of answer, answer_index, answer_number and answer_text")

    def problem(self, row: Mapping[str, Any], *, place: str, default_id: str) -> Problem:
        """Return the problem that a row describes; raises TaskError, which begins with `place`, for one that cannot be used."""
        return _Row(self, row, place).problem(default_id)

    def check(self) -> None:
        """Note where answers that were read as indices from 0 may have been counted from 1."""
        if len(self.indices) >= _MANY_INDICES and all(index > 0 for index, _ in self.indices):
            many = f"none of {len(self.indices)} answers is 0, so they may count the options from 1"
            self.notes[f"{many}: say so with answer_number in place of answer"] = None


def program_column(fields: Iterable[str]) -> str | None:
    """Return the field which says that a row's answer is a program (HumanEval, MBPP, APPS), or None."""
    return next((name for name in fields if _norm(name) in _PROGRAMS), None)


def problem_from_row(
    row: Mapping[str, Any], *, place: str, default_id: str, columns: Mapping[str, str] | None = None, typed: bool = True
) -> Problem:
    """Return the problem that a row of fields describes.

    `place` (such as "f.jsonl line 3") begins every message of the TaskError raised for a field that cannot be used. `columns` maps
    our names to the row's; `typed` is False where every value is text, as in CSV.

    >>> problem_from_row({"question": "A metal?", "choices": ["oak", "tin"], "answer": "tin"}, place="x", default_id="7").answer
    'B'
    """
    return Reader(columns or {}, typed).problem(row, place=place, default_id=default_id)


def split_worked_answer(text: str) -> tuple[str, str, tuple[str, ...]] | None:
    r"""Return (answer, rationale, steps) of a worked answer that ends in "#### ANSWER" or holds a \boxed{ANSWER}; None for others.

    >>> split_worked_answer("She has 2*3=<<2*3=6>>6 eggs.\n#### 6")
    ('6', 'She has 2*3=6 eggs.', ('She has 2*3=6 eggs.',))
    >>> split_worked_answer(r"Half of it. So $x = \boxed{\frac{1}{2}}$.")
    ('\\frac{1}{2}', 'Half of it. So $x = \\boxed{\\frac{1}{2}}$.', ('Half of it.', 'So $x = \\boxed{\\frac{1}{2}}$.'))
    """
    before, mark, answer = text.rpartition("####")
    if mark and answer.strip() and "\n" not in answer.strip():
        rationale = re.sub(r"<<[^<>\n]*>>", "", before).strip()  # GSM8K's calculator annotations
        return answer.strip(), rationale, solution_steps(rationale)
    boxed = _last_boxed(text)
    if boxed is None or not boxed.strip():
        return None
    alone = re.fullmatch(r"\W*\\(?:boxed|fbox)\s*\{.*\}\W*", text.strip(), re.DOTALL) is not None
    rationale = "" if alone else text.strip()
    return boxed.strip(), rationale, solution_steps(rationale)


def solution_steps(text: str) -> tuple[str, ...]:
    """Return the steps of a worked solution: its lines, or its sentences where it is one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1:
        # A full stop ends a sentence before a blank and a capital letter or a formula.
        lines = [part.strip() for part in re.split(r"(?<=[.!?])\s+(?=[A-Z$\\])", lines[0]) if part.strip()]
    return tuple(lines)


def _last_boxed(text: str) -> str | None:
    start = max(text.rfind("\\boxed"), text.rfind("\\fbox"))
    opening = text.find("{", start) if start >= 0 else -1
    if start < 0 or opening < 0 or text[start:opening].strip() not in ("\\boxed", "\\fbox"):
        found = re.search(r"\\boxed ([^\s$.{]+)", text[start:]) if start >= 0 else None  # MATH has a few \boxed 7
        return found[1] if found else None
    depth = 0
    for place in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[opening + 1 : place]
    return None


def _norm(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", str(name).lower())


class _Row:
    """One row on its way to a problem."""

    def __init__(self, reader: Reader, fields: Mapping[str, Any], place: str) -> None:
        self.reader, self.place = reader, place
        self.fields = {str(name): _missing_is_none(value) for name, value in fields.items()}
        self.ignored = {one.strip() for one in str(reader.columns.get("ignore", "")).split(",") if one.strip()}
        self.used: set[str] = set()
        self.by_norm: dict[str, list[str]] = {}
        for name in self.fields:
            if name not in self.ignored:
                self.by_norm.setdefault(_norm(name), []).append(name)

    def fail(self, message: str) -> NoReturn:
        raise TaskError(f"{self.place}{message}")

    def problem(self, default_id: str) -> Problem:
        self._check_columns()
        self._refuse_programs()
        question, context, system = self._question()
        labels: list[str] = []
        choices = self._choices(labels)
        answer, aliases, rationale, steps = self._answer(choices, labels)
        if choices is None and isinstance(answer, bool):
            choices, answer = ("yes", "no"), "A" if answer else "B"
        self._look_for_more(answer_found=answer is not None or self._stands_empty("answer"), choices_found=choices is not None)
        context = (*context, *self._context())
        rationale = self._rationale() or rationale
        own_steps = self._own("steps")
        facts = self._own("facts")
        identity = self._identity(default_id)
        meta = {name: value for name, value in self.fields.items() if name not in self.used and name not in FIELDS}
        if aliases:
            meta["aliases"] = list(aliases)
        self.reader.systems.append(system)
        self._check_text()
        return Problem(
            id=identity,
            question=question,
            answer=answer if answer is None else str(answer),
            choices=choices,
            rationale=rationale,
            steps=(steps or None) if own_steps is None else _texts(own_steps, "steps", self.place),
            facts=_texts(facts, "facts", self.place),
            context=context,
            meta=meta,
        )

    # --- columns ------------------------------------------------------------------------------------------------------

    def _check_columns(self) -> None:
        """Raise TaskError where `columns` names a column that the row has not."""
        for wanted, column in self.reader.columns.items():
            names = [part.strip() for part in column.split(",")] if wanted in ("ignore", "choices") else [column]
            for name in names if column not in self.fields else ():
                if name not in self.fields:
                    known = list(self.fields)
                    self.fail(
                        f": there is no column {name!r} for the field {wanted}{near(name, known)}; the columns are {_listed(known)}: "
                        f"map them with columns, such as {{{wanted!r}: {known[0] if known else 'name'!r}}}"
                    )

    def _own(self, name: str) -> Any:
        """Return the value of one of our fields by its mapped or its own name, or None."""
        column = self.reader.columns.get(name, name)
        if column in self.fields and column not in self.ignored:
            self.used.add(column)
            return self.fields[column]
        return None

    def _first(self, names: Iterable[str]) -> str | None:
        """Return the first column whose name is one of `names` and that holds something, not used yet."""
        for wanted in names:
            for column in self.by_norm.get(wanted, ()):
                if self.fields[column] is not None and column not in self.used:
                    return column
        return None

    def _named(self, name: str, names: Sequence[str]) -> str | None:
        """Return the column of a field of ours: the mapped one, the one of its own name, or the first of `names`."""
        if name in self.reader.columns:
            return self.reader.columns[name]
        return name if self.fields.get(name) is not None and name not in self.ignored else self._first(names)

    def _stands_empty(self, name: str) -> bool:
        """Return whether the row has this field of ours and holds nothing in it, which is a statement."""
        column = self.reader.columns.get(name, name)
        return column in self.fields and self.fields[column] is None

    def _refuse_programs(self) -> None:
        """Raise TaskError for rows whose answers are programs."""
        if "question" in self.reader.columns and ("answer" in self.reader.columns or "answer" in self.fields):
            return
        found = program_column(self.fields)
        if found is not None and found not in self.ignored:
            self.fail(
                f": its answers are programs that have to be run (field {found!r}), and no rule can read whether a program is right: "
                "give a grader of your own, and say with --column which fields are question and answer"
            )

    # --- question -----------------------------------------------------------------------------------------------------

    def _question(self) -> tuple[str, tuple[str, ...], str | None]:
        """Return question, passages that stand in it, and a system message of the row's own."""
        column = self.reader.columns.get("question")
        if column is None:
            column = "question" if self.fields.get("question") is not None else self._first(_QUESTION)
        if column is None and (talk := next((name for name in ("messages", "conversations") if self.fields.get(name)), None)):
            column = talk
        if column is None or self.fields.get(column) is None:
            if {"output", "score", "step"} <= set(self.fields):
                self.fail(f": {_ROLLOUTS}")
            names = list(self.fields)
            self.fail(
                f", field question: it is missing; the row has {_listed(names) or 'no field at all'}{near('question', names)}; "
                "say which column it is with --column question=NAME"
            )
        self.used.add(column)
        value = self.fields[column]
        told = self._first(("instruction",)) if _norm(column) in ("input", "instruction") else None
        if "instruction" in self.by_norm and _norm(column) in ("input", "instruction"):
            if not (set(self.by_norm) & {*_ANSWER}) and set(self.by_norm) & {"output", "response"}:
                self.fail(
                    ": instruction and output are rows for training and no problem; a problem needs a question and an answer"
                )
            if told is not None and isinstance(value, str) and isinstance(self.fields[told], str):
                self.used.add(told)
                value = "\n\n".join(part.strip() for part in (self.fields[told], value) if part.strip())
        if _norm(column) == "input" and {"output", "score"} <= set(self.fields) and "answer" not in self.fields:
            self.fail(f": {_ROLLOUTS}")
        if isinstance(value, dict) and isinstance(value.get("stem"), str):  # ARC and CommonsenseQA as published
            if self.fields.get("choices") is None and value.get("choices") is not None:
                self.fields["choices"] = value["choices"]
                self.by_norm.setdefault("choices", ["choices"])
            value = value["stem"]
        if isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value):
            question, system = self._asked_in(value, column)
            return question, (), system
        if not isinstance(value, str):
            raise _wrong_type(self.place, "question", "text", value)
        if not value.strip():
            self.fail(", field question: it is empty; every problem needs a question")
        if len(value) > _MOST_QUESTION:
            self.fail(f", field question: it has {len(value):,} characters; at most {_MOST_QUESTION:,} are read")
        body = self._first(("body",))
        if body is not None and isinstance(self.fields[body], str):  # SVAMP: a story and its question
            self.used.add(body)
            value = f"{self.fields[body].strip()} {value.strip()}"
        return value, (), None

    def _asked_in(self, turns: Sequence[Mapping[str, Any]], column: str) -> tuple[str, str | None]:
        """Return the last user message of a conversation and its system message."""
        said: list[tuple[str, str]] = []
        for turn in turns:
            role = str(turn.get("role", turn.get("from", "")))
            text = turn.get("content", turn.get("value"))
            if isinstance(text, list):
                text = "".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
            if not isinstance(text, str):
                shown = _short(json.dumps(turn, default=str))
                self.fail(f", field {column}: a conversation of role and content was wanted, found {shown}")
            said.append(({"human": "user", "gpt": "assistant"}.get(role, role), text))
        roles = [role for role, _ in said]
        if roles not in (["user"], ["system", "user"]):
            self.fail(
                f", field {column}: a conversation of {', '.join(roles)[:60] or 'nothing'}; a problem is one user message, with a "
                "system message before it at most; conversations with replies are rows for training"
            )
        if not said[-1][1].strip():
            self.fail(f", field {column}: the user's message is empty; every problem needs a question")
        return said[-1][1], said[0][1] if roles[0] == "system" else None

    # --- choices ------------------------------------------------------------------------------------------------------

    def _choices(self, labels: list[str]) -> tuple[str, ...] | None:
        """Return the options in order; `labels` is filled with what the data set calls them, if it does."""
        mapped = self.reader.columns.get("choices")
        if mapped is not None and mapped not in self.fields:
            columns = [part.strip() for part in mapped.split(",")]
            self.used.update(columns)
            return self._options([self.fields[name] for name in columns], "choices")
        column = mapped or ("choices" if self.fields.get("choices") is not None else self._first(_CHOICES))
        if column is not None and self.fields.get(column) is not None:
            self.used.add(column)
            return self._options(self.fields[column], column, labels)
        return self._column_options(labels) or self._right_and_wrong()

    def _options(self, value: Any, name: str, labels: list[str] | None = None) -> tuple[str, ...] | None:
        labels = labels if labels is not None else []
        if isinstance(value, str):
            value = self._listed_in(value, name)
        if isinstance(value, dict):
            value = self._labelled(value, name, labels)
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            named = [(one.get("label", one.get("key")), one.get("text", one.get("value", one.get("content")))) for one in value]
            if any(text is None for _, text in named):
                shown = _short(json.dumps(value[0], default=str))
                self.fail(f", field {name}: options with label and text were wanted, found {shown}")
            if all(label is not None for label, _ in named):
                labels[:] = [str(label) for label, _ in named]
            flags = [one.get("is_correct", one.get("isCorrect", one.get("correct"))) for one in value]
            value = [text for _, text in named]
            if flags.count(True) == 1 and "answer" not in self.fields:
                self.fields["answer"] = LETTERS[flags.index(True)]
        if not isinstance(value, (list, tuple)):
            raise _wrong_type(self.place, name, "a list of texts", value)
        if value and value[-1] is None:
            value = [one for one in value if one is not None]
        if not value:
            return None
        texts = tuple(_scalar(choice, self.place, name) for choice in value)
        if not 2 <= len(texts) <= len(LETTERS):
            self.fail(f", field {name}: 2 to {len(LETTERS)} were wanted, found {len(texts)}")
        if not all(text.strip() for text in texts):
            self.fail(f", field {name}: one of them is empty: {_short(str(list(texts)))}")
        return _without_letters(texts)

    def _listed_in(self, value: str, name: str) -> Any:
        """Return the list that one text holds: a Python or JSON list, or options with their letters."""
        text = value.strip()
        if text.startswith(("[", "{")) and len(text) < 100_000:
            try:
                return parse_json(text)
            except JsonFault:
                try:
                    # literal_eval reads literals alone; text of a user's own file that is no list stays an error.
                    return ast.literal_eval(text)
                except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                    return value
        found = list(_INLINE_LABEL.finditer(text))
        marks = [one[1].lower() for one in found]
        if len(found) >= 2 and marks == [letter.lower() for letter in LETTERS[: len(found)]]:
            ends = [one.start() for one in found[1:]] + [len(text)]
            return [text[one.end() : end].strip(" ,;\n") for one, end in zip(found, ends, strict=True)]
        return value

    def _labelled(self, value: Mapping[str, Any], name: str, labels: list[str]) -> Any:
        """Return the options of an object: {"text": [...], "label": [...]} or label -> text."""
        texts = value.get("text", value.get("choices"))
        marks = value.get("label", value.get("labels"))
        if isinstance(texts, list):
            if isinstance(marks, list) and len(marks) == len(texts):
                if sorted(map(str, marks)) == ["0"] * (len(marks) - 1) + ["1"]:  # TruthfulQA: a one for the right option
                    texts = self._mixed(texts, [str(mark) for mark in marks].index("1"))
                else:
                    labels[:] = [str(mark) for mark in marks]
            return texts
        filled = {str(mark): text for mark, text in value.items() if text is not None}
        if any(isinstance(text, (dict, list)) for text in filled.values()):
            self.fail(f", field {name}: options were wanted, found {_short(json.dumps(value, default=str))}")
        labels[:] = list(filled)
        return list(filled.values())

    def _column_options(self, labels: list[str]) -> tuple[str, ...] | None:
        """Return the options that stand in columns of their own: A to D, option1 to option4, opa to opd."""
        groups: dict[str, dict[str, str]] = {}
        for column in self.fields:
            found = _OPTION_COLUMN.fullmatch(_norm(column))
            if (
                found is None
                or column in self.used
                or column in self.ignored
                or (not found["stem"] and found["mark"].isdigit())
            ):
                continue
            if isinstance(self.fields[column], (dict, list)):
                continue
            groups.setdefault(found["stem"], {})[found["mark"]] = column
        for columns in groups.values():
            marks = list(columns)
            expected = (
                [str(number) for number in range(int(marks[0]), int(marks[0]) + len(marks))] if marks[0] in "01" else None
            )
            if marks[0] == "a":
                expected = [letter.lower() for letter in LETTERS[: len(marks)]]
            if len(marks) < 2 or marks != expected:
                continue
            values = [self.fields[column] for column in columns.values()]
            while values and values[-1] is None:
                values.pop()
            if len(values) < 2:
                continue
            self.used.update(columns.values())
            labels[:] = [mark.upper() for mark in marks[: len(values)]] if marks[0] == "a" else marks[: len(values)]
            return self._options(values, " and ".join(list(columns.values())[:2]))
        return None

    def _right_and_wrong(self) -> tuple[str, ...] | None:
        """Return the options of a row that has one right answer and columns of wrong ones, in an order that gives nothing away."""
        right = self._first(("correctanswer", "bestanswer"))
        wrong = [name for name in self.fields if _norm(name).startswith(_WRONG) and not _norm(name).endswith("explanation")]
        wrong = [name for name in wrong if self.fields[name] is not None and name not in self.ignored]
        if right is None or not wrong or not isinstance(self.fields[right], (str, int, float)):
            return None
        texts: list[Any] = []
        for name in wrong:
            texts += self.fields[name] if isinstance(self.fields[name], list) else [self.fields[name]]
        self.used.update(wrong)
        options = list(dict.fromkeys(str(text).strip() for text in (self.fields[right], *texts)))
        self.used.add(right)
        return self._options(self._mixed(options, 0), wrong[0])

    def _mixed(self, texts: Sequence[Any], right: int) -> list[str]:
        """Return the options in an order that depends on their texts alone: the right one stands first in every row of the source."""
        options = [str(text) for text in texts]
        answer = options[right]
        options.sort(key=lambda text: blake2b(f"{answer}/{text}".encode("utf-8", "surrogatepass"), digest_size=8).digest())
        if len(options) <= len(LETTERS):
            self.fields.setdefault("answer", LETTERS[options.index(answer)])
        return options

    # --- answer -------------------------------------------------------------------------------------------------------

    def _answer(
        self, choices: tuple[str, ...] | None, labels: Sequence[str]
    ) -> tuple[str | bool | None, tuple[str, ...], str | None, tuple[str, ...]]:
        """Return answer, further answers that are right, and the rationale and steps that came with it."""
        column, how = self._answer_column()
        if column is None:
            return self._from_solution(choices)
        value = self.fields[column]
        self.used.add(column)
        if value is None:
            return None, (), None, ()
        accepted = self._accepted(value, column)
        if not accepted:
            return None, (), None, ()
        if choices is not None:
            letters = dict.fromkeys(self._letter(one, choices, labels, column, how) for one in accepted)
            if len(letters) > 1:
                self.fail(f", field {column}: {', '.join(letters)} are right, and a problem has one right option")
            answer = next(iter(letters))
            self._check_agreement(answer, choices, labels, column)
            return answer, (), None, ()
        first = accepted[0]
        if isinstance(first, bool):
            return first, (), None, ()
        if isinstance(first, int) and _norm(column) in _INDEX_NAMES and self.reader.columns.get("answer") != column:
            self.fail(
                f", field {column}: {first} seems to be the index of an option, and no options were found; say where they are with "
                f"--column choices=NAME, or that it is the answer itself with --column answer={column}"
            )
        texts = [_scalar(one, self.place, column) for one in accepted]
        if not texts[0].strip():
            self.fail(f", field {column}: it is empty; leave it out (or null) where there is no reference answer")
        worked = split_worked_answer(texts[0]) if len(texts) == 1 else None
        if worked is not None:
            return worked[0], (), worked[1] or None, worked[2]
        return texts[0], tuple(dict.fromkeys(text for text in texts[1:] if text.strip() and text != texts[0])), None, ()

    def _answer_column(self) -> tuple[str | None, str]:
        """Return the column of the answer and what kind of answer it holds: index, number, text or any."""
        for name, how in _HOW.items():
            if name in self.reader.columns:
                return self.reader.columns[name], how
        if "answer" in self.reader.columns:
            return self.reader.columns["answer"], "any"
        if "answer" in self.fields and "answer" not in self.ignored:
            return "answer", "any"
        found = [column for norm in _ANSWER for column in self.by_norm.get(norm, ()) if self.fields[column] is not None]
        # "correct": true is no answer; BoolQ's "answer": true is one.
        found = [
            one for one in found if one not in self.used and (_norm(one) == "answer" or not isinstance(self.fields[one], bool))
        ]
        if not found:
            model = self.fields.get("reward_model")  # verl
            if isinstance(model, dict) and "ground_truth" in model:
                self.fields["reward_model.ground_truth"] = _missing_is_none(model["ground_truth"])
                return "reward_model.ground_truth", "any"
            return None, "any"
        sure = [column for column in found if _norm(column) in ("answer", *_SURE_ANSWER)]
        if not sure and len(found) > 1 and len({str(self.fields[column]) for column in found}) > 1:
            self.fail(
                f": {_listed(found)} may all be the answer; say which with --column answer={found[0]}, and leave others out with "
                f"--column ignore={found[-1]}"
            )
        return (sure or found)[0], "any"

    def _accepted(self, value: Any, column: str) -> list[Any]:
        """Return the accepted answers that a value holds, the one to be scored first."""
        if isinstance(value, str) and not self.reader.typed and value.strip().startswith(("[", "{")):
            value = self._listed_in(value, column)
        if isinstance(value, dict):
            return self._accepted_in(value, column)
        if isinstance(value, list):
            flat = [one for one in value if one is not None]
            if any(isinstance(one, (dict, list)) for one in flat):
                found = [one for inner in flat for one in self._accepted(inner, column)]
                return list(dict.fromkeys(found))
            return flat
        return [value]

    def _accepted_in(self, value: Mapping[str, Any], column: str) -> list[Any]:
        """Return the accepted answers of TriviaQA, SQuAD and DROP."""
        lowered = {str(name).lower(): one for name, one in value.items()}
        if "value" in lowered:
            more = lowered.get("aliases") if isinstance(lowered.get("aliases"), list) else []
            return [lowered["value"], *(more or [])]
        if "number" in lowered and "spans" in lowered:
            number, spans, day = lowered["number"], lowered["spans"], lowered.get("date")
            if number not in (None, ""):
                return [str(number)]
            if isinstance(spans, list) and spans:
                return [", ".join(map(str, spans))]
            parts = [str(day[name]) for name in ("day", "month", "year") if day.get(name)] if isinstance(day, dict) else []
            return [" ".join(parts)] if parts else []
        for name in ("spans", "text", "answers", "aliases"):
            if isinstance(lowered.get(name), list):
                spans = [one for one in lowered[name] if one is not None]
                # DROP: several spans are one answer; SQuAD: several texts are several annotators' answers.
                return [", ".join(map(str, spans))] if name == "spans" and len(spans) > 1 else spans
        if isinstance(lowered.get("text"), str):
            return [lowered["text"]]
        raise _wrong_type(self.place, column, "text or a number", value)

    def _from_solution(
        self, choices: tuple[str, ...] | None
    ) -> tuple[str | None, tuple[str, ...], str | None, tuple[str, ...]]:
        """Return what a worked solution says where no column is the answer."""
        column = self._first(("solution",))
        if column is None or choices is not None or not isinstance(self.fields[column], str) or self._stands_empty("answer"):
            return None, (), None, ()
        worked = split_worked_answer(self.fields[column])
        if worked is None:
            if self.reader.columns.get("rationale") == column:
                return None, (), None, ()
            self.fail(
                f", field {column}: it holds neither \\boxed{{...}} nor ####, so where its answer stands is not known; say "
                f"what it is with --column answer={column} or rationale={column}"
            )
        self.used.add(column)
        return worked[0], (), worked[1] or None, worked[2]

    def _letter(self, value: Any, choices: tuple[str, ...], labels: Sequence[str], column: str, how: str) -> str:
        """Return the letter of the option that an answer names."""
        letters = LETTERS[: len(choices)]
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool):
            words = ("yes", "true") if value else ("no", "false")
            found = [letter for letter, text in zip(letters, choices, strict=True) if text.strip().casefold() in words]
            if len(found) == 1:
                return found[0]
            raise self._no_option(value, choices, column)
        if how in ("index", "number"):
            return self._counted(value, choices, column, 1 if how == "number" else 0)
        text = _scalar(value, self.place, column).strip()
        if not text:
            self.fail(f", field {column}: it is empty; leave it out (or null) where there is no reference answer")
        if how != "text":
            if text in labels:
                self._check_label(value, text, labels, column)
                return letters[labels.index(text)]
            if isinstance(value, str) and text.isdigit() and labels and labels[0] == "A" and int(text) <= len(choices):
                self.fail(
                    f", field {column}: {text!r} may count the options from 0 or from 1; say which with --column "
                    f"answer_index={column} or answer_number={column}"
                )
            if isinstance(value, int) or (not self.reader.typed and re.fullmatch(r"\d{1,2}", text)):
                return self._number(int(text), text, choices, column, isinstance(value, int))
            found_letter = _LETTER.fullmatch(text)
            if found_letter and found_letter[1].isupper() and found_letter[1] in letters:
                return found_letter[1]
        matched = self._matching(text, choices, column)
        if matched is not None:
            return matched
        if how != "text":
            if (both := _LETTER_AND_TEXT.fullmatch(text)) and both[1].upper() in letters:
                letter = both[1].upper()
                if self._matching(both[2], choices, column) == letter:
                    return letter
            if found_letter and found_letter[1].upper() in letters:
                return found_letter[1].upper()
            if re.fullmatch(r"\d{1,2}", text) and int(text) < len(choices):  # HellaSwag writes the index as text
                return self._index(int(text), choices)
        raise self._no_option(value, choices, column)

    def _check_label(self, value: Any, text: str, labels: Sequence[str], column: str) -> None:
        """Raise TaskError for a JSON number that is the label of one option and the index of another (`sol1`, `sol2` and 1)."""
        if isinstance(value, int) and text.isdigit() and int(text) < len(labels) and labels.index(text) != int(text):
            self.fail(
                f", field {column}: {text} is the number of one option and the index of another; say which with --column "
                f"answer_number={column} or answer_index={column}"
            )

    def _number(self, number: int, text: str, choices: tuple[str, ...], column: str, is_number: bool) -> str:
        """Return the letter of a whole number: an index from 0, as MMLU has it, unless the options are such numbers themselves."""
        letters = LETTERS[: len(choices)]
        raw = self.fields.get(self.reader.columns.get("choices", "choices"))
        # Options that are JSON numbers themselves (or, in CSV, anything) may well be named by their value.
        by_value = [letter for letter, choice in zip(letters, choices, strict=True) if choice.strip() == text]
        may_be_value = by_value and (
            not is_number or (isinstance(raw, list) and all(isinstance(one, (int, float)) for one in raw))
        )
        if may_be_value:
            if not 0 <= number < len(choices) or (by_value == [letters[number]]):
                if len(by_value) == 1:
                    return by_value[0]
                self.fail(f", field {column}: {number} is the text of choices {' and '.join(by_value)}; give the letter")
            self.fail(
                f", field {column}: {number} is option {by_value[0]} by its text and option {letters[number]} counted from 0; say "
                f"which with --column answer_text={column} or answer_index={column} (answer_number counts from 1)"
            )
        if 0 <= number < len(choices):
            if any(re.fullmatch(r"[-+]?[\d.,]+", choice.strip()) for choice in choices):
                note = f"answers of the field {column} are read as indices from 0, and some options are numbers"
                self.reader.notes[note] = None
            return self._index(number, choices)
        if number == len(choices):
            raise CountedFromOne(
                f"{self.place}, field {column}: {number} is no index of {len(choices)} options, which count from 0; where they count "
                f"from 1 say so with --column answer_number={column}"
            )
        raise self._no_option(number, choices, column)

    def _index(self, index: int, choices: tuple[str, ...]) -> str:
        self.reader.indices.append((index, len(choices)))
        return LETTERS[index]

    def _counted(self, value: Any, choices: tuple[str, ...], column: str, first: int) -> str:
        text = str(value).strip()
        if not re.fullmatch(r"\d{1,3}", text) or not first <= int(text) < first + len(choices):
            last = first + len(choices) - 1
            self.fail(f", field {column}: a whole number from {first} to {last} was wanted, found {_short(text, 40)!r}")
        return LETTERS[int(text) - first]

    def _matching(self, text: str, choices: tuple[str, ...], column: str) -> str | None:
        """Return the letter of the one option with this text, or None; raises TaskError where several have it."""
        letters = LETTERS[: len(choices)]
        for fold in (str.strip, lambda one: one.strip().casefold()):
            matches = [letter for letter, choice in zip(letters, choices, strict=True) if fold(choice) == fold(text)]
            if len(matches) == 1:
                return matches[0]
            if matches:
                self.fail(
                    f", field {column}: {_short(text, 40)!r} is the text of choices {' and '.join(matches)}; give the letter"
                )
        return None

    def _no_option(self, value: Any, choices: tuple[str, ...], column: str) -> TaskError:
        letters, shown = LETTERS[: len(choices)], _short(str(list(choices)), 120)
        found = f"{_short(str(value), 40)!r} is neither a letter {letters[0]} to {letters[-1]} nor among {shown}"
        return TaskError(f"{self.place}, field {column}: {found}")

    def _check_agreement(self, answer: str, choices: tuple[str, ...], labels: Sequence[str], column: str) -> None:
        """Raise TaskError where another column names another option as the right one."""
        for name in self.fields:
            if name in self.used or name in self.ignored or _norm(name) not in _SURE_ANSWER or self.fields[name] is None:
                continue
            reader = Reader(typed=self.reader.typed)
            try:
                other = _Row(reader, self.fields, self.place)._letter(self.fields[name], choices, labels, name, "any")
            except TaskError:
                continue
            self.used.add(name)
            if other != answer:
                self.fail(
                    f": {column} says that {answer} is right and {name} that {other} is; say which counts with --column "
                    f"answer={column}, and leave the other out with --column ignore={name}"
                )

    # --- the rest -----------------------------------------------------------------------------------------------------

    def _look_for_more(self, *, answer_found: bool, choices_found: bool) -> None:
        """Raise TaskError where a column that is not understood looks like a field that was not found."""
        for missing in [*(() if answer_found else ("answer",)), *(() if choices_found else ("choices",))]:
            if missing == "choices" and self._stands_empty("choices"):
                continue
            for column, value in self.fields.items():
                if (
                    column in self.used
                    or column in self.ignored
                    or column in FIELDS
                    or value is None
                    or isinstance(value, bool)
                ):
                    continue
                norm = _norm(column)
                alike = get_close_matches(norm, (missing, "options") if missing == "choices" else (missing,), n=1, cutoff=0.8)
                if not (_LOOKS_LIKE[missing].search(norm) or alike):
                    continue
                if missing == "choices" and not isinstance(value, (list, dict)) and not (alike and isinstance(value, str)):
                    continue  # a text or a number is no list of options ("choice_type", "num_options")
                shown, wanted = _short(column, 60), "the answer" if missing == "answer" else "the options"
                self.fail(
                    f": the column {shown!r} looks like {wanted} and was not understood; say so with --column {missing}={shown}, or "
                    f"leave it out with --column ignore={shown}"
                )

    def _context(self) -> tuple[str, ...]:
        column = self._named("context", _CONTEXT)
        if column is None or self.fields.get(column) is None:
            return ()
        self.used.add(column)
        value = self.fields[column]
        if isinstance(value, dict) and isinstance(value.get("contexts"), list):  # PubMedQA
            value = value["contexts"]
        return _texts([value] if isinstance(value, str) else value, column, self.place)

    def _rationale(self) -> str | None:
        column = self._named("rationale", _RATIONALE)
        if column is None or self.fields.get(column) is None:
            return None
        value = self.fields[column]
        if not isinstance(value, str):
            if column in ("rationale", self.reader.columns.get("rationale")):
                raise _wrong_type(self.place, "rationale", "text", value)
            return None
        self.used.add(column)
        return value

    def _identity(self, default: str) -> str:
        column = self.reader.columns.get("id")
        if column is None:
            # A name of another data set's that need not differ from row to row is no id; the row's number is.
            column = "id" if self.fields.get("id") is not None else None
        if column is None:
            found = self._first(_ID)
            value = self.fields[found] if found is not None else None
            if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
                self.used.add(str(found))
                return str(value)
            return default
        self.used.add(column)
        value = self.fields[column]
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise _wrong_type(self.place, "id", "text or a whole number", value)
        if not str(value).strip():
            self.fail(", field id: it is empty; leave the field out to use the line number")
        return str(value)

    def _check_text(self) -> None:
        try:
            json.dumps(self.fields, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            self.fail(f": it holds half of a surrogate pair ({half!r}), which is no text")


def _missing_is_none(value: Any) -> Any:
    """Return None for the NaN that frames write where something is missing."""
    return None if isinstance(value, float) and value != value else value


def _without_letters(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the options without letters of their own in front ("A) 21", "B) 22"), if all of them have theirs in order."""
    parts = [_LETTER_AND_TEXT.fullmatch(text.strip()) for text in texts]
    if all(part is not None and part[1].upper() == LETTERS[place] for place, part in enumerate(parts)):
        return tuple(part[2].strip() for part in parts if part is not None)
    return texts


def _scalar(value: Any, place: str, name: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (str, int, float)):
        raise _wrong_type(place, name, "text or a number", value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)  # a frame makes 18.0 of 18 where another row has none
    return str(value)


def _texts(value: Any, name: str, place: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise _wrong_type(place, name, "a list of texts", value)
    for item in value:
        if not isinstance(item, str):
            raise _wrong_type(place, name, "a list of texts", item)
    return tuple(value)


def _wrong_type(place: str, name: str, wanted: str, value: Any) -> TaskError:
    shown = _short(json.dumps(value, default=str))
    return TaskError(f"{place}, field {_short(name, 60)}: {wanted} was wanted, found {_kind(value)}: {shown}")


def _kind(value: Any) -> str:
    names = {bool: "true or false", dict: "an object", list: "a list", str: "text", type(None): "null"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


def _short(text: str, length: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + "..."


def _listed(names: Sequence[str]) -> str:
    return _short(", ".join(_short(name, 40) for name in names), 200)
