"""Format flexibility (2509.20866): the same problem as choice, open answer, ranked list, JSON, and without the trained template.

A model that can do the task in one dress only has learned the dress. Each format is asked greedily, graded for its form
(valid) and its answer (right). A chain that skips the asked form and closes in the trained one ("Answer: ...") is off task.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from soundness.answers import grade, same_answer, split_channels
from soundness.metrics.base import NO_REFERENCE, CorpusMetric, Job, Metric, MetricGroup, Reader
from soundness.models.cached import CachedModel
from soundness.records import LETTERS, Finish, Outcome, Problem, Score
from soundness.tasks.base import Task

__all__ = ["FORMATS", "Formats", "Graded", "as_choice", "format_message", "grade_format", "relative"]

Floats = NDArray[np.float64]

FORMATS = {
    "choice": "multiple choice",
    "open": "an open answer",
    "ranked": "a numbered list of three answers, best first",
    "json": "a JSON object",
    "bare": "the question alone, without chat template and instruction",
}
"""Format -> what is asked for."""

_RANKED = "Give your three best answers as a numbered list, the most likely first, and nothing else."
_JSON = 'Reply with one JSON object and nothing else: {"answer": ...}.'
_OPTIONS = 4

NO_OPTIONS = "no other answers to choose among"


class Graded(NamedTuple):
    """One reply in one format."""

    valid: bool
    """Whether it has the asked form."""
    right: bool
    """Whether it has the asked form and the right answer."""
    off_task: bool
    """Whether it has not, and closes in the trained form instead."""


def as_choice(problem: Problem, answers: Sequence[str], *, seed: int) -> Problem | None:
    """Return the problem with options: its own, or its answer among answers of other problems; None where there are too few.

    The draw depends on seed and problem id alone.
    """
    if problem.choices is not None:
        return problem
    if problem.answer is None:
        return None
    others = [one for one in dict.fromkeys(answers) if not same_answer(problem.answer, one)]
    if not others:
        return None
    rng = random.Random(f"choice/{seed}/{problem.id}")
    options = [problem.answer, *rng.sample(sorted(others), min(_OPTIONS - 1, len(others)))]
    rng.shuffle(options)
    return replace(problem, choices=tuple(options), answer=LETTERS[options.index(problem.answer)])


def as_open(problem: Problem) -> Problem:
    """Return the problem without its options, the answer in words."""
    return replace(problem, choices=None, answer=problem.answer_text)


def format_message(problem: Problem, form: str, task: Task, choice: Problem | None) -> str | None:
    """Return what is asked in format `form`; None where there are no options to choose from."""
    if form == "choice":
        return None if choice is None else Task(task.name, (choice,)).message(choice)
    plain = as_open(problem)
    instruction = {"open": None, "ranked": _RANKED, "json": _JSON, "bare": ""}[form]
    return Task(task.name, (plain,), instruction).message(plain)


def grade_format(text: str, finish: Finish, form: str, problem: Problem, choice: Problem | None) -> Graded:
    r"""Return what became of one reply.

    >>> sums = Problem("1", "2 + 2?", "4")
    >>> grade_format('{"answer": 4}', "stop", "json", sums, None)
    Graded(valid=True, right=True, off_task=False)
    >>> grade_format("2 + 2 = 4\nAnswer: 4", "stop", "json", sums, None)
    Graded(valid=False, right=False, off_task=True)
    """
    plain = as_open(problem)
    if form in ("choice", "open", "bare"):
        asked = choice if form == "choice" and choice is not None else plain
        graded = grade(text, finish, asked)
        valid = graded.outcome in (Outcome.RIGHT, Outcome.WRONG)
        return Graded(valid, graded.outcome is Outcome.RIGHT, False)
    said = split_channels(text).said.of(text)
    found = _json_answer(said) if form == "json" else _first_of_list(said)
    trained = problem if problem.choices is not None else plain
    off_task = found is None and re.search(r"(?im)^[\s*_#>-]*answer[\s*_]*:", said) is not None
    off_task = off_task and grade(text, finish, trained).answer is not None
    right = found is not None and plain.answer is not None and same_answer(plain.answer, found)
    return Graded(found is not None, right, off_task)


def _json_answer(text: str) -> str | None:
    """Return the answer in the first JSON object of `text`, or None."""
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = json.JSONDecoder().raw_decode(text[start:])
        except ValueError:
            start = text.find("{", start + 1)
            continue
        value = found.get("answer") if isinstance(found, dict) else None
        plain = isinstance(value, (str, int, float)) and not isinstance(value, bool)
        return str(value) if plain and str(value).strip() else None
    return None


def _first_of_list(text: str) -> str | None:
    """Return the first item of a numbered list of at least two, or None."""
    items = re.findall(r"(?m)^\W*([1-9])[.)][ \t]+(.+?)[ \t]*$", text)
    return items[0][1].strip("*. ") if len(items) >= 2 and [number for number, _ in items[:2]] == ["1", "2"] else None


def relative(columns: Floats, weights: Floats) -> Floats:
    """Return mean accuracy over formats divided by the best format's, one per row of weights; NaN where none is ever right.

    >>> relative(np.array([[1, 1], [1, 0]]), np.ones((1, 2))).tolist()
    [0.75]
    """
    total = weights.sum(axis=1)
    accuracy = weights @ columns.T / np.where(total > 0, total, 1)[:, None]  # (R, formats)
    best = accuracy.max(axis=1)
    return np.where((total > 0) & (best > 0), accuracy.mean(axis=1) / np.where(best > 0, best, 1), np.nan)


def _metrics() -> Iterator[Metric]:
    for form, words in FORMATS.items():
        yield Metric(
            name=f"format_right_{form}",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more right in this format",
            description=(
                f"Share of problems answered rightly when {words} is asked for, 0..1; what cannot be read is not right."
            ),
            limitations="Whether the form or the answer failed: see format_valid.",
            source="2509.20866",
        )
        yield Metric(
            name=f"format_valid_{form}",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="the asked form is kept more often",
            description=f"Share of replies that can be read as {words}, 0..1.",
            limitations="Whether they are right.",
            source="2509.20866",
        )


class Formats(MetricGroup):
    """The same problems in other dress; asked in a phase of its own."""

    name = "formats"
    readers = (Reader.NOBODY,)
    cost = "one chain per problem in each of five formats"
    corpus = (
        CorpusMetric(
            Metric(
                name="format_flexibility",
                unit="fraction",
                direction="up",
                bounds=(0.0, 1.0),
                higher_means="accuracy depends less on the format",
                description="Mean accuracy over five formats divided by the best format's, 0..1; 1 where all do equally well.",
                limitations="How good the best one is.",
                source="2509.20866",
            ),
            tuple(f"format_right_{form}" for form in FORMATS),
            relative,
        ),
    )
    metrics = (
        *_metrics(),
        Metric(
            name="format_off_task",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="more replies fall back to the trained format",
            description="Share of replies that were to be a list or JSON and close with an answer line instead, 0..1.",
            limitations="Whether the answer was right.",
            source="2211.00635",
        ),
    )

    def ask(self, job: Job) -> Iterator[Score]:
        """Yield, for each model, problem and format, whether the greedy reply has the form and is right."""
        for name, model in job.models.items():
            yield from _ask_formats(model, job.task, name, job)


def _ask_formats(model: CachedModel, task: Task, name: str, job: Job) -> Iterator[Score]:
    answers = sorted({problem.answer for problem in task.problems if problem.answer is not None and problem.choices is None})
    wanted = []
    for problem in task.problems:
        choice = as_choice(problem, answers, seed=job.seed)
        for form in FORMATS:
            message = format_message(problem, form, task, choice)
            if message is not None:
                # Without the template, the prompt is the question and a line's end.
                ids = tuple(model.encode(f"{message}\n")) if form == "bare" else model.render(message).ids
                wanted.append((problem, form, choice, ids))
    replies = model.generate(
        [ids for *_, ids in wanted], max_tokens=job.max_tokens, on_progress=job.progress(f"other formats {name}")
    )
    graded = {
        (problem.id, form): grade_format(model.decode(reply.ids), reply.finish, form, problem, choice)
        for (problem, form, choice, _), reply in zip(wanted, replies, strict=True)
    }
    for problem in task.problems:
        for form in FORMATS:
            reply_grade = graded.get((problem.id, form))
            valid = None if reply_grade is None else float(reply_grade.valid)
            right = None if reply_grade is None or problem.answer is None else float(reply_grade.right)
            yield _score(f"format_right_{form}", problem.id, name, right, NO_OPTIONS if reply_grade is None else NO_REFERENCE)
            yield _score(f"format_valid_{form}", problem.id, name, valid, NO_OPTIONS)
        lists = [graded[problem.id, form] for form in ("ranked", "json")]
        yield _score("format_off_task", problem.id, name, sum(one.off_task for one in lists) / len(lists), "")


def _score(metric: str, problem_id: str, writer: str, value: float | None, reason: str) -> Score:
    return Score(metric, problem_id, 0, writer, Reader.NOBODY, value, reason if value is None else "")
