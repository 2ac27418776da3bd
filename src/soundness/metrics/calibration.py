"""Calibration: when the model is as sure as it is right.

    confidence = p(stated answer | prompt, chain, cue)        Brier = (confidence - right)^2
    ECE = sum over bins of (n_b / N) |accuracy_b - confidence_b|

After a chain that states its answer the probability of that answer measures copying, so it is also read with the chain cut before
the step that first states it, and without any chain. A chain without a stated answer has no confidence: it is missing, not 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundness.chains.steps import answer_step
from soundness.metrics.base import (
    CUT_OFF,
    NO_REFERENCE,
    NO_STATED_ANSWER,
    NO_STEPS,
    UNREADABLE,
    CorpusMetric,
    Measured,
    Metric,
    MetricGroup,
    Read,
    Reader,
    Value,
    score_rows,
)
from soundness.metrics.case import Case
from soundness.records import Outcome, Probe

__all__ = ["Bin", "Calibration", "ece", "equal_mass", "equal_width", "reliability"]

Floats = NDArray[np.float64]

NUM_BINS = 10


def equal_width(columns: Floats, weights: Floats, num_bins: int = NUM_BINS) -> Floats:
    """Return the expected calibration error with bins of equal width, one per row of `weights`; NaN without any weight.

    `columns` holds confidence and right (0 or 1), shape (2, n). The first bin is [0, 1/B], the others (lo, hi]: no case is lost.

    >>> sure, right = [0, .1, .95, .95], [1, 1, 1, 0]
    >>> equal_width(np.array([sure, right]), np.ones((1, 4))).round(6).tolist()
    [0.7]
    """
    confidence, right = columns
    bins = width_bins(confidence, num_bins)
    # (n_b / N) |accuracy_b - confidence_b| = |sum over the bin of (right - confidence)| / N
    gaps = np.zeros(len(weights))
    for index in range(num_bins):
        inside = bins == index
        gaps += np.abs(weights[:, inside] @ (right - confidence)[inside])
    return _over(gaps, weights.sum(axis=1))


def equal_mass(columns: Floats, weights: Floats, num_bins: int = NUM_BINS) -> Floats:
    """Return the expected calibration error with bins of equal weight, one per row of `weights`; NaN without any weight.

    Cases of equal confidence share a bin, so that their order means nothing.

    >>> equal_mass(np.array([[.5, .5, .5, .5], [1, 0, 1, 0]]), np.ones((1, 4))).tolist()
    [0.0]
    """
    order = np.argsort(columns[0], kind="stable")
    confidence, right = columns[:, order]
    starts = np.flatnonzero(np.concatenate([[True], confidence[1:] != confidence[:-1]]))
    mass = np.add.reduceat(weights[:, order], starts, axis=1)  # (R, distinct confidences)
    gap = np.add.reduceat(weights[:, order] * (right - confidence), starts, axis=1)
    total = weights.sum(axis=1)
    middle = np.cumsum(mass, axis=1) - mass / 2
    place = np.clip(np.floor(middle / np.where(total > 0, total, 1)[:, None] * num_bins), 0, num_bins - 1)
    gaps = sum(np.abs((gap * (place == index)).sum(axis=1)) for index in range(num_bins))
    return _over(np.asarray(gaps), total)


def _over(values: Floats, total: Floats) -> Floats:
    return np.where(total > 0, values / np.where(total > 0, total, 1), np.nan)


def width_bins(confidence: Floats, num_bins: int = NUM_BINS) -> NDArray[np.int64]:
    """Return each confidence's bin: 0 for [0, 1/B], i for (i/B, (i + 1)/B]."""
    return np.searchsorted(np.arange(1, num_bins) / num_bins, confidence, side="left").astype(np.int64)


def ece(confidence: Sequence[float], right: Sequence[float], *, bins: str = "width", num_bins: int = NUM_BINS) -> float:
    """Return the expected calibration error, 0..1, with bins of equal `width` or equal `mass`; `ValueError` without cases."""
    if not confidence or len(confidence) != len(right):
        raise ValueError(f"as many outcomes as confidences are needed, at least one: {len(right)} and {len(confidence)}")
    statistic = {"width": equal_width, "mass": equal_mass}[bins]
    return float(statistic(np.array([confidence, right], dtype=float), np.ones((1, len(right))), num_bins)[0])


@dataclass(frozen=True, slots=True)
class Bin:
    """One bin of a reliability curve."""

    low: float
    """Lower end; the first bin holds it, the others do not."""
    high: float
    """Upper end, in the bin."""
    n: int
    """Cases in it."""
    confidence: float | None
    """Mean confidence, None for an empty bin."""
    accuracy: float | None
    """Share right, None for an empty bin."""


def reliability(confidence: Sequence[float], right: Sequence[float], num_bins: int = NUM_BINS) -> list[Bin]:
    """Return the reliability curve, empty bins included.

    >>> [(b.n, b.accuracy) for b in reliability([0, .1, .95, .95], [1, 1, 1, 0]) if b.n]
    [(2, 1.0), (2, 0.5)]
    """
    sure, hit = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    place = width_bins(sure, num_bins)
    curve = []
    for index in range(num_bins):
        inside = place == index
        n = int(inside.sum())
        means = (float(sure[inside].mean()), float(hit[inside].mean())) if n else (None, None)
        curve.append(Bin(index / num_bins, (index + 1) / num_bins, n, *means))
    return curve


_SURE = (
    ("", "after the whole chain", "Mostly copying where the chain states its answer."),
    ("_before_answer", "after the steps before the one that first states it", "Chains that state it at once are left out."),
    ("_without_chain", "before any step", "Whether the chain was needed."),
)


def _metrics() -> Iterator[Metric]:
    for suffix, when, limitation in _SURE:
        yield Metric(
            name=f"confidence{suffix}",
            unit="fraction",
            direction="none",
            bounds=(0.0, 1.0),
            higher_means="surer of the stated answer",
            description=(
                f"Probability of the answer that the chain states, {when}, 0..1; among the choices where there are any."
            ),
            limitations=(
                f"Whether it is right. {limitation} An open answer of many tokens has a low probability by its length alone."
            ),
            source="ours; after 2507.21931",
        )
    for suffix, when, limitation in _SURE:
        yield Metric(
            name=f"brier{suffix}",
            unit="squared error",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="confidence further from the outcome (worse)",
            description=f"(confidence - right)^2, confidence taken {when}; 0 sure and right, 1 sure and wrong.",
            limitations=f"Whether it errs in accuracy or in confidence. {limitation}",
            source="Brier 1950",
        )


def _ece_metrics() -> Iterator[CorpusMetric]:
    for suffix, when, limitation in _SURE:
        yield CorpusMetric(
            Metric(
                name=f"ece{suffix}",
                unit="fraction",
                direction="down",
                bounds=(0.0, 1.0),
                higher_means="confidence further from accuracy (worse)",
                description=f"Expected calibration error, ten bins of equal width, confidence taken {when}; 0..1.",
                limitations=(
                    f"Accuracy: confidence that always equals the mean accuracy has 0. Biased upward on few "
                    f"problems. {limitation}"
                ),
                source="Guo et al. 2017 (1706.04599)",
            ),
            (f"confidence{suffix}", "stated_right"),
            equal_width,
        )
    yield CorpusMetric(
        Metric(
            name="ece_equal_mass",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="confidence further from accuracy (worse)",
            description="Expected calibration error after the whole chain, ten bins of equal numbers of cases; 0..1.",
            limitations="Accuracy. A check on the choice of bins.",
            source="Nguyen and O'Connor 2015 (1508.05154)",
        ),
        ("confidence", "stated_right"),
        equal_mass,
    )


class Calibration(MetricGroup):
    """How sure the model is of the answer it states."""

    name = "calibration"
    readers = (Reader.SELF,)
    cost = "the stated answer at three places of the chain"
    corpus = tuple(_ece_metrics())
    metrics = (
        *_metrics(),
        Metric(
            name="stated_right",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more stated answers right",
            description="Whether the stated answer is right, 0 or 1; what confidence is held against.",
            limitations="Anything about the steps.",
            source="ours",
        ),
    )

    def _places(self, case: Case) -> Iterator[tuple[str, tuple[int, ...] | None, str]]:
        """Yield (suffix, prefix or None, why there is none)."""
        yield "", case.after(case.body.chain.ids), ""
        first = answer_step(case.body.chain.step_texts, case.chain.answer, case.problem)
        if not case.body.num_steps:
            yield "_before_answer", None, NO_STEPS
        elif first == 0:
            yield "_before_answer", None, "the first step states the answer"
        else:
            yield "_before_answer", case.after_steps(case.body.num_steps if first is None else first), ""
        yield "_without_chain", case.after(()), ""

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the stated answer after the chain, before it is stated and before any step."""
        if case.stated is None or case.chain.finish == "length":
            return
        for suffix, prefix, _ in self._places(case):
            if prefix is not None:
                yield from ((f"stated answer{suffix.replace('_', ' ')}", probe) for probe in case.stated.probes(prefix))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield confidence and Brier score at each place, and whether the stated answer is right."""
        outcome = case.chain.outcome
        lacking = CUT_OFF if case.chain.finish == "length" else ""
        lacking = lacking or (NO_STATED_ANSWER if case.stated is None else "")
        right = float(outcome is Outcome.RIGHT) if outcome in (Outcome.RIGHT, Outcome.WRONG) else None
        unknown = lacking or (NO_REFERENCE if outcome is None else UNREADABLE)
        yield Value("stated_right", right if not lacking else None, "" if right is not None and not lacking else unknown)
        for suffix, prefix, reason in self._places(case):
            if lacking or prefix is None or case.stated is None:
                yield Value(f"confidence{suffix}", None, lacking or reason)
                yield Value(f"brier{suffix}", None, lacking or reason)
                continue
            sure = min(math.exp(case.stated.share(prefix, read)), 1.0)
            yield Value(f"confidence{suffix}", sure)
            if right is None:
                yield Value(f"brier{suffix}", None, unknown)
            else:
                yield Value(f"brier{suffix}", (sure - right) ** 2)

    def curve(self, measured: Measured) -> dict[str, Any]:
        """Return each model's reliability curve for each kind of confidence."""
        curves: dict[str, dict[str, object]] = {name: {} for name in measured.models}
        for name in measured.models:
            for suffix, _, _ in _SURE:
                metric = f"confidence{suffix}"
                rows, _ = score_rows(measured.scores, (metric, "stated_right"), name, Reader.SELF)
                flat = [row for mine in rows.values() for row in mine]
                curves[name][metric] = [asdict(one) for one in reliability([row[0] for row in flat], [row[1] for row in flat])]
        return {"reliability": curves}
