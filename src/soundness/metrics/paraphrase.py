"""Paraphrase, an invariance control: does the answer hang on the wording of the steps?

Here **higher is more fragile**, everywhere. A chain that is used for its meaning does not notice other words, and neither
does a model that ignores its chain: low values mean *used by meaning* only beside a high reliance, and *unused* beside a
low one.

Two forms that are not comparable: the rest of the chain in other words with nothing written anew (`tail`, after 2411.15382), and the
beginning in other words with the rest written anew (`regenerated`, 2307.13702 sec. 2.6), less what writing anew does by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from soundness.metrics.base import NO_ANSWER, Metric, Read, Value
from soundness.metrics.case import Case
from soundness.metrics.reliance import made_edits, own_answer_probes, reliance
from soundness.records import Probe

__all__ = ["Paraphrase", "stable_from"]

FRAGILE = "answers hang on the wording (worse)"
"""The sign of every paraphrase measure, in the one place that fixes it."""

_SAYS_NOT = "Whether the steps are used: 0 for a model that uses them by meaning and for one that ignores them."
WHOLE = "own answer after all steps"


def stable_from(points: Sequence[tuple[int, bool]], num_steps: int) -> float:
    """Return the smallest share i/K of kept steps from which on the answer stays the own one.

    `points` are (kept steps i, whether the answer is the own one), ascending, i < K; with all K kept it always is.

    >>> stable_from([(0, True), (2, True)], 4), stable_from([(0, True), (2, False)], 4), stable_from([(0, False), (2, True)], 4)
    (0.0, 1.0, 0.5)
    """
    settled = num_steps
    for kept, same in reversed(points):
        if not same:
            break
        settled = kept
    return settled / num_steps


class Paraphrase:
    """Steps in other words."""

    name = "paraphrase"
    scorers = ("self",)
    cost = "up to four partly reworded chains with each of two operators, and up to four generations of half a chain"
    metrics = (
        Metric(
            "paraphrase_flips",
            "fraction",
            FRAGILE,
            "Share of cuts after which the answer changes when the rest is said in other words; 0..1.",
            _SAYS_NOT,
            "ours; after 2411.15382",
        ),
        Metric(
            "paraphrase_flips_words",
            "fraction",
            FRAGILE,
            "The same with a second operator (words for signs, framed facts): a check on the first.",
            _SAYS_NOT,
            "ours",
        ),
        Metric(
            "paraphrase_margin",
            "nats/token",
            FRAGILE,
            "Mean fall of log p(own answer) when the rest is said in other words, per answer token.",
            _SAYS_NOT,
            "ours",
        ),
        Metric(
            "paraphrase_stable_fraction",
            "fraction",
            FRAGILE,
            "Share of the steps that must keep their words for the answer to stay: 0 none, 1 all.",
            _SAYS_NOT,
            "ours; after 2411.15382",
        ),
        Metric(
            "paraphrase_regenerated",
            "fraction",
            FRAGILE,
            "Share of reworded beginnings after which the model writes the rest anew and arrives at another answer.",
            _SAYS_NOT + " Writing anew varies by itself above temperature 0: read it over intact.",
            "2307.13702 sec. 2.6",
        ),
        Metric(
            "paraphrase_regenerated_over_intact",
            "fraction",
            FRAGILE,
            "The same minus the share that changes when the beginning is kept word for word and the rest written anew.",
            _SAYS_NOT,
            "ours; control for 2307.13702 sec. 2.6",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each reworded body."""
        for kind in ("paraphrase_tail", "paraphrase_tail_words", "paraphrase_regenerate", "paraphrase_intact_regenerate"):
            yield from own_answer_probes(case, kind)

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield flips, margin, stable fraction and both forms written anew."""
        yield from reliance(case, "paraphrase_tail", "paraphrase_flips", "paraphrase_margin", read)
        yield from reliance(case, "paraphrase_tail_words", "paraphrase_flips_words", None, read)
        yield stable_value(case, "paraphrase_tail", "paraphrase_stable_fraction", read)
        yield from reliance(case, "paraphrase_regenerate", "paraphrase_regenerated", None, read)
        yield over(case, "paraphrase_regenerate", "paraphrase_intact_regenerate", "paraphrase_regenerated_over_intact", read)


def stable_value(case: Case, kind: str, metric: str, read: Read) -> Value:
    """Return the stable fraction over the edits of `kind`, whose `step` is the number of steps kept (None for 0)."""
    made, reason = made_edits(case, kind)
    if case.unfit or case.own is None or not made:
        return Value(metric, None, case.unfit or (NO_ANSWER if case.own is None else reason))
    points = sorted((edit.step or 0, case.own.given(case.after(edit.ids), read)) for edit in made)
    return Value(metric, stable_from(points, case.body.num_steps))


def over(case: Case, kind: str, control: str, metric: str, read: Read) -> Value:
    """Return the share of edits of `kind` that change the answer minus that of the edits of `control`."""
    shares = []
    for one in (kind, control):
        made, reason = made_edits(case, one)
        if case.unfit or case.own is None or not made:
            return Value(metric, None, case.unfit or (NO_ANSWER if case.own is None else reason))
        shares.append(math.fsum(not case.own.given(case.after(edit.ids), read) for edit in made) / len(made))
    return Value(metric, shares[0] - shares[1])
