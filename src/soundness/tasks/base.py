"""A task: problems, how they are put to a model, and how their answers are asked for."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from soundness.errors import SettingError, TaskError, near
from soundness.records import LETTERS, Problem

__all__ = ["CHOICE_INSTRUCTION", "CUE", "OPEN_INSTRUCTION", "TERMINATOR", "Task", "load_task"]

OPEN_INSTRUCTION = "Think step by step, then end with a line 'Answer: ' followed by the answer."
CHOICE_INSTRUCTION = "Think step by step, then end with a line 'Answer: ' followed by the letter."
CUE = "\nAnswer:"
TERMINATOR = "\n"


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
    """Last line of every message; None picks the default for open or choice problems, "" leaves it out."""
    cue: str = CUE
    """What is written after a chain to ask for its answer; conditioned on, never scored."""
    terminator: str = TERMINATOR
    """What closes an open answer, scored with it because "1" is a prefix of "12"; letters need none, nor do whole words ("")."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "problems", tuple(self.problems))
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
        content = {
            "problems": [asdict(problem) for problem in self.problems],
            "instruction": self.instruction,
            "cue": self.cue,
            "terminator": self.terminator,
        }
        return blake2b(json.dumps(content, sort_keys=True, allow_nan=False).encode(), digest_size=16).hexdigest()

    def message(self, problem: Problem) -> str:
        """Return what the user turn says: context passages, question, lettered choices, instruction."""
        parts = ["\n".join(problem.context)] if problem.context else []
        lines = [problem.question]
        lines += [f"{LETTERS[i]}. {choice}" for i, choice in enumerate(problem.choices or ())]
        instruction = self.instruction
        if instruction is None:
            instruction = OPEN_INSTRUCTION if problem.choices is None else CHOICE_INSTRUCTION
        if instruction:
            lines.append(instruction)
        return "\n\n".join([*parts, "\n".join(lines)])

    def continuation(self, answer: str, problem: Problem | None = None) -> str:
        """Return the text scored after `cue`: a space, the answer and, for open answers, `terminator`.

        A task that mixes open and choice problems needs `problem` to know which is which; without it every answer of
        such a task is closed by the terminator.
        """
        problems = self.problems if problem is None else (problem,)
        closed = any(p.choices is None for p in problems)
        return f" {answer}{self.terminator if closed else ''}"


def load_task(
    spec: str,
    *,
    limit: int | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
) -> Task:
    """Return the task that `spec` names.

    `spec` is the path of a JSON Lines file; `hub:NAME[:CONFIG[:SPLIT]]` for a Hugging Face data set; `hub:FOLDER[:SPLIT]` for
    one saved to disk; or a world with options, such as `chain-sum:operators=4,n=200`. `limit` keeps the first problems of a
    file, a data set or a world's `n`; a world without `n` makes as many as `limit` says, else 100. `seed` draws a world's items.
    `columns` maps our field names to a data set's columns. Raises TaskError or SettingError.
    """
    # Imported here: worlds are made of tasks, so this module cannot need them while it loads.
    from soundness.tasks.hub import load_hub, split_hub_spec
    from soundness.tasks.jsonl import load_jsonl
    from soundness.tasks.worlds import WORLDS

    if limit is not None and limit < 1:
        raise SettingError(f"limit must be at least 1, and it is {limit}")
    if spec.startswith("hub:"):
        name, config, split = split_hub_spec(spec.removeprefix("hub:"))
        label = ":".join(part for part in (Path(name).name if Path(name).is_dir() else name, config, split) if part)
        return Task(label, tuple(load_hub(name, config, split, columns, limit)))
    # The longest name first: a world's own name may hold a colon ("organism:domain").
    named = max((name for name in WORLDS if f"{spec}:".startswith(f"{name}:")), key=len, default=None)
    world, _, options = (named, "", spec[len(named) + 1 :]) if named else spec.partition(":")
    path = Path(spec).expanduser()
    if world in WORLDS and not path.is_file():
        return _make_world(WORLDS[world], world, options, limit, seed)
    if path.is_dir():
        raise TaskError(f"{spec} is a folder; a task is a JSON Lines file, or hub:{spec} for a data set saved to disk")
    if path.is_file() or path.suffix in {".jsonl", ".json", ".ndjson"} or "/" in spec:
        if columns:
            raise SettingError("columns are for hub: data sets; rename the fields of a JSON Lines file instead")
        return Task(path.stem, tuple(load_jsonl(path, limit)))
    raise TaskError(
        f"there is no task {spec!r}{near(world, WORLDS) or near(spec, WORLDS)}: give a JSON Lines file, "
        f"hub:NAME[:CONFIG[:SPLIT]], or one of the worlds {', '.join(WORLDS)}"
    )


def _make_world(generate: Callable[..., Task], world: str, options: str, limit: int | None, seed: int) -> Task:
    known = [name for name in inspect.signature(generate).parameters if name != "seed"]
    settings: dict[str, int] = {}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        if name not in known:
            raise TaskError(f"the world {world} has no option {name!r}{near(name, known)}; it has {', '.join(known)}")
        flags = {"true": 1, "false": 0}
        try:
            settings[name] = flags[value.lower()] if value.lower() in flags else int(value)
        except ValueError:
            raise TaskError(f"{world}:{name} needs a whole number, and it is {value!r}; write for example {name}=4") from None
    if limit is not None:
        settings["n"] = min(limit, settings.get("n", limit))
    return generate(**{"n": 100, **settings}, seed=seed)
