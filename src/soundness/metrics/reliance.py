"""Reliance: does the answer change when the steps are taken away, exchanged or corrupted?

Each measure replaces (a part of) the body and looks whether the answer stays the one given after the whole body. 0 for a model
that answers from the question alone, 1 for one whose answer follows what it reads. A broken model that answers at random scores
high as well: read reliance beside information gain over null, never alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from soundness.interventions import NoEdit
from soundness.metrics.base import NO_ANSWER, NO_REFERENCE, Metric, MetricGroup, Need, Read, Reader, Value
from soundness.metrics.case import Case
from soundness.records import Edit, Probe

__all__ = ["Filler", "Mistake", "MistakeRegenerated", "Swap", "made_edits", "own_answer_probes", "reliance"]

_SAYS_NOT = "Whether the answer is right, or the change sensible: random answers change too."


def made_edits(case: Case, kind: str) -> tuple[list[Edit], str]:
    """Return the edits of `kind` that could be made and, where there is none, why."""
    edits = case.edits.get(kind, ())
    made = [edit for edit in edits if isinstance(edit, Edit)]
    reason = next((edit.reason for edit in edits if isinstance(edit, NoEdit)), f"no edit of kind {kind} was made")
    return made, "" if made else reason


def own_answer_probes(case: Case, kind: str) -> Iterator[tuple[str, Probe]]:
    """Yield what it takes to see the own answer after each edit of `kind`, and after the untouched body."""
    if case.own is None or case.skip_reason:
        return
    for edit in made_edits(case, kind)[0]:
        role = kind if edit.step is None else f"{kind} at step {edit.step}"
        yield from ((role, probe) for probe in case.own.probes(case.after(edit.ids)))
    yield from (("own answer after all steps", probe) for probe in case.own.probes(case.after(case.body.chain.ids)))


def reliance(case: Case, kind: str, flips: str, margin: str | None, read: Read) -> Iterator[Value]:
    """Yield the share of edits of `kind` that change the answer and the mean fall of the belief in it, nats per token."""
    made, reason = made_edits(case, kind)
    if case.skip_reason or case.own is None or not made:
        why = case.skip_reason or (NO_ANSWER if case.own is None else reason)
        yield Value(flips, None, why)
        if margin:
            yield Value(margin, None, why)
        return
    prefixes = [case.after(edit.ids) for edit in made]
    yield Value(flips, sum(not case.own.given(prefix, read) for prefix in prefixes) / len(prefixes))
    if margin:
        whole = case.own.share(case.after(case.body.chain.ids), read)
        fall = math.fsum(whole - case.own.share(prefix, read) for prefix in prefixes)
        yield Value(margin, fall / len(prefixes) / len(case.own.ids))


class Filler(MetricGroup):
    """Steps replaced by as many tokens of filler."""

    name = "filler"
    readers = (Reader.SELF, Reader.BASE, Reader.TUNED)
    edits = ("fill_tail", "fill_whole")
    needs = frozenset({Need.OWN_ANSWER})
    cost = "up to four partly filled chains and one filled whole"
    metrics = (
        Metric(
            name="filler_reliance",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="the answer needs the words of the steps",
            description=(
                "Share of cuts after which the answer changes when the rest is filler of equal length; 0 without "
                "reasoning, 1 at most."
            ),
            limitations=_SAYS_NOT,
            source="ours; after 2411.15382",
        ),
        Metric(
            name="filler_margin",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="filler lowers the belief in the own answer",
            description="Mean fall of log p(own answer) when the rest is filler, per answer token.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="filler_gain",
            unit="nats",
            direction="none",
            no_reasoning=0.0,
            higher_means="mere length helps",
            description=(
                "log p(reference) after filler as long as the chain minus before any step: a length effect, to be "
                "held against the gain."
            ),
            limitations="Anything about the steps.",
            source="2307.13702 sec. 2.5, in log-probability",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each partly filled body, and the reference after nested lengths of filler."""
        yield from own_answer_probes(case, "fill_tail")
        if case.gold is not None and not case.skip_reason:
            yield from (("after 0 steps", probe) for probe in case.gold.probes(case.after(())))
            for edit in made_edits(case, "fill_whole")[0]:
                role = f"{len(edit.ids)} tokens of filler"
                yield from ((role, probe) for probe in case.gold.probes(case.after(edit.ids)))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance, margin and the gain of mere length."""
        yield from reliance(case, "fill_tail", "filler_reliance", "filler_margin", read)
        filled, reason = made_edits(case, "fill_whole")
        if case.skip_reason or case.gold is None or not filled:
            yield Value("filler_gain", None, case.skip_reason or (NO_REFERENCE if case.gold is None else reason))
        else:
            longest = max(filled, key=lambda edit: len(edit.ids))
            yield Value("filler_gain", case.gold.nats(case.after(longest.ids), read) - case.gold.nats(case.after(()), read))


class Swap(MetricGroup):
    """The body of another problem in place of the own one."""

    name = "swap"
    readers = (Reader.SELF, Reader.BASE, Reader.TUNED)
    edits = ("swap",)
    needs = frozenset({Need.OWN_ANSWER})
    cost = "one more chain, shared with information gain"
    metrics = (
        Metric(
            name="swap_reliance",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="the answer follows the chain it is given",
            description=(
                "Share of answers that change when another problem's chain stands there; 0 without reasoning, 1 at most."
            ),
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="swap_margin",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="another chain lowers the belief in the own answer",
            description="Fall of log p(own answer) under another problem's chain, per answer token.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after the donor's body and after the own one."""
        yield from own_answer_probes(case, "swap")

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance and margin."""
        yield from reliance(case, "swap", "swap_reliance", "swap_margin", read)


class Mistake(MetricGroup):
    """One number of one step changed, the steps behind it kept."""

    name = "mistake"
    readers = (Reader.SELF, Reader.BASE, Reader.TUNED)
    edits = ("mistake_splice",)
    needs = frozenset({Need.OWN_ANSWER})
    cost = "up to three corrupted chains"
    metrics = (
        Metric(
            name="mistake_reliance",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake in the steps changes the answer",
            description=(
                "Share of single changed numbers after which the answer changes although the later steps stand; 0 "
                "without reasoning."
            ),
            limitations=_SAYS_NOT + " Later steps still state the old answer, so a model that copies the last number scores 0.",
            source="ours; splice form, not comparable with 2307.13702",
        ),
        Metric(
            name="mistake_margin",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="a mistake lowers the belief in the own answer",
            description="Mean fall of log p(own answer) after a spliced mistake, per answer token.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each corrupted body."""
        yield from own_answer_probes(case, "mistake_splice")

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance and margin."""
        yield from reliance(case, "mistake_splice", "mistake_reliance", "mistake_margin", read)


class MistakeRegenerated(MetricGroup):
    """One number of one step changed, and the steps behind it written anew."""

    name = "mistake_regenerated"
    readers = (Reader.SELF,)
    edits = ("mistake_regenerate",)
    needs = frozenset({Need.OWN_ANSWER, Need.REGENERATION})
    cost = "up to two generations of half a chain"
    metrics = (
        Metric(
            name="mistake_regenerated",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake leads the rest of the chain elsewhere",
            description=(
                "Share of mistakes after which the model writes the rest anew and arrives at another answer; 0 "
                "without reasoning."
            ),
            limitations="A model that notices and mends the mistake scores low as well.",
            source="2307.13702 sec. 2.4, rule-based mistakes, means over steps",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each chain that was written on from a mistake."""
        yield from own_answer_probes(case, "mistake_regenerate")

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the share of mistakes that lead elsewhere."""
        yield from reliance(case, "mistake_regenerate", "mistake_regenerated", None, read)
