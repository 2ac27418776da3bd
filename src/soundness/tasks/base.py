"""A task: problems, how they are put to a model, and how their answers are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any, Protocol

from soundness.answers.graders import Grader, load_grader
from soundness.errors import SettingError, TaskError
from soundness.records import LETTERS, Problem, Prompt, Stop, Turn
from soundness.tasks.examples import built_in_examples
from soundness.tasks.fields import problem_from_row
from soundness.tasks.prompts import DEFAULT_FEW_SHOT, FORMATS, QUESTION_LABEL, Prompting

__all__ = ["CHOICE_INSTRUCTION", "CUE", "OPEN_INSTRUCTION", "TERMINATOR", "Renders", "Task", "load_task"]

OPEN_INSTRUCTION = FORMATS["line"].open_instruction
CHOICE_INSTRUCTION = FORMATS["line"].choice_instruction
CUE = FORMATS["line"].cue
TERMINATOR = FORMATS["line"].terminator


class Renders(Protocol):
    """Whatever makes a prompt of a message; a model that also has `instructed` False is shown worked examples."""

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
        """Return the prompt that asks `message`."""
        ...


def own_turns(problem: Problem) -> tuple[Turn, ...]:
    """Return the conversation that a problem brings to be asked in, from `meta["prompt_turns"]`; empty where it brings none."""
    given = problem.meta.get("prompt_turns")
    if not isinstance(given, list) or not given:
        return ()
    for turn in given:
        pair = isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn)
        if not pair or turn[0] not in ("system", "user", "assistant"):
            return ()  # a field of another's that has this name
    return tuple(Turn(role, content) for role, content in given) if given[-1][0] == "user" else ()


@dataclass(frozen=True)
class Task:
    r"""Problems with one way of asking them.

    >>> task = Task("sums", (Problem("1", "What is 2 + 2?", "4"),))
    >>> print(task.message(task.problems[0]))
    What is 2 + 2?
    Think step by step, then end with a line 'Answer: ' followed by the answer.
    >>> task.cue + task.continuation("4")
    '\nAnswer: 4\n'
    """

    name: str
    """Short label for tables."""
    problems: tuple[Problem, ...]
    """At least one, their ids unique."""
    instruction: str | None = None
    """Last line of every message; None picks the answer format's for open or choice problems, "" leaves it out."""
    cue: str = CUE
    """What is written after a chain to ask for its answer; conditioned on, never scored."""
    terminator: str = TERMINATOR
    """What closes an open answer, scored with it because "1" is a prefix of "12"; letters need none, nor do whole words ("")."""
    lead: str = FORMATS["line"].lead
    """What stands between cue and answer, scored with the answer."""
    prompting: Prompting = Prompting()
    """How the problems are put to a model; `with_prompting` changes it together with the fields above."""
    grader: Grader | None = None
    """What says whether a text is right where no rule can (`load_grader`); None reads answers by rule."""
    examples: tuple[Problem, ...] = ()
    """Worked examples to choose from; where there are none, built-in ones are shown to models that need some."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What was taken for what when the rows were read, in words."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "problems", tuple(self.problems))
        object.__setattr__(self, "examples", tuple(self.examples))
        if not self.problems:
            raise TaskError(f"the task {self.name!r} has no problems; it needs at least one")
        if len(self.by_id) != len(self.problems):
            seen: set[str] = set()
            twice = next(p.id for p in self.problems if p.id in seen or seen.add(p.id))  # type: ignore[func-returns-value]
            raise TaskError(f"the task {self.name!r} has two problems with the id {twice!r}; ids must differ")

    @cached_property
    def by_id(self) -> Mapping[str, Problem]:
        """The problems by their id."""
        return {problem.id: problem for problem in self.problems}

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of everything a model or a grader sees; the name is not part of it."""
        content: dict[str, Any] = {
            "problems": [asdict(problem) for problem in self.problems],
            "instruction": self.instruction,
            "cue": self.cue,
            "terminator": self.terminator,
        }
        # Only where they differ from the defaults, so that a run made before they existed goes on.
        if self.lead != FORMATS["line"].lead:
            content["lead"] = self.lead
        if self.prompting.given:
            content["prompting"] = self.prompting.given
        if self.grader is not None:
            content["grader"] = self.grader.name
        if self.examples and self.prompting.few_shot != 0 and self.prompting.given:
            content["examples"] = [asdict(problem) for problem in self.examples]
        return blake2b(json.dumps(content, sort_keys=True, allow_nan=False).encode(), digest_size=16).hexdigest()

    def with_prompting(self, prompting: Prompting, examples: Sequence[Problem] | None = None) -> Task:
        """Return the task asked as `prompting` says; `examples` are worked examples that were read for it.

        An answer format replaces instruction, cue and terminator of the task; without one each is replaced where it is given.
        Raises TaskError for a format that does not fit the problems and for fewer worked examples than `few_shot`.
        """
        form, given = prompting.form, prompting.answer_format is not None
        if prompting.answer_format == "letter" and (lacking := next((p for p in self.problems if not p.choices), None)):
            raise TaskError(
                f"answer_format letter is for problems with choices, and {lacking.id!r} has none: use line, boxed or json"
            )
        if prompting.examples:
            examples = [
                problem_from_row(row, place=f"example {number}", default_id=f"example-{number}")
                for number, row in enumerate(prompting.examples, 1)
            ]
        task = replace(
            self,
            instruction=prompting.instruction if given or prompting.instruction is not None else self.instruction,
            cue=form.cue if given or prompting.cue is not None else self.cue,
            terminator=form.terminator if given or prompting.terminator is not None else self.terminator,
            lead=form.lead if given else self.lead,
            prompting=prompting,
            examples=self.examples if examples is None else tuple(examples),
        )
        task.turns(task.problems[0])
        return task

    def message(self, problem: Problem) -> str:
        """Return what the user turn says: context passages, question, lettered choices, instruction."""
        form = self.prompting.form
        instruction = self.instruction
        if instruction is None:
            instruction = form.open_instruction if problem.choices is None else form.choice_instruction
        return self._message(problem, instruction)

    @staticmethod
    def _message(problem: Problem, instruction: str) -> str:
        parts = ["\n".join(problem.context)] if problem.context else []
        lines = [problem.question]
        lines += [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(problem.choices or ())]
        if instruction:
            lines.append(instruction)
        return "\n\n".join([*parts, "\n".join(lines)])

    def worked(self, problem: Problem) -> str:
        r"""Return the solution of a worked example as a model should write it: steps, then the answer in the task's format.

        >>> task = Task("sums", (Problem("1", "2 + 2?", "4"),))
        >>> task.worked(Problem("2", "1 + 2 + 3?", "6", steps=("1 + 2 = 3", "3 + 3 = 6")))
        '1 + 2 = 3\n3 + 3 = 6\nAnswer: 6'
        """
        reasons = "\n".join(problem.steps) if problem.steps else problem.rationale or ""
        closing = f"{self.cue.lstrip(chr(10))}{self.lead}{problem.answer}{self.terminator}".rstrip("\n")
        return f"{reasons.strip()}\n{closing}" if reasons.strip() else closing

    def turns(self, problem: Problem, *, plain: bool = False) -> tuple[Turn, ...]:
        """Return the conversation that asks `problem`: system message, worked examples, message.

        `plain` is for a model that was never taught to answer a message: it is shown worked examples even where none were asked
        for, and no instruction but the one that was given, since the examples show the form. Raises TaskError where there are
        fewer worked examples than were asked for. A problem that was
        asked in a conversation of its own is asked in that one (`meta["prompt_turns"]`).
        """
        if own := own_turns(problem):
            return (
                own if own[0].role == "system" or not self.prompting.system else (Turn("system", self.prompting.system), *own)
            )
        examples = self._shown(problem, plain)
        if plain and examples:
            told = self.prompting.instruction or self.instruction or ""
            head = "\n\n".join(part for part in (self.prompting.system, told) if part)
            ask = [self._message(one, "") for one in (*examples, problem)]
        else:
            head = self.prompting.system or ""
            ask = [self.message(one) for one in (*examples, problem)]
        turns = [Turn("system", head)] if head else []
        for message, example in zip(ask, examples, strict=False):
            turns += [Turn("user", message), Turn("assistant", self.worked(example))]
        return (*turns, Turn("user", ask[-1]))

    def _shown(self, problem: Problem, plain: bool) -> tuple[Problem, ...]:
        """Return the worked examples before `problem`, itself never among them."""
        wanted, own = self.prompting.few_shot, self.prompting.examples
        if wanted is None:
            asked = bool(own or self.prompting.few_shot_from)
            # A task with no instruction at all has a form of its own, which its models know.
            wanted = len(own) if own else DEFAULT_FEW_SHOT if asked or (plain and self.instruction != "") else 0
        if not wanted:
            return ()
        pool = self.examples or built_in_examples(self.problems, problem.choices is not None)
        usable = [one for one in pool if one.question != problem.question]
        if len(usable) < wanted and self.prompting.few_shot is not None:
            source = "read" if self.examples else "built in"
            raise TaskError(
                f"few_shot is {wanted}, and {len(usable)} worked examples are {source}: name more with few_shot_from, or write them"
            )
        return tuple(usable[:wanted])

    def prompt(self, model: Renders, problem: Problem) -> Prompt:
        """Return the prompt that asks `model` for `problem`, with where its reply ends.

        Raises TaskError as `turns` does, and what the model raises for a template that it cannot fill.
        """
        prompting = self.prompting
        plain = prompting.template == "none" or not (prompting.chat_template or getattr(model, "instructed", True))
        turns = self.turns(problem, plain=plain)
        if len(turns) == 1 and not prompting.given:
            return model.render(turns[0].content)
        prompt = model.render(turns, prompting)
        stop = self.stop(worked=plain and len(turns) > 1)
        return prompt if stop is None else replace(prompt, stop=stop.joined(prompt.stop))

    def stop(self, *, worked: bool = False) -> Stop | None:
        """Return where a reply ends besides the model's own end; `worked` is for plain text that ends in one more question.

        A model without template never ends by itself: it goes on with a question of its own, so it is stopped behind its first
        complete answer line.
        """
        strings = tuple(one for one in self.prompting.stop if isinstance(one, str))
        ids = tuple(one for one in self.prompting.stop if isinstance(one, int))
        line = None
        if worked:
            strings = (*strings, f"\n{QUESTION_LABEL.strip()}")
            form, cue = FORMATS[self.prompting.answer_format or "line"], self.cue.strip()
            # A cue of the task's own: its line is complete once something stands behind the cue.
            line = form.complete if self.cue == form.cue else rf"^[ \t]*{re.escape(cue)}[^\n]*[^\s][^\n]*\n"
        return Stop(strings, ids, line) if strings or ids or line else None

    def continuation(self, answer: str, problem: Problem | None = None) -> str:
        """Return the text scored after `cue`: `lead`, the answer and, for open answers, `terminator`.

        A task that mixes open and choice problems needs `problem` to know which is which; without it every answer of
        such a task is closed by the terminator.
        """
        problems = self.problems if problem is None else (problem,)
        closed = any(p.choices is None for p in problems)
        return f"{self.lead}{answer}{self.terminator if closed else ''}"

    @property
    def asked_until(self) -> str:
        """What ends the reply to `cue`: the terminator, or the line's end where an answer may hold the terminator itself."""
        return "\n" if self.terminator.startswith(("}", '"')) else self.terminator

    def read_asked(self, reply: str) -> str | None:
        r"""Return the open answer that a reply to `cue` gives, or None where it is empty or was never closed.

        >>> Task("t", (Problem("1", "?", "1"),), terminator="}").read_asked("\\frac{1}{2}} is it")
        '\\frac{1}{2}'
        """
        if not self.terminator:
            return reply.strip() or None
        depth = 0
        for place, letter in enumerate(reply):
            if reply.startswith(self.terminator, place) and depth == 0:
                return reply[:place].strip() or None
            if self.terminator.startswith("}"):  # a brace that the answer opens is its own to close
                depth += {"{": 1, "}": -1}.get(letter, 0)
        return (reply.strip() or None) if self.terminator == "\n" else None


def load_task(
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
    grader: str | Grader | None = None,
    trust_grader: bool = False,
) -> Task:
    """Return the task that `source` names or holds.

    `source` is the path of a file (JSON Lines, JSON, Parquet, CSV, TSV) or of the TOML beside it; `hub:NAME[:CONFIG[:SPLIT]]` for a
    Hugging Face data set, `hub:FOLDER[:SPLIT]` for one saved to disk; a world with options, such as `chain-sum:operators=4,n=200`; or
    rows that a program holds: dictionaries, a `datasets.Dataset`, a frame. `columns` maps our field names to the source's.

    Rows are taken in this order: those of `split`, in the order of `shuffle` (True or a seed), without the first `skip`, those of
    `select` ("100:200"), the first `limit`. A world without `n` makes as many problems as `limit` says, else 100; `seed` draws them.
    `prompt` says how the problems are put to a model, over what the file and its TOML say. `grader` judges what no rule reads, such
    as `my_file.py:grade`; one that a task file names is a program that came with it and is run with `trust_grader` alone. Raises
    TaskError or SettingError.
    """
    # Imported here: what loads tasks is made of them.
    from soundness.tasks.load import Selection, load

    if isinstance(source, Task):
        raise SettingError(f"{source.name} is a task already; use task.with_prompting(...) to change how it is asked")
    selection = Selection(limit=limit, select=select, skip=skip, shuffle=shuffle, split=split)
    task = load(
        source,
        selection,
        seed=seed,
        columns=columns,
        prompt=prompt,
        name=name,
        trust_grader=None if grader is not None else trust_grader,
    )
    return task if grader is None else replace(task, grader=load_grader(grader) if isinstance(grader, str) else grader)
