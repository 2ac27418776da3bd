"""Length against accuracy, problem by problem: long chains stand where problems are hard, so only chains of one problem compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundness.metrics.base import (
    NO_REFERENCE,
    ONE_SAMPLE,
    CorpusMetric,
    Measured,
    Metric,
    MetricGroup,
    Need,
    Reader,
    Value,
    score_rows,
)
from soundness.metrics.case import Case
from soundness.records import Outcome
from soundness.statistics.totals import Rows

__all__ = ["LengthEffect", "length_curve", "peak", "within_problem"]

Floats = NDArray[np.float64]

EDGES = (0.6, 0.8, 0.95, 1.05, 1.25, 1.6)
"""Where bins of relative length (tokens over the problem's mean) meet; fixed, so that two models share them."""

_FEWEST = 3.0  # chains in a bin, below which it is no candidate for the peak


def within_problem(rows: Rows) -> Rows:
    """Return (relative length, right minus the problem's share right) of the chains of each problem that has both outcomes.

    Problems that are always or never right, or have one chain, say nothing of length and are left out.

    >>> within_problem({"a": [(10.0, 1.0), (30.0, 0.0)], "b": [(5.0, 1.0), (7.0, 1.0)]})
    {'a': [(0.5, 0.5), (1.5, -0.5)], 'b': []}
    """
    found = {}
    for name, chains in rows.items():
        mean = sum(length for length, _ in chains) / len(chains) if chains else 0.0
        right = [hit for _, hit in chains]
        mixed = len(set(right)) > 1 and mean > 0
        share = sum(right) / len(right) if right else 0.0
        found[name] = [(length / mean, hit - share) for length, hit in chains] if mixed else []
    return found


def peak(columns: Floats, weights: Floats) -> Floats:
    """Return the mean relative length in the bin where chains do best against their problem, one per row of weights."""
    length, gain = columns
    place = np.searchsorted(EDGES, length, side="right")
    best, at = np.full(len(weights), -np.inf), np.full(len(weights), np.nan)
    for index in range(len(EDGES) + 1):
        inside = place == index
        mass = weights[:, inside].sum(axis=1)
        enough = mass >= _FEWEST
        safe = np.where(mass > 0, mass, 1)
        mean = np.where(enough, weights[:, inside] @ gain[inside] / safe, -np.inf)
        better = mean > best
        best = np.where(better, mean, best)
        at = np.where(better, weights[:, inside] @ length[inside] / safe, at)
    return at


def length_curve(rows: Rows) -> list[dict[str, float | int | None]]:
    """Return, per bin of relative length, how many chains lie in it and how much more often they are right than their problem's mean.

    `rows` are (tokens, right) by problem.
    """
    prepared = within_problem(rows)
    flat = [pair for pairs in prepared.values() for pair in pairs]
    ends = (0.0, *EDGES, None)
    curve: list[dict[str, float | int | None]] = []
    for index in range(len(EDGES) + 1):
        gains = [gain for length, gain in flat if np.searchsorted(EDGES, length, side="right") == index]
        mean = sum(gains) / len(gains) if gains else None
        curve.append({"low": ends[index], "high": ends[index + 1], "n": len(gains), "accuracy_over_problem": mean})
    return curve


class LengthEffect(MetricGroup):
    """Do longer chains of the same problem do better?"""

    name = "length_effect"
    readers = (Reader.NOBODY,)
    needs = frozenset({Need.SEVERAL_SAMPLES})
    cost = "nothing beyond the chains; needs several samples per problem"
    corpus = (
        CorpusMetric(
            Metric(
                name="length_peak",
                unit="share of the problem's mean length",
                direction="none",
                bounds=(0.0, None),
                higher_means="longer chains do best",
                description=(
                    "Relative length of the chains that are right most often against their own problem's mean; 1 "
                    "is the mean length."
                ),
                limitations=(
                    "Whether writing more would help: lengths were not set, they came about. Peaks of flat curves mean nothing."
                ),
                source="ours",
            ),
            ("length_tokens", "solved"),
            peak,
            within_problem,
        ),
    )
    metrics = (
        Metric(
            name="length_right_over_wrong",
            unit="share of the problem's mean length",
            direction="none",
            higher_means="right chains are longer than wrong ones",
            description="Mean tokens of right minus wrong chains of the same problem, over the problem's mean tokens.",
            limitations="What causes what.",
            source="ours",
        ),
    )

    def per_problem(self, cases: Sequence[Case]) -> Iterator[Value]:
        """Yield how much longer right chains are than wrong ones; cut chains have no known length."""
        if len(cases) < 2 or cases[0].problem.answer is None:
            yield Value("length_right_over_wrong", None, ONE_SAMPLE if len(cases) < 2 else NO_REFERENCE)
            return
        whole = [case.chain for case in cases if case.chain.finish == "stop"]
        right = [len(chain.ids) for chain in whole if chain.outcome is Outcome.RIGHT]
        wrong = [len(chain.ids) for chain in whole if chain.outcome is Outcome.WRONG]
        if not right or not wrong:
            yield Value("length_right_over_wrong", None, "not both right and wrong chains")
            return
        mean = sum(right + wrong) / len(right + wrong)
        yield Value("length_right_over_wrong", (sum(right) / len(right) - sum(wrong) / len(wrong)) / mean)

    def curve(self, measured: Measured) -> dict[str, Any]:
        """Return each model's accuracy over its problem's mean by relative length."""
        return {
            "length": {
                name: length_curve(score_rows(measured.scores, self.corpus[0].inputs, name, Reader.NOBODY)[0])
                for name in measured.models
            }
        }
