"""Reliance: does the answer change when the steps are taken away, exchanged or spoiled?

Each measure replaces (a part of) the body and looks whether the answer stays the one given after the whole body. 0 for a model
that answers from the question alone, 1 for one whose answer follows what it reads. A broken model that answers at random scores
high as well: read reliance beside information gain over null, never alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from soundness.interventions import NoEdit
from soundness.metrics.base import NO_ANSWER, NO_REFERENCE, Metric, Read, Value
from soundness.metrics.case import Case
from soundness.records import Edit, Probe

__all__ = ["Filler", "Mistake", "Swap", "made_edits", "own_answer_probes", "reliance"]

_SAYS_NOT = "Whether the answer is right, or the change sensible: random answers change too."


def made_edits(case: Case, kind: str) -> tuple[list[Edit], str]:
    """Return the edits of `kind` that could be made and, where there is none, why."""
    edits = case.edits.get(kind, ())
    made = [edit for edit in edits if isinstance(edit, Edit)]
    reason = next((edit.reason for edit in edits if isinstance(edit, NoEdit)), f"no edit of kind {kind} was made")
    return made, "" if made else reason


def own_answer_probes(case: Case, kind: str) -> Iterator[tuple[str, Probe]]:
    """Yield what it takes to see the own answer after each edit of `kind`, and after the untouched body."""
    if case.own is None or case.unfit:
        return
    for edit in made_edits(case, kind)[0]:
        role = kind if edit.step is None else f"{kind} at step {edit.step}"
        yield from ((role, probe) for probe in case.own.probes(case.after(edit.ids)))
    yield from (("own answer after all steps", probe) for probe in case.own.probes(case.after(case.body.chain.ids)))


def reliance(case: Case, kind: str, flips: str, margin: str | None, read: Read) -> Iterator[Value]:
    """Yield the share of edits of `kind` that change the answer and the mean fall of the belief in it, nats per token."""
    made, reason = made_edits(case, kind)
    if case.unfit or case.own is None or not made:
        why = case.unfit or (NO_ANSWER if case.own is None else reason)
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


class Filler:
    """Steps replaced by as many tokens of filler."""

    name = "filler"
    scorers = ("self", "base", "tuned")
    cost = "up to four partly filled chains and one filled whole"
    metrics = (
        Metric(
            "filler_reliance",
            "fraction",
            "the answer needs the words of the steps",
            "Share of cuts after which the answer changes when the rest is filler of equal length; 0 without reasoning, 1 at most.",
            _SAYS_NOT,
            "ours; after 2411.15382",
        ),
        Metric(
            "filler_margin",
            "nats/token",
            "filler lowers the belief in the own answer",
            "Mean fall of log p(own answer) when the rest is filler, per answer token.",
            _SAYS_NOT,
            "ours",
        ),
        Metric(
            "filler_gain",
            "nats",
            "mere length helps",
            "log p(reference) after filler as long as the chain minus before any step: a length effect, to be held against the gain.",
            "Anything about the steps.",
            "2307.13702 sec. 2.5, in log-probability",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each partly filled body, and the reference after nested lengths of filler."""
        yield from own_answer_probes(case, "fill_tail")
        if case.gold is not None and not case.unfit:
            yield from (("after 0 steps", probe) for probe in case.gold.probes(case.after(())))
            for edit in made_edits(case, "fill_whole")[0]:
                role = f"{len(edit.ids)} tokens of filler"
                yield from ((role, probe) for probe in case.gold.probes(case.after(edit.ids)))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance, margin and the gain of mere length."""
        yield from reliance(case, "fill_tail", "filler_reliance", "filler_margin", read)
        filled, reason = made_edits(case, "fill_whole")
        if case.unfit or case.gold is None or not filled:
            yield Value("filler_gain", None, case.unfit or (NO_REFERENCE if case.gold is None else reason))
        else:
            longest = max(filled, key=lambda edit: len(edit.ids))
            yield Value("filler_gain", case.gold.nats(case.after(longest.ids), read) - case.gold.nats(case.after(()), read))


class Swap:
    """The body of another problem in place of the own one."""

    name = "swap"
    scorers = ("self", "base", "tuned")
    cost = "one more chain, shared with information gain"
    metrics = (
        Metric(
            "swap_reliance",
            "fraction",
            "the answer follows the chain it is given",
            "Share of answers that change when another problem's chain stands there; 0 without reasoning, 1 at most.",
            _SAYS_NOT,
            "ours",
        ),
        Metric(
            "swap_margin",
            "nats/token",
            "another chain lowers the belief in the own answer",
            "Fall of log p(own answer) under another problem's chain, per answer token.",
            _SAYS_NOT,
            "ours",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after the donor's body and after the own one."""
        yield from own_answer_probes(case, "swap")

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance and margin."""
        yield from reliance(case, "swap", "swap_reliance", "swap_margin", read)


class Mistake:
    """One number of one step changed: with the old tail kept, and with the tail written anew."""

    name = "mistake"
    scorers = ("self", "base", "tuned")
    cost = "up to three spoiled chains, and up to two generations of half a chain"
    metrics = (
        Metric(
            "mistake_reliance",
            "fraction",
            "a mistake in the steps changes the answer",
            "Share of single changed numbers after which the answer changes although the later steps stand; 0 without reasoning.",
            _SAYS_NOT + " Later steps still state the old answer, so a model that copies the last number scores 0.",
            "ours; splice form, not comparable with 2307.13702",
        ),
        Metric(
            "mistake_margin",
            "nats/token",
            "a mistake lowers the belief in the own answer",
            "Mean fall of log p(own answer) after a spliced mistake, per answer token.",
            _SAYS_NOT,
            "ours",
        ),
        Metric(
            "mistake_regenerated",
            "fraction",
            "a mistake leads the rest of the chain elsewhere",
            "Share of mistakes after which the model writes the rest anew and arrives at another answer; 0 without reasoning.",
            "A model that notices and mends the mistake scores low as well.",
            "2307.13702 sec. 2.4, rule-based mistakes, means over steps",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each spoiled body."""
        yield from own_answer_probes(case, "mistake_splice")
        yield from own_answer_probes(case, "mistake_regenerate")

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance on both kinds of tail."""
        yield from reliance(case, "mistake_splice", "mistake_reliance", "mistake_margin", read)
        yield from reliance(case, "mistake_regenerate", "mistake_regenerated", None, read)
