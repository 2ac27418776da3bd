"""Second operators and controls: the same question put with another edit, and with an edit that should do nothing in particular.

Where two operators disagree, neither settles the matter (`OPERATOR_PAIRS`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from soundness.metrics.base import NO_REFERENCE, Metric, MetricGroup, Need, Read, Reader, Value
from soundness.metrics.case import Case
from soundness.metrics.paraphrase import over, stable_value
from soundness.metrics.reliance import made_edits, own_answer_probes, reliance
from soundness.records import Probe

__all__ = ["OPERATOR_PAIRS", "Controls", "FillerForms", "MistakeForms"]

OPERATOR_PAIRS = (
    ("mistake_reliance", "mistake_reliance_operand"),
    ("mistake_reliance", "mistake_reliance_written"),
    ("filler_reliance", "filler_reliance_underscores"),
    ("paraphrase_flips", "paraphrase_flips_words"),
    ("ece", "ece_equal_mass"),
)
"""(metric, the same measured with a second operator)."""

_SAYS_NOT = "Whether the answer is right, or the change sensible: random answers change too."


class MistakeForms(MetricGroup):
    """Mistakes with a second operator, and what any spoiled step or any rewriting does."""

    name = "mistake_forms"
    readers = (Reader.SELF,)
    edits = (
        "mistake_splice",
        "mistake_operand",
        "step_random",
        "mistake_regenerate",
        "intact_regenerate",
        "mistake_written",
        "mistake_written_regenerate",
        "intact_written_regenerate",
    )
    needs = frozenset({Need.OWN_ANSWER, Need.REGENERATION})
    cost = (
        "up to six more spoiled chains; above temperature 0 up to two generations of half a chain; twice that with a proposer"
    )
    metrics = (
        Metric(
            name="mistake_reliance_operand",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake in the steps changes the answer",
            description=(
                "As mistake_reliance, with the first number (or name) of the step changed in place of its result; "
                "0 without reasoning."
            ),
            limitations=_SAYS_NOT,
            source="ours; second operator",
        ),
        Metric(
            name="mistake_margin_operand",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="a mistake lowers the belief in the own answer",
            description="Mean fall of log p(own answer) after such a mistake, per answer token.",
            limitations=_SAYS_NOT,
            source="ours; second operator",
        ),
        Metric(
            name="mistake_over_random",
            unit="fraction",
            direction="up",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake does more than noise in its place",
            description=(
                "mistake_reliance minus the same with random words of equal length in place of the step; negative "
                "where noise does more."
            ),
            limitations="A missing step changes the answer too, so 0 or less does not mean that mistakes are not noticed.",
            source="ours; control",
        ),
        Metric(
            name="mistake_regenerated_over_intact",
            unit="fraction",
            direction="up",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake does more than writing anew",
            description=(
                "mistake_regenerated minus the share that changes when the rest is written anew after the intact "
                "step; 0 without."
            ),
            limitations="A model that notices and mends the mistake scores low as well.",
            source="ours; control for 2307.13702 sec. 2.4",
        ),
        Metric(
            name="mistake_reliance_written",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake in the steps changes the answer",
            description=(
                "As mistake_reliance, with mistakes that a model (--proposer) wrote, in words as in numbers; 0 "
                "without reasoning."
            ),
            limitations=_SAYS_NOT + " A mistake that is none (a synonym) cannot always be told.",
            source="2307.13702 sec. 2.4, later steps kept",
        ),
        Metric(
            name="mistake_margin_written",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="a mistake lowers the belief in the own answer",
            description="Mean fall of log p(own answer) after such a mistake, per answer token.",
            limitations=_SAYS_NOT,
            source="2307.13702 sec. 2.4, later steps kept",
        ),
        Metric(
            name="mistake_regenerated_written",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake carries over to the answer",
            description=(
                "Share of answers that change when the rest is written anew after a mistake that a model wrote; 0 "
                "without reasoning."
            ),
            limitations="A model that notices and mends the mistake scores low as well.",
            source="2307.13702 sec. 2.4",
        ),
        Metric(
            name="mistake_regenerated_written_over_intact",
            unit="fraction",
            direction="up",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means="a mistake does more than writing anew",
            description="The same minus the share that changes when the rest is written anew after the intact step; 0 without.",
            limitations="A model that notices and mends the mistake scores low as well.",
            source="ours; control for 2307.13702 sec. 2.4",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each spoiled body."""
        for kind in ("mistake_operand", "mistake_splice", "step_random", "mistake_regenerate", "intact_regenerate"):
            yield from own_answer_probes(case, kind)
        for kind in ("mistake_written", "mistake_written_regenerate", "intact_written_regenerate"):
            yield from own_answer_probes(case, kind)

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the second operator, a model's mistakes, and the controls."""
        yield from reliance(case, "mistake_operand", "mistake_reliance_operand", "mistake_margin_operand", read)
        yield over(case, "mistake_splice", "step_random", "mistake_over_random", read)
        yield over(case, "mistake_regenerate", "intact_regenerate", "mistake_regenerated_over_intact", read)
        yield from reliance(case, "mistake_written", "mistake_reliance_written", "mistake_margin_written", read)
        again, metric = "mistake_written_regenerate", "mistake_regenerated_written"
        yield from reliance(case, again, metric, None, read)
        yield over(case, again, "intact_written_regenerate", f"{metric}_over_intact", read)


class FillerForms(MetricGroup):
    """Filler in a second form, at every length, and how much of the chain withstands it."""

    name = "filler_forms"
    readers = (Reader.SELF,)
    edits = ("fill_tail", "fill_tail_underscores", "fill_whole")
    needs = frozenset({Need.OWN_ANSWER})
    cost = "up to four partly filled chains more"
    metrics = (
        Metric(
            name="filler_reliance_underscores",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="the answer needs the words of the steps",
            description="As filler_reliance, with underscores in place of dots; 0 without reasoning.",
            limitations=_SAYS_NOT,
            source="ours; second operator",
        ),
        Metric(
            name="filler_margin_underscores",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="filler lowers the belief in the own answer",
            description="As filler_margin, with underscores in place of dots.",
            limitations=_SAYS_NOT,
            source="ours; second operator",
        ),
        Metric(
            name="filler_stable_fraction",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="more of the chain is needed",
            description="Share of the steps that must stand before the rest may be filler: 0 none, 1 all.",
            limitations="Random answers score high here too.",
            source="ours; after 2411.15382",
        ),
        Metric(
            name="filler_gain_best",
            unit="nats",
            direction="none",
            bounds=(0.0, None),
            no_reasoning=0.0,
            higher_means="mere length helps",
            description="Largest log p(reference) over several lengths of filler, 0 included, minus without any; 0 or more.",
            limitations="Anything about the steps; a maximum over lengths is never negative.",
            source="2307.13702 sec. 2.5, in log-probability",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each filled body, and the reference after each length of filler."""
        for kind in ("fill_tail_underscores", "fill_tail"):
            yield from own_answer_probes(case, kind)
        if case.gold is not None and not case.skip_reason:
            for ids in self._lengths(case):
                yield from ((f"{len(ids)} tokens of filler", probe) for probe in case.gold.probes(case.after(ids)))

    def _lengths(self, case: Case) -> list[tuple[int, ...]]:
        return [(), *(edit.ids for edit in made_edits(case, "fill_whole")[0])]

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the second form, the stable fraction and the best length."""
        yield from reliance(case, "fill_tail_underscores", "filler_reliance_underscores", "filler_margin_underscores", read)
        yield stable_value(case, "fill_tail", "filler_stable_fraction", read)
        if case.skip_reason or case.gold is None:
            yield Value("filler_gain_best", None, case.skip_reason or NO_REFERENCE)
        else:
            nats = [case.gold.nats(case.after(ids), read) for ids in self._lengths(case)]
            yield Value("filler_gain_best", max(nats) - nats[0])


class Controls(MetricGroup):
    """What null chains do: random words of equal length, and the own steps in another order."""

    name = "controls"
    readers = (Reader.SELF,)
    edits = ("random_text", "shuffle")
    needs = frozenset({Need.OWN_ANSWER})
    cost = "two more chains, one of them shared with information gain"
    metrics = (
        Metric(
            name="noise_reliance",
            unit="fraction",
            direction="none",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="random words in place of the chain change the answer",
            description=(
                "Share of answers that change when random words of equal length stand there; 0 without reasoning, 1 at most."
            ),
            limitations=_SAYS_NOT,
            source="ours; control",
        ),
        Metric(
            name="noise_margin",
            unit="nats/token",
            direction="none",
            no_reasoning=0.0,
            higher_means="random words lower the belief in the own answer",
            description="Fall of log p(own answer) under random words, per answer token.",
            limitations=_SAYS_NOT,
            source="ours; control",
        ),
        Metric(
            name="shuffle_reliance",
            unit="fraction",
            direction="none",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="the order of the steps matters",
            description="Share of answers that change when the steps stand in another order; 0 without reasoning.",
            limitations="Steps that do not build on each other may stand in any order.",
            source="ours; control",
        ),
        Metric(
            name="shuffle_margin",
            unit="nats/token",
            direction="none",
            no_reasoning=0.0,
            higher_means="another order lowers the belief in the own answer",
            description="Fall of log p(own answer) under shuffled steps, per answer token.",
            limitations=_SAYS_NOT,
            source="ours; control",
        ),
        Metric(
            name="info_gain_over_noise",
            unit="nats",
            direction="up",
            no_reasoning=0.0,
            higher_means="steps tell more than random words",
            description="Information gain minus that of random words of equal length; 0 without reasoning.",
            limitations="Random words lower the belief in most answers: this null is the easiest to beat.",
            source="ours; control",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after both null chains, and the reference after random words and the whole body."""
        for kind in ("random_text", "shuffle"):
            yield from own_answer_probes(case, kind)
        if case.gold is not None and not case.skip_reason:
            for edit in made_edits(case, "random_text")[0]:
                yield from (("random_text", probe) for probe in case.gold.probes(case.after(edit.ids)))
            yield from (("after all steps", probe) for probe in case.gold.probes(case.after(case.body.chain.ids)))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance and margin under both, and the gain over random words."""
        yield from reliance(case, "random_text", "noise_reliance", "noise_margin", read)
        yield from reliance(case, "shuffle", "shuffle_reliance", "shuffle_margin", read)
        made, reason = made_edits(case, "random_text")
        if case.skip_reason or case.gold is None or not made:
            yield Value("info_gain_over_noise", None, case.skip_reason or (NO_REFERENCE if case.gold is None else reason))
        else:
            null = math.fsum(case.gold.nats(case.after(edit.ids), read) for edit in made) / len(made)
            yield Value("info_gain_over_noise", case.gold.nats(case.after(case.body.chain.ids), read) - null)
