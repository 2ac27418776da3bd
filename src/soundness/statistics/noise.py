"""The noise floor: how far a metric moves when nothing was tuned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from soundness.records import Estimate, Score
from soundness.statistics.paired import by_problem, compare

__all__ = ["Floor", "floor_between", "floor_of_halves", "floor_rows", "read_floor"]

Floor = Mapping[tuple[str, str], Estimate]
"""(metric, reader) -> the difference of the base from itself."""


@dataclass(frozen=True, slots=True)
class _Pair:
    first: list[Score]
    second: list[Score]


def floor_between(
    first: Sequence[Score], second: Sequence[Score], *, seed: int, factor: float = 1.0
) -> dict[tuple[str, str], Estimate]:
    """Return the difference second - first of two measurements of one model, by metric and reader, in the metrics' units.

    Only problems that stand in both are counted. `factor` scales value and interval; a metric that never moved has none. A metric
    that could not be scored is left out.
    """
    pairs: dict[tuple[str, str], _Pair] = {}
    for scores, which in ((first, 0), (second, 1)):
        for score in scores:
            pair = pairs.setdefault((score.metric, score.reader), _Pair([], []))
            (pair.second if which else pair.first).append(score)
    floor = {}
    for key, pair in pairs.items():
        shared = {score.problem_id for score in pair.first} & {score.problem_id for score in pair.second}
        one, two = (by_problem(s for s in side if s.problem_id in shared)[0] for side in (pair.first, pair.second))
        found = compare(one, two, seed=seed).difference
        if found.value is not None:
            value, low, high = (None if end is None else end * factor for end in (found.value, found.low, found.high))
            floor[key] = Estimate(value, low, high, found.n, found.n_missing)
    return floor


def floor_of_halves(scores: Sequence[Score], *, seed: int) -> dict[tuple[str, str], Estimate]:
    """Return the difference of the odd samples from the even ones, scaled to the whole number of samples.

    Costs nothing, since several samples of a problem are there anyway. The difference of two means of a and b samples varies by
    1/a + 1/b, that of two models with m = a + b samples each by 2/m, so both ends are scaled by sqrt((2/m) / (1/a + 1/b)).
    """
    samples = 1 + max((score.sample for score in scores), default=0)
    even, odd = (samples + 1) // 2, samples // 2
    assert odd, "halves need two samples"
    factor = math.sqrt((2 / samples) / (1 / even + 1 / odd))
    halves = [[score for score in scores if score.sample % 2 == which] for which in (0, 1)]
    return floor_between(halves[0], halves[1], seed=seed, factor=factor)


def floor_rows(floor: Floor) -> list[dict[str, Any]]:
    """Return the floor as plain rows, one per metric and reader."""
    return [{"metric": metric, "reader": reader, **asdict(found)} for (metric, reader), found in sorted(floor.items())]


def read_floor(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Estimate]:
    """Return the floor that `floor_rows` wrote."""
    return {
        (row["metric"], row["reader"]): Estimate(row["value"], row["low"], row["high"], row["n"], row["n_missing"])
        for row in rows
    }
