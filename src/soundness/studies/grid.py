"""A grid of planted pairs that is drawn, not listed: behaviour, dress, confidence and base at random, with the truth of each.

A rule can be fitted to any list. Here every audit is a combination that nobody has looked at, and its word is held against the words
that the truth of its behaviours allows (`soundness.studies.planted_truth`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, get_args

from soundness.comparison.verdict import decide_verdict
from soundness.models.planted import FORMS, Join, Plant, Step
from soundness.records import Score, Word
from soundness.studies.planted_truth import BEHAVIOURS, OPERATORS, WORLD, allowed_words, measure
from soundness.tasks.base import Task, load_task

__all__ = ["BASES", "CONFIDENCES", "Cell", "Result", "draw_cell", "judge_cell", "summary"]

BASES: Mapping[str, Mapping[str, object]] = {
    "reliant": {},
    "half reliant": {"source": "dial", "h": 0.5},
    "ignoring": {"source": "ignores"},
    "silent": {"silent": 1.0},
}
"""What a base is like."""

_BASE_WEIGHTS = (5, 2, 1, 1)  # a reliant base is what most audits have, and the only one that all words can come from

CONFIDENCES: Mapping[str, Mapping[str, float]] = {
    "as it is": {"eps": 0.01},
    "less sure": {"eps": 0.05},
    "logits x 0.5": {"eps": 0.001, "scale": 0.5},
    "logits x 2": {"eps": 0.001, "scale": 2.0},
}
"""How sure a tuned model is."""

_OPENINGS = ("", "preamble", "empty-thinking", "thinking", "thinking-summary")
_CLOSINGS = ("answer", "german", "final", "so", "hashes", "boxed")
_SLIP = 0.1
_TASKS = 3  # sets of problems; a base is measured once on each


@dataclass(frozen=True, slots=True)
class Cell:
    """One audit of the grid."""

    base: Plant
    """The base."""
    tuned: Plant
    """The tuned model."""
    labels: tuple[tuple[str, str], ...]
    """(row or column, its value) for every way in which audits are grouped."""
    task_seed: int
    """Which problems."""

    @property
    def allowed(self) -> frozenset[Word]:
        """The words that the truth allows."""
        return allowed_words(self.base, self.tuned)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one audit."""

    labels: tuple[tuple[str, str], ...]
    """As in the cell."""
    word: Word
    """The verdict."""
    allowed: frozenset[Word]
    """The words that are true."""
    about: str
    """Both plants and the first line of evidence."""

    @property
    def false(self) -> bool:
        """Whether the word is not true."""
        return self.word not in self.allowed

    @property
    def decided(self) -> bool:
        """Whether a word was given where one could have been."""
        return self.word is not Word.INSUFFICIENT


def _dress(rng: random.Random) -> dict[str, Any]:
    """Return a dress: each of its parts is plain half of the time, so that effects of parts can be told apart."""

    def pick(plain: object, others: Sequence[object]) -> object:
        return plain if rng.random() < 0.4 else rng.choice(others)

    return {
        "step": pick("terse", get_args(Step)),
        "join": pick("lines", get_args(Join)),
        "opening": pick("", _OPENINGS),
        "restates": rng.random() < 0.3,
        "checks": rng.random() < 0.2,
        "closing": pick("answer", _CLOSINGS),
        "form": pick("plain", list(FORMS)),
    }


def draw_cell(seed: int, index: int) -> Cell:
    """Return audit number `index` of the grid that `seed` draws; behaviours take turns, all else is drawn."""
    rng = random.Random(f"grid/{seed}/{index}")
    order = list(BEHAVIOURS)
    random.Random(f"grid/{seed}/{index // len(order)}").shuffle(order)
    behaviour = order[index % len(order)]
    (kind,) = rng.choices(list(BASES), _BASE_WEIGHTS)
    confidence = rng.choice(list(CONFIDENCES))
    dress = _dress(rng)
    tuned = {**dress, **CONFIDENCES[confidence], **BEHAVIOURS[behaviour]}
    task_seed = 1000 * seed + rng.randrange(_TASKS)
    # A base is dressed in one of a few ways, so that it need not be measured for every audit anew.
    base = {**_dress(random.Random(f"grid/base/{seed}/{rng.randrange(2)}")), **BASES[kind]}
    labels = {
        "behaviour": behaviour,
        "base": kind,
        "confidence": confidence,
        **{name: str(tuned[name]) or "plain" for name in dress},
    }
    return Cell(
        replace(Plant(slip=_SLIP, seed=1), **base),
        replace(Plant(slip=_SLIP, seed=2 + index), **tuned),
        tuple(labels.items()),
        task_seed,
    )


@lru_cache(maxsize=8)
def _task(seed: int, n: int) -> Task:
    return load_task(f"{WORLD}:operators={OPERATORS}", limit=n, seed=seed)


@lru_cache(maxsize=64)
def _base_scores(base: Plant, task_seed: int, n: int) -> tuple[Score, ...]:
    model = base.model("base")
    return tuple(measure(model, "base", _task(task_seed, n), model, seed=0, temperature=0.0))


def judge_cell(seed: int, n: int, index: int) -> Result:
    """Return what comes of audit number `index` over n problems."""
    cell = draw_cell(seed, index)
    tuned = measure(
        cell.tuned.model("tuned"), "tuned", _task(cell.task_seed, n), cell.base.model("base"), seed=1, temperature=0.0
    )
    verdict = decide_verdict("base", "tuned", [*_base_scores(cell.base, cell.task_seed, n), *tuned], seed=seed)
    about = f"{cell.base.name} -> {cell.tuned.name}: {verdict.evidence_for[0] if verdict.evidence_for else verdict.sentence}"
    return Result(cell.labels, verdict.word, cell.allowed, about)


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """Return counts over all audits and by every row and column, and each false word in full."""

    def counted(rows: Iterable[Result]) -> dict[str, Any]:
        rows = list(rows)
        able = [row for row in rows if row.allowed != {Word.INSUFFICIENT}]
        return {
            "audits": len(rows),
            "false": sum(row.false for row in rows),
            "decided": sum(row.decided for row in able) / len(able) if able else None,
            "words": {word.value: count for word in Word if (count := sum(row.word is word for row in rows))},
        }

    groups: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for result in results for name, _ in result.labels):
        values = sorted({value for result in results for label, value in result.labels if label == name})
        groups[name] = {value: counted(r for r in results if (name, value) in r.labels) for value in values}
    return {
        "all": counted(results),
        "by": groups,
        "false": [
            {"word": result.word.value, "allowed": sorted(word.value for word in result.allowed), "about": result.about}
            for result in results
            if result.false
        ],
    }
