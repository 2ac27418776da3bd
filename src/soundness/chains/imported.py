r"""Chains that some other model wrote, from JSON Lines, so that traces of closed models can be scored too.

One object a line: the fields of a problem (`question`; optional `id`, `answer`, `choices`, `facts`, `context`, ...) and
`trace`, the whole text that was written, or `steps`, a list of its steps; optional `model` (who wrote it), `predicted` (the
answer it came to), `finish` (`stop` or `length`) and `problem`, the id of the problem it answers. Traces of one writer with one
`problem` are samples of it, in the order of the file; without that field each trace has a problem of its own. For example

    {"id": "1:gpt-4", "question": "2 + 2 * 3?", "answer": "8", "trace": "2 * 3 = 6\n2 + 6 = 8", "model": "gpt-4"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from soundness.answers import Grade, read_answer
from soundness.answers.equality import compare
from soundness.answers.graders import graded
from soundness.chains.sample import conclusion_step
from soundness.chains.steps import answer_step, spans_at, split_steps, step_texts
from soundness.errors import TaskError, near
from soundness.models.base import Model
from soundness.records import Chain, Finish, Outcome, Problem, Span
from soundness.tasks.base import Task
from soundness.tasks.fields import problem_from_row
from soundness.tasks.sources import open_file

__all__ = ["FINISHES", "ImportedTrace", "load_traces", "to_chains", "trace_task"]

_GIVEN = "predicted"
"""How the answer of a trace was read whose row brings it."""
UNNAMED = "imported"
"""Writer of a trace whose row names no model."""

FINISHES: dict[str, Finish] = {
    **{
        word: "stop"
        for word in ("stop", "end_turn", "eos", "eos_token", "stop_sequence", "tool_calls", "tool_use", "function_call")
    },
    **{word: "length" for word in ("length", "max_tokens", "model_length", "max_output_tokens", "content_filter", "abort")},
}
"""Words of harnesses and providers for why a trace ended -> ours. What a filter or an abort ended was cut, not finished."""

_TRACE_FIELDS = ("trace", "predicted", "finish")


@dataclass(frozen=True, slots=True)
class ImportedTrace:
    """What some model wrote for one problem, as text."""

    problem: Problem
    """The problem; its id is the row's `problem`, or the row's own."""
    text: str
    """The whole text, raw; empty where nothing was written."""
    model: str
    """Who wrote it."""
    steps: tuple[str, ...] | None = None
    """The given steps, which join to `text` exactly, or None where the text has to be split."""
    predicted: str | None = None
    """The answer the writer came to, as given, or None where the row has none."""
    finish: Finish = "stop"
    """Why it ended."""
    sample: int = 0
    """Which of its writer's traces for this problem, from 0."""


def _text_field(row: Mapping[str, Any], field: str, place: str) -> str | None:
    """Return a field that holds text or a number, as text, or None where it is absent."""
    value = row.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TaskError(f"{place}, field {field}: text was wanted, found {value!r}")
    return str(value)


def _joined(steps: Sequence[str]) -> tuple[str, ...]:
    """Return the steps that have text, each but the last closed by a newline: what they are once joined by newlines."""
    filled = [step for step in steps if step.strip()]
    return tuple(f"{step}\n" for step in filled[:-1]) + tuple(filled[-1:])


def _located(text: str, steps: Sequence[str]) -> tuple[str, ...] | None:
    """Return `text` cut where the given steps start, or None where they are not just this text in order."""
    starts = []
    place = 0
    for step in (step.strip() for step in steps):
        if not step:
            continue
        start = text.find(step, place)
        if start < 0 or text[place:start].strip():
            return None
        starts.append(start)
        place = start + len(step)
    if not starts or text[place:].strip():
        return None
    ends = [*starts[1:], len(text)]
    return tuple(text[begin:end] for begin, end in zip([0, *starts[1:]], ends, strict=True))


def _trace_from_row(row: Mapping[str, Any], place: str, default_id: str) -> ImportedTrace:
    """Return the trace that a row describes; `place` begins every message of a `TaskError`."""
    fields = {name: value for name, value in row.items() if name not in _TRACE_FIELDS}
    named = fields.pop("problem", None) if row.get("question") is not None else None  # else it is the question, as in MATH
    if named is not None:
        if isinstance(named, bool) or not isinstance(named, str | int) or not str(named).strip():
            raise TaskError(f"{place}, field problem: the id of a problem was wanted, found {str(named)[:60]!r}")
        fields["id"] = str(named)
    problem = problem_from_row(fields, place=place, default_id=default_id)
    text = row.get("trace")
    if text is not None and not isinstance(text, str):
        raise TaskError(f"{place}, field trace: text was wanted, found {type(text).__name__}")
    if text is None and problem.steps is None:
        found = ", ".join(map(str, row))
        raise TaskError(
            f"{place}, field trace: it is missing, and so is steps; a trace is what the model wrote. The row has {found}"
            f"{near('trace', map(str, row))}"
        )
    if text is None:
        assert problem.steps is not None
        steps: tuple[str, ...] | None = _joined(problem.steps)
        text = "".join(steps or ())
    else:
        steps = _located(text, problem.steps) if problem.steps else None
    finish = _text_field(row, "finish", place) or "stop"
    if finish.lower() not in FINISHES:
        raise TaskError(f"{place}, field finish: one of {', '.join(FINISHES)} was wanted, found {finish[:40]!r}")
    predicted = _text_field(row, "predicted", place)
    return ImportedTrace(
        problem=problem,
        text=text,
        model=_text_field(row, "model", place) or UNNAMED,
        steps=steps,
        predicted=predicted if predicted is None or predicted.strip() else None,
        finish=FINISHES[finish.lower()],
    )


def load_traces(path: str | Path, limit: int | None = None) -> list[ImportedTrace]:
    """Return the traces of a file, those of the first `limit` problems.

    A row without id takes its line number. `steps` without `trace` are joined by newlines, blank ones left out; with `trace`,
    they are its steps where they cut it exactly, and the problem's reference steps otherwise. An empty trace is kept: it
    counts. Raises `TaskError` naming file, line and field.
    """
    path = Path(path)
    traces: list[ImportedTrace] = []
    names: dict[str, str] = {}
    problems: dict[str, tuple[Problem, str]] = {}
    samples: dict[tuple[str, str], int] = {}
    for place, number, row in open_file(path).rows:
        trace = _trace_from_row(row, place, number)
        grouped = "problem" in row and row.get("question") is not None
        name, identity = str(row.get("id") if row.get("id") is not None else number), trace.problem.id
        if name in names:
            raise TaskError(
                f"{place}, field id: {name[:60]!r} is the id of line {names[name]} too; give each trace its own, such as "
                f"{f'{name}:{trace.model}'[:80]!r}, and traces of one problem the same field problem"
            )
        names[name] = number
        if identity in problems:
            first, line = problems[identity]
            if not grouped:
                raise TaskError(f"{place}, field id: {identity[:60]!r} is the problem of line {line} too; ids must differ")
            if _asked(first) != _asked(trace.problem):
                raise TaskError(
                    f"{place}, field problem: {identity[:60]!r} is another question, or has another answer, in line {line}"
                )
            trace = replace(trace, problem=first)
        elif limit is not None and len(problems) == limit:
            continue
        else:
            problems[identity] = trace.problem, number
        sample = samples.get((trace.model, identity), 0)
        samples[trace.model, identity] = sample + 1
        traces.append(replace(trace, sample=sample))
    if not traces:
        raise TaskError(f"{path} has no rows; it needs one JSON object a line with at least question and trace")
    return traces


def _asked(problem: Problem) -> tuple[object, ...]:
    return problem.question, problem.answer, problem.choices, problem.context


def trace_task(traces: Sequence[ImportedTrace], name: str) -> Task:
    """Return the task that the traces' problems make, each of them once."""
    return Task(name, tuple({trace.problem.id: trace.problem for trace in traces}.values()))


def _encoded(model: Model, trace: ImportedTrace, splitter: str) -> tuple[tuple[int, ...], tuple[Span, ...], tuple[str, ...]]:
    """Return ids, step spans and step texts of a trace in the scorer's vocabulary; the texts join to the trace."""
    ids = tuple(model.encode(trace.text))
    pieces = model.pieces(ids)
    steps = trace.steps
    if "".join(pieces) == trace.text:
        if steps is None:
            spans = split_steps(pieces, splitter)
            return ids, spans, step_texts(pieces, spans)
        spans = spans_at(pieces, [0, *accumulate(len(step) for step in steps[:-1])] if steps else [])
        if len(spans) == len(steps):
            return ids, spans, step_texts(pieces, spans)
    # The tokenizer rewrites the text or has a token across a whole step: steps encoded one by one cannot be lost.
    if steps is None:
        characters = list(trace.text)
        steps = step_texts(characters, split_steps(characters, splitter))
    parts = [tuple(model.encode(step)) for step in steps]
    ends = list(accumulate(len(part) for part in parts))
    spans = tuple(Span(end - len(part), end) for part, end in zip(parts, ends, strict=True))
    return tuple(token for part in parts for token in part), spans, steps


def _predicted(trace: ImportedTrace, task: Task | None = None) -> Grade:
    """Return the grade of a trace: from `predicted` where given, else read from its text."""
    problem = trace.problem
    if trace.predicted is None:
        return graded(task.grader if task is not None else None, trace.text, trace.finish, problem)
    answer: str | None = trace.predicted.strip()
    if problem.choices is not None:
        answer = read_answer(f"Answer: {answer}", problem.choices)
    if problem.answer is None:
        return Grade(None, answer, how=_GIVEN)
    if answer is None:
        return Grade(Outcome.UNREADABLE, None, how=_GIVEN)
    same = [compare(answer, one, problem.choices) for one in problem.accepted]
    outcome = Outcome.RIGHT if any(same) else Outcome.UNREADABLE if same[0] is None else Outcome.WRONG
    return Grade(outcome, answer, how=_GIVEN)


def to_chains(traces: Sequence[ImportedTrace], model: Model, task: Task, *, splitter: str = "auto") -> list[Chain]:
    """Return the traces as chains in the vocabulary of `model`, the scorer, in order.

    The prompt is what the scorer would be shown for the same problem of `task`. Given steps become spans exactly; other
    traces are split by `splitter`. The answer is `predicted` where the row has it, and read from the text otherwise.
    """
    chains = []
    for trace in traces:
        ids, steps, texts = _encoded(model, trace, splitter)
        grade = _predicted(trace, task)
        chains.append(
            Chain(
                problem_id=trace.problem.id,
                model=trace.model,
                sample=trace.sample,
                seed=0,
                prompt=task.prompt(model, trace.problem),
                ids=ids,
                text=trace.text,
                finish=trace.finish,
                steps=steps,
                step_texts=texts,
                answer=grade.answer,
                answer_step=answer_step(texts, grade.answer, trace.problem),
                conclusion=conclusion_step(texts, trace.problem),
                outcome=grade.outcome,
                answer_span=None if grade.span is None else (grade.span.start, grade.span.stop),
                answer_how=grade.how,
                confidence=grade.confidence,
                grader_words=grade.words or grade.reason,
            )
        )
    return chains
