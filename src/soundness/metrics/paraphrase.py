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

from soundness.metrics.base import NO_ANSWER, Metric, MetricGroup, Need, Read, Reader, Value
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


class Paraphrase(MetricGroup):
    """Steps in other words."""

    name = "paraphrase"
    readers = (Reader.SELF,)
    edits = ("paraphrase_tail", "paraphrase_tail_words", "paraphrase_regenerate", "paraphrase_intact_regenerate")
    needs = frozenset({Need.OWN_ANSWER, Need.REGENERATION})
    cost = "up to four partly reworded chains with each of two operators, and up to four generations of half a chain"
    metrics = (
        Metric(
            name="paraphrase_flips",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means=FRAGILE,
            description="Share of cuts after which the answer changes when the rest is said in other words; 0..1.",
            limitations=_SAYS_NOT,
            source="ours; after 2411.15382",
        ),
        Metric(
            name="paraphrase_flips_words",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means=FRAGILE,
            description="The same with a second operator (words for signs, framed facts): a check on the first.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="paraphrase_margin",
            unit="nats/token",
            direction="down",
            no_reasoning=0.0,
            higher_means=FRAGILE,
            description="Mean fall of log p(own answer) when the rest is said in other words, per answer token.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="paraphrase_stable_fraction",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means=FRAGILE,
            description="Share of the steps that must keep their words for the answer to stay: 0 none, 1 all.",
            limitations=_SAYS_NOT,
            source="ours; after 2411.15382",
        ),
        Metric(
            name="paraphrase_regenerated",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means=FRAGILE,
            description=(
                "Share of reworded beginnings after which the model writes the rest anew and arrives at another answer."
            ),
            limitations=_SAYS_NOT + " Writing anew varies by itself above temperature 0: read it over intact.",
            source="2307.13702 sec. 2.6",
        ),
        Metric(
            name="paraphrase_regenerated_over_intact",
            unit="fraction",
            direction="down",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means=FRAGILE,
            description=(
                "The same minus the share that changes when the beginning is kept word for word and the rest written anew."
            ),
            limitations=_SAYS_NOT,
            source="ours; control for 2307.13702 sec. 2.6",
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
    if case.skip_reason or case.own is None or not made:
        return Value(metric, None, case.skip_reason or (NO_ANSWER if case.own is None else reason))
    points = sorted((edit.step or 0, case.own.given(case.after(edit.ids), read)) for edit in made)
    return Value(metric, stable_from(points, case.body.num_steps))


def over(case: Case, kind: str, control: str, metric: str, read: Read) -> Value:
    """Return the share of edits of `kind` that change the answer minus that of the edits of `control`."""
    shares = []
    for one in (kind, control):
        made, reason = made_edits(case, one)
        if case.skip_reason or case.own is None or not made:
            return Value(metric, None, case.skip_reason or (NO_ANSWER if case.own is None else reason))
        shares.append(math.fsum(not case.own.given(case.after(edit.ids), read) for edit in made) / len(made))
    return Value(metric, shares[0] - shares[1])
