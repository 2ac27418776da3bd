"""Every problem with what each model made of it: what flipped, and the chains step by step."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from soundness.records import Chain, Outcome, Problem, Reader, Score
from soundness.report.words import number, probability, signed_nats
from soundness.runs.tables import CaseRow, EditRow

__all__ = ["GAIN_LOST_NATS", "GAIN_LOST_SHARE", "TAGS", "problem_views"]

GAIN_LOST_SHARE = 0.5
"""A gain is lost where the tuned model's is below this share of the base's ..."""

GAIN_LOST_NATS = 0.5
"""... and at least this many nats below it."""

TAGS = {
    "right_to_wrong": "right to wrong",
    "wrong_to_right": "wrong to right",
    "gain_lost": "same answer, gain lost",
    "cut_off": "cut off",
    "unreadable": "unreadable",
    "right": "right",
    "wrong": "wrong",
    "same": "nothing of these",
}
"""What can happen to a problem, by its short name."""

EDIT_WORDS = {
    "swap": "another problem's chain in its place",
    "shuffle": "its steps in another order",
    "fill_tail": "the rest replaced by filler",
    "fill_whole": "nothing but filler",
    "mistake_splice": "a mistake here, later steps kept",
    "mistake_regenerate": "a mistake here, the rest written anew",
    "drop": "this step left out",
    "paraphrase": "said in other words",
}

_UNKNOWN = "no reference"


def problem_views(
    problems: Sequence[Problem],
    models: Sequence[str],
    base: str | None,
    chains: Sequence[Chain],
    cases: Sequence[CaseRow],
    edits: Sequence[EditRow],
    scores: Sequence[Score],
) -> list[dict[str, Any]]:
    """Return one entry per problem, in order: what it asks, what became of it, and every chain with its steps.

    With `base`, each tuned model has the tags of its flip; without, each writer has its outcome.
    """
    written: dict[str, dict[str, list[Chain]]] = defaultdict(lambda: defaultdict(list))
    for chain in chains:
        written[chain.problem_id][chain.model].append(chain)
    seen: dict[tuple[str, str, int], list[CaseRow]] = defaultdict(list)
    for case in cases:
        seen[case.problem_id, case.writer, case.sample].append(case)
    changed: dict[tuple[str, str, int], list[EditRow]] = defaultdict(list)
    for edit in edits:
        changed[edit.problem_id, edit.writer, edit.sample].append(edit)
    gains: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in scores:
        if score.metric == "info_gain" and score.reader == "self" and score.value is not None:
            gains[score.problem_id, score.writer].append(score.value)
    return [
        _problem(problem, models, base, written[problem.id], seen, changed, gains)
        for problem in problems
        if problem.id in written
    ]


def _problem(
    problem: Problem,
    models: Sequence[str],
    base: str | None,
    written: Mapping[str, Sequence[Chain]],
    seen: Mapping[tuple[str, str, int], list[CaseRow]],
    changed: Mapping[tuple[str, str, int], list[EditRow]],
    gains: Mapping[tuple[str, str], list[float]],
) -> dict[str, Any]:
    cells = {}
    for model in models:
        if mine := written.get(model, ()):
            cells[model] = _cell(mine, gains.get((problem.id, model), []))
    if base is None:
        tags = {model: [cell["outcome"]] if cell["outcome"] in TAGS else ["same"] for model, cell in cells.items()}
    else:
        both = [model for model in models if model != base and model in cells and base in cells]
        tags = {model: _tags(cells[base], cells[model]) for model in both}
    details = [
        _chain(chain, seen.get((problem.id, model, chain.sample), []), changed.get((problem.id, model, chain.sample), []))
        for model in models
        for chain in written.get(model, ())
    ]
    _scale(details)
    return {
        "id": problem.id,
        "question": problem.question,
        "choices": list(problem.choices or ()),
        "reference": problem.answer,
        "reference_words": problem.answer_text,
        "cells": cells,
        "tags": tags,
        "chains": details,
    }


def _cell(chains: Sequence[Chain], gains: Sequence[float]) -> dict[str, Any]:
    """Return what one model made of one problem: the most common outcome of its samples, and the mean gain."""
    outcomes = Counter(chain.outcome.value if chain.outcome else _UNKNOWN for chain in chains)
    outcome = max(outcomes, key=lambda name: (outcomes[name], name == Outcome.RIGHT))
    gain = sum(gains) / len(gains) if gains else None
    text = outcome.replace("_", " ")
    if len(chains) > 1:
        text = f"{outcomes.get(Outcome.RIGHT.value, 0)} of {len(chains)} right"
    answers = Counter(chain.answer for chain in chains if chain.answer is not None)
    return {
        "outcome": outcome,
        "outcome_text": text,
        "answer": answers.most_common(1)[0][0] if answers else None,
        "gain": gain,
        "gain_text": "-" if gain is None else number(gain, "nats", signed=True),
    }


def _tags(base: Mapping[str, Any], tuned: Mapping[str, Any]) -> list[str]:
    pair = (base["outcome"], tuned["outcome"])
    tags = []
    if pair == ("right", "wrong"):
        tags.append("right_to_wrong")
    if pair == ("wrong", "right"):
        tags.append("wrong_to_right")
    if base["gain"] is not None and tuned["gain"] is not None and base["answer"] is not None:
        fall = base["gain"] - tuned["gain"]
        lost = fall >= GAIN_LOST_NATS and tuned["gain"] < GAIN_LOST_SHARE * base["gain"]
        if lost and base["answer"] == tuned["answer"]:
            tags.append("gain_lost")
    tags += [tag for tag in ("cut_off", "unreadable") if tag in pair]
    return tags or ["same"]


def reader_key(row: CaseRow | EditRow) -> str:
    """Return what tells readers of one chain apart on the page."""
    return f"tuned:{row.reader_name}" if row.reader == Reader.TUNED else row.reader.value


def _chain(chain: Chain, cases: Sequence[CaseRow], edits: Sequence[EditRow]) -> dict[str, Any]:
    """Return one chain as data: its steps, the belief by each reader, the edits, and the raw text."""
    by_reader = {reader_key(case): case for case in cases}
    own = by_reader.get("self")
    steps = list(own.steps) if own is not None else list(chain.step_texts)
    body = "".join(steps)
    start = chain.text.find(body) if body else 0
    return {
        "model": chain.model,
        "sample": chain.sample,
        "outcome": chain.outcome.value if chain.outcome else _UNKNOWN,
        "outcome_text": (chain.outcome.value if chain.outcome else _UNKNOWN).replace("_", " "),
        "answer": chain.answer,
        "finish": chain.finish,
        "num_tokens": len(chain.ids),
        "skip_reason": own.skip_reason if own is not None else "",
        "asked_with": own.asked_with if own is not None else None,
        "asked_without": own.asked_without if own is not None else None,
        "before": chain.text[:start] if start > 0 else "",
        "steps": steps,
        "after": chain.text[start + len(body) :] if start >= 0 else "",
        "readings": {reader: _ladder(case, steps) for reader, case in by_reader.items() if case.reference_nats},
        "edits": [_edit(edit, steps, own) for edit in edits],
        "text": chain.text,
        "prompt": chain.prompt.text,
    }


def _ladder(case: CaseRow, steps: Sequence[str]) -> dict[str, Any]:
    """Return the belief before any step and each step's gain, in numbers and as shown."""
    gains = [after - before for before, after in zip(case.reference_nats[:-1], case.reference_nats[1:], strict=True)]
    total = case.reference_nats[-1] - case.reference_nats[0]
    found: dict[str, Any] = {
        "start": probability(case.reference_share[0]),
        "total": signed_nats(total),
        "gains": gains,
        "gain_texts": [signed_nats(gain) for gain in gains],
        "beliefs": [probability(value) for value in case.reference_share[1:]],
    }
    if list(case.steps) != list(steps):
        found["steps"] = list(case.steps)
    return found


def _scale(chains: Sequence[dict[str, Any]]) -> None:
    """Give each gain the length of its bar, -100 to 100, on one scale for all chains of a problem."""
    gains = [abs(gain) for chain in chains for ladder in chain["readings"].values() for gain in ladder["gains"]]
    largest = max([1.0, *gains])
    for chain in chains:
        for ladder in chain["readings"].values():
            ladder["bars"] = [round(100 * gain / largest) for gain in ladder["gains"]]


def _edit(edit: EditRow, steps: Sequence[str], own: CaseRow | None) -> dict[str, Any]:
    """Return what one intervention did: before, after, and what the reader then believed."""
    if edit.reason:
        effect = f"not made: {edit.reason}"
    elif edit.kept is not None:
        effect = "the answer stayed" if edit.kept else "the answer changed"
    else:
        effect = "read towards the reference answer only"
    words = EDIT_WORDS.get(edit.kind, edit.kind.replace("_", " "))
    if edit.kind.startswith("fill") and edit.note:  # several a chain, told apart by how much of it is filler
        words = f"{words} ({edit.note.split(';')[0]})"
    belief = ""
    if edit.own_share is not None and own is not None and own.own_share:
        belief = f"belief in its own answer {probability(own.own_share[-1])} before, {probability(edit.own_share)} after"
    elif edit.reference_nats is not None and own is not None and own.reference_nats and edit.reader == "self":
        belief = f"reference answer {signed_nats(edit.reference_nats - own.reference_nats[-1])} nats against the whole chain"
    return {
        "reader": reader_key(edit),
        "kind": edit.kind,
        "words": words,
        "step": edit.step
        if edit.step is not None and edit.step < len(steps) and edit.kind not in ("shuffle", "swap")
        else None,
        "before": edit.before,
        "after": edit.after,
        "note": edit.note,
        "kept": edit.kept,
        "effect": effect,
        "belief": belief,
    }
