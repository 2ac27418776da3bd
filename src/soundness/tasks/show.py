"""What a task looks like before anything is spent on it: a few problems as a model will see them, with what is expected of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from soundness.records import Problem
from soundness.tasks.base import Renders, Task

__all__ = ["show_task"]

_RULE = "-" * 12


def show_task(task: Task, *, num: int = 3, model: Renders | None = None) -> str:
    r"""Return the first `num` problems of a task as text: what is asked, what is expected, and what the rows were taken for.

    With `model` its own prompt is shown, template and all; without one the conversation, each turn under its role.

    >>> task = Task("sums", (Problem("1", "2 + 2?", "4"),), instruction="")
    >>> print(show_task(task))
    sums: 1 problem (1 open), 1 with a reference answer; answered after '\nAnswer:'
    ------------ problem 1
    [user]
    2 + 2?
    ------------ expected: 4
    """
    lines = [_summary(task), *(f"note: {note}" for note in task.notes)]
    for problem in task.problems[:num]:
        lines.append(f"{_RULE} problem {problem.id}")
        if model is not None:
            prompt = task.prompt(model, problem)
            lines.append(prompt.text.rstrip("\n"))
        else:
            lines += [f"[{turn.role}]\n{turn.content}" for turn in task.turns(problem)]
        lines.append(f"{_RULE} expected: {_expected(problem)}")
    left = len(task.problems) - num
    if left > 0:
        lines.append(f"and {left:,} more")
    return "\n".join(lines)


def _summary(task: Task) -> str:
    problems = task.problems
    kinds = [f"{sum(p.choices is None for p in problems):,} open"] if any(p.choices is None for p in problems) else []
    sizes = Counter(len(p.choices) for p in problems if p.choices is not None)
    kinds += [f"{count:,} of {size} choices" for size, count in sorted(sizes.items())]
    answered = sum(p.answer is not None for p in problems)
    parts = [f"{task.name}: {len(problems):,} problem{'s' if len(problems) != 1 else ''} ({', '.join(kinds)})"]
    parts.append(f"{answered:,} with a reference answer")
    for name in ("steps", "rationale", "facts", "context"):
        held = sum(bool(getattr(p, name)) for p in problems)
        if held:
            parts.append(f"{held:,} with {name}")
    grader = f"graded by {task.grader.name}" if task.grader is not None else f"answered after {task.cue!r}"
    extra = sorted({name for p in problems[:1000] for name in p.meta} - {"aliases"})
    return f"{', '.join(parts)}; {grader}" + (f"; not used: {_listed(extra)}" if extra else "")


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(name[:40] for name in names)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _expected(problem: Problem) -> str:
    if problem.answer is None:
        return "no reference answer"
    if problem.choices is not None:
        return f"{problem.answer} ({problem.answer_text})"
    return " or ".join(problem.accepted)
