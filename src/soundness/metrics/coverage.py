"""What several samples of one problem reach together: pass@k, majority@k, coverage, agreement.

    pass@k = 1 - C(n - c, k) / C(n, k),   n samples of which c are right, as the product 1 - prod_{i=n-c+1..n} (1 - k/i)

A chain that was cut off or says nothing readable has not passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from soundness.answers import same_answer
from soundness.metrics.base import NO_REFERENCE, ONE_SAMPLE, UNREADABLE, Measured, Metric, MetricGroup, Need, Reader, Value
from soundness.metrics.case import Case
from soundness.records import Chain, Estimate, Outcome, Problem
from soundness.statistics.paired import derive_seed, estimate
from soundness.statistics.totals import interval

__all__ = ["Coverage", "Curve", "coverage_curves", "Vote", "pass_at_k", "vote"]

Floats = NDArray[np.float64]

_RESAMPLES = 1_999


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """Return the chance that at least one of k samples, drawn without replacement from n with c right, is right; None for k > n.

    Unbiased (2107.03374, eq. 1). 0..1, higher is wider coverage.

    >>> pass_at_k(4, 1, 2), pass_at_k(4, 3, 2), pass_at_k(4, 0, 4), pass_at_k(4, 1, 5)
    (0.5, 1.0, 0.0, None)
    """
    if not (0 <= c <= n and k >= 1):
        raise ValueError(f"need 0 <= c <= n and k >= 1, and they are c = {c}, n = {n}, k = {k}")
    if k > n:
        return None
    if n - c < k:
        return 1.0
    fails = 1.0
    for i in range(n - c + 1, n + 1):
        fails *= 1 - k / i
    return 1 - fails


@dataclass(frozen=True, slots=True)
class Vote:
    """What the samples of one problem agree on."""

    answers: tuple[str, ...]
    """The answers given most often, one spelling of each, several where the vote is tied; none where nothing could be read."""
    share: float
    """Share of all samples that give one of them; unreadable ones vote for nothing and count in the total."""
    right: float
    """Chance that it is right, a tie broken at random: 0 where nothing could be read."""


def vote(chains: Sequence[Chain], problem: Problem) -> Vote:
    """Return the vote of `chains`, all of one problem; their order means nothing. Answers are compared by value."""
    parties: list[list[Chain]] = []
    for chain in sorted(chains, key=lambda one: (one.answer or "", one.sample)):
        if chain.answer is None:
            continue
        party = next((p for p in parties if p[0].answer and same_answer(p[0].answer, chain.answer, problem.choices)), None)
        if party is None:
            parties.append([chain])
        else:
            party.append(chain)
    most = max(map(len, parties), default=0)
    tied = [party for party in parties if len(party) == most]
    right = [sum(chain.outcome is Outcome.RIGHT for chain in party) / most for party in tied]
    answers = tuple(party[0].answer for party in tied if party[0].answer is not None)
    return Vote(answers, most / len(chains), sum(right) / len(right) if right else 0.0)


class Coverage(MetricGroup):
    """What several samples reach together."""

    name = "coverage"
    readers = (Reader.NOBODY,)
    needs = frozenset({Need.SEVERAL_SAMPLES})
    cost = "nothing beyond the chains; needs several samples per problem"
    metrics = (
        Metric(
            name="pass_at_1",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="a single sample is right more often",
            description="Chance that one sample is right, 0..1; chains cut off or unreadable have not passed.",
            limitations="Accuracy at temperature 0.",
            source="2107.03374 eq. 1",
        ),
        Metric(
            name="pass_at_half",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="wider coverage",
            description="Chance that one of k = n/2 (rounded up) samples is right, unbiased, 0..1; the curve is in run.json.",
            limitations="Whether the right answer came from a right chain; guessing among C choices reaches 1 - (1 - 1/C)^k.",
            source="2107.03374 eq. 1; 2504.13837",
        ),
        Metric(
            name="coverage",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more problems within reach",
            description="pass@n: whether any of the n samples is right, 0 or 1.",
            limitations="Whether it could be picked out; guessing among few choices reaches 1 soon.",
            source="2504.13837",
        ),
        Metric(
            name="majority_right",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="the vote is right more often",
            description="majority@n: whether the answer given most often is right, 0..1; a tie counts as its chance at random.",
            limitations="How large the majority was.",
            source="2203.11171",
        ),
        Metric(
            name="vote_share",
            unit="fraction",
            direction="none",
            bounds=(0.0, 1.0),
            higher_means="samples agree more",
            description="Share of the samples that give the most frequent answer, 0..1: confidence by vote.",
            limitations="Whether they are right: a collapsed model agrees with itself.",
            source="2203.11171",
        ),
        Metric(
            name="brier_vote",
            unit="squared error",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="the vote's share further from its outcome (worse)",
            description="(share of the most frequent answer - whether it is right)^2.",
            limitations="Whether it errs in accuracy or in confidence.",
            source="Brier 1950",
        ),
    )

    def per_problem(self, cases: Sequence[Case]) -> Iterator[Value]:
        """Yield every metric of one problem from all of its samples."""
        n = len(cases)
        problem = cases[0].problem
        if n < 2:
            yield from (Value(metric.name, None, ONE_SAMPLE) for metric in self.metrics)
            return
        voted = vote([case.chain for case in cases], problem)
        yield Value("vote_share", voted.share if voted.answers else None, "" if voted.answers else UNREADABLE)
        if problem.answer is None:
            for name in ("pass_at_1", "pass_at_half", "coverage", "majority_right", "brier_vote"):
                yield Value(name, None, NO_REFERENCE)
            return
        c = sum(case.chain.outcome is Outcome.RIGHT for case in cases)
        for name, k in (("pass_at_1", 1), ("pass_at_half", (n + 1) // 2), ("coverage", n)):
            yield Value(name, pass_at_k(n, c, k))
        yield Value("majority_right", voted.right)
        if voted.answers:
            # A tie is broken at random: the expected squared error over both outcomes.
            yield Value("brier_vote", voted.right * (voted.share - 1) ** 2 + (1 - voted.right) * voted.share**2)
        else:
            yield Value("brier_vote", None, UNREADABLE)

    def curve(self, measured: Measured) -> dict[str, Any]:
        """Return pass@k and majority@k of every model for every k, and where tuned and base change places."""
        chains: dict[str, dict[str, list[Chain]]] = {name: {} for name in measured.models}
        for chain in measured.chains:
            chains[chain.model].setdefault(chain.problem_id, []).append(chain)
        return {"coverage": coverage_curves(chains, measured.problems, measured.models[0], seed=measured.seed)}


@dataclass(frozen=True, slots=True)
class Curve:
    """pass@k of one model for every k, and majority@k of its first k samples."""

    model: str
    """Name in the run."""
    pass_at: tuple[Estimate, ...]
    """pass@1, pass@2, ..., pass@n, means over problems."""
    majority_at: tuple[float, ...]
    """Share of problems where the vote of the first k samples is right, k = 1 to n."""


def coverage_curves(
    chains: Mapping[str, Mapping[str, Sequence[Chain]]],
    problems: Mapping[str, Problem],
    base: str,
    *,
    seed: int,
    resamples: int = _RESAMPLES,
) -> dict[str, object]:
    """Return, as JSON values, the curves of every model over the problems that all answered, and where each crosses the base's.

    `chains` maps model to problem id to the samples of one problem, in the order drawn. The crossing is the smallest k at
    which base and tuned have changed places since k = 1, by linear interpolation, with a bootstrap interval over
    problems; where the curves do not cross it is None, and `crossed` is the share of resamples in which they do. Curves
    that start equal have no places to change.
    """
    shared = set.intersection(*(set(of) for of in chains.values())) if chains else set()
    names = sorted(name for name in shared if problems[name].answer is not None)
    num = min((len(of[name]) for of in chains.values() for name in names), default=0)
    if num < 2 or len(names) < 2:
        return {"models": [], "crossings": [], "reason": ONE_SAMPLE if names else NO_REFERENCE}
    rng = np.random.default_rng(derive_seed(seed, "coverage"))
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples) / len(names)  # (R, problems)
    curves, rows = {}, []
    for model, of in chains.items():
        table = np.array([_pass_curve(of[name][:num]) for name in names])  # (problems, k)
        drawn = np.concatenate([table.mean(axis=0, keepdims=True), counts @ table])
        curves[model] = drawn
        votes = [[vote(of[name][:k], problems[name]).right for name in names] for k in range(1, num + 1)]
        estimates = [
            estimate(dict(zip(names, table[:, k].tolist(), strict=True)), seed=seed, bounds=(0.0, 1.0)) for k in range(num)
        ]
        curve = Curve(model, tuple(estimates), tuple(float(np.mean(vote)) for vote in votes))
        rows.append(asdict(curve))
    crossings = [_crossing(base, model, curves[base], drawn) for model, drawn in curves.items() if model != base]
    return {"models": rows, "crossings": crossings}


def _pass_curve(samples: Sequence[Chain]) -> list[float]:
    right = sum(chain.outcome is Outcome.RIGHT for chain in samples)
    return [value for k in range(1, len(samples) + 1) if (value := pass_at_k(len(samples), right, k)) is not None]


def crossing(base: Sequence[float], tuned: Sequence[float]) -> float | None:
    """Return the k, from 1 and by linear interpolation, at which two curves change places; None where they never do.

    >>> crossing([0.2, 0.5, 0.8], [0.4, 0.5, 0.6]), crossing([0.2, 0.5], [0.4, 0.6])
    (2.0, None)
    """
    gaps = [two - one for one, two in zip(base, tuned, strict=True)]
    start = gaps[0]
    if abs(start) < 1e-12:
        return None
    for k in range(1, len(gaps)):
        if abs(gaps[k]) < 1e-12 and any(gap * start < -1e-12 for gap in gaps[k:]):
            return float(k + 1)
        if gaps[k] * start < -1e-12:
            return k + gaps[k - 1] / (gaps[k - 1] - gaps[k])
    return None


def _crossing(base: str, tuned: str, one: Floats, two: Floats) -> dict[str, object]:
    places = [crossing(a, b) for a, b in zip(one.tolist(), two.tolist(), strict=True)]
    known = [place for place in places[1:] if place is not None]
    ends = interval(np.array(known)) if known and len(known) == len(places) - 1 else None
    return {
        "base": base,
        "tuned": tuned,
        "k": places[0],
        "low": ends[0] if ends else None,
        "high": ends[1] if ends else None,
        "crossed": len(known) / (len(places) - 1),
    }
