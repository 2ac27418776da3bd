"""Second operators and controls: the same question put with another edit, and with an edit that should do nothing in particular.

Where two operators disagree, neither settles the matter (`OPERATOR_PAIRS`, `disagreements`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from soundness.metrics.base import NO_REFERENCE, Metric, Read, Value
from soundness.metrics.case import Case
from soundness.metrics.paraphrase import over, stable_value
from soundness.metrics.reliance import made_edits, own_answer_probes, reliance
from soundness.records import Comparison, Probe

__all__ = ["OPERATOR_PAIRS", "Controls", "Disagreement", "FillerForms", "MistakeForms", "disagreements"]

OPERATOR_PAIRS = (
    ("mistake_reliance", "mistake_reliance_operand"),
    ("mistake_reliance", "mistake_reliance_written"),
    ("filler_reliance", "filler_reliance_underscores"),
    ("paraphrase_flips", "paraphrase_flips_words"),
    ("ece", "ece_equal_mass"),
)
"""(metric, the same measured with a second operator)."""

_SAYS_NOT = "Whether the answer is right, or the change sensible: random answers change too."


class MistakeForms:
    """Mistakes with a second operator, and what any spoiled step or any rewriting does."""

    name = "mistake_forms"
    scorers = ("self",)
    cost = (
        "up to six more spoiled chains; above temperature 0 up to two generations of half a chain; twice that with a proposer"
    )
    metrics = (
        Metric(
            "mistake_reliance_operand",
            "fraction",
            "a mistake in the steps changes the answer",
            "As mistake_reliance, with the first number (or name) of the step changed in place of its result; 0 without reasoning.",
            _SAYS_NOT,
            "ours; second operator",
        ),
        Metric(
            "mistake_margin_operand",
            "nats/token",
            "a mistake lowers the belief in the own answer",
            "Mean fall of log p(own answer) after such a mistake, per answer token.",
            _SAYS_NOT,
            "ours; second operator",
        ),
        Metric(
            "mistake_over_random",
            "fraction",
            "a mistake does more than noise in its place",
            "mistake_reliance minus the same with random words of equal length in place of the step; negative where noise does more.",
            "A missing step changes the answer too, so 0 or less does not mean that mistakes are not noticed.",
            "ours; control",
        ),
        Metric(
            "mistake_regenerated_over_intact",
            "fraction",
            "a mistake does more than writing anew",
            "mistake_regenerated minus the share that changes when the rest is written anew after the intact step; 0 without.",
            "A model that notices and mends the mistake scores low as well.",
            "ours; control for 2307.13702 sec. 2.4",
        ),
        Metric(
            "mistake_reliance_written",
            "fraction",
            "a mistake in the steps changes the answer",
            "As mistake_reliance, with mistakes that a model (--proposer) wrote, in words as in numbers; 0 without reasoning.",
            _SAYS_NOT + " A mistake that is none (a synonym) cannot always be told.",
            "2307.13702 sec. 2.4, later steps kept",
        ),
        Metric(
            "mistake_margin_written",
            "nats/token",
            "a mistake lowers the belief in the own answer",
            "Mean fall of log p(own answer) after such a mistake, per answer token.",
            _SAYS_NOT,
            "2307.13702 sec. 2.4, later steps kept",
        ),
        Metric(
            "mistake_regenerated_written",
            "fraction",
            "a mistake carries over to the answer",
            "Share of answers that change when the rest is written anew after a mistake that a model wrote; 0 without reasoning.",
            "A model that notices and mends the mistake scores low as well.",
            "2307.13702 sec. 2.4",
        ),
        Metric(
            "mistake_regenerated_written_over_intact",
            "fraction",
            "a mistake does more than writing anew",
            "The same minus the share that changes when the rest is written anew after the intact step; 0 without.",
            "A model that notices and mends the mistake scores low as well.",
            "ours; control for 2307.13702 sec. 2.4",
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


class FillerForms:
    """Filler in a second form, at every length, and how much of the chain withstands it."""

    name = "filler_forms"
    scorers = ("self",)
    cost = "up to four partly filled chains more"
    metrics = (
        Metric(
            "filler_reliance_underscores",
            "fraction",
            "the answer needs the words of the steps",
            "As filler_reliance, with underscores in place of dots; 0 without reasoning.",
            _SAYS_NOT,
            "ours; second operator",
        ),
        Metric(
            "filler_margin_underscores",
            "nats/token",
            "filler lowers the belief in the own answer",
            "As filler_margin, with underscores in place of dots.",
            _SAYS_NOT,
            "ours; second operator",
        ),
        Metric(
            "filler_stable_fraction",
            "fraction",
            "more of the chain is needed",
            "Share of the steps that must stand before the rest may be filler: 0 none, 1 all.",
            "Random answers score high here too.",
            "ours; after 2411.15382",
        ),
        Metric(
            "filler_gain_best",
            "nats",
            "mere length helps",
            "Largest log p(reference) over several lengths of filler, 0 included, minus without any; 0 or more.",
            "Anything about the steps; a maximum over lengths is never negative.",
            "2307.13702 sec. 2.5, in log-probability",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after each filled body, and the reference after each length of filler."""
        for kind in ("fill_tail_underscores", "fill_tail"):
            yield from own_answer_probes(case, kind)
        if case.gold is not None and not case.unfit:
            for ids in self._lengths(case):
                yield from ((f"{len(ids)} tokens of filler", probe) for probe in case.gold.probes(case.after(ids)))

    def _lengths(self, case: Case) -> list[tuple[int, ...]]:
        return [(), *(edit.ids for edit in made_edits(case, "fill_whole")[0])]

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the second form, the stable fraction and the best length."""
        yield from reliance(case, "fill_tail_underscores", "filler_reliance_underscores", "filler_margin_underscores", read)
        yield stable_value(case, "fill_tail", "filler_stable_fraction", read)
        if case.unfit or case.gold is None:
            yield Value("filler_gain_best", None, case.unfit or NO_REFERENCE)
        else:
            nats = [case.gold.nats(case.after(ids), read) for ids in self._lengths(case)]
            yield Value("filler_gain_best", max(nats) - nats[0])


class Controls:
    """What null chains do: random words of equal length, and the own steps in another order."""

    name = "controls"
    scorers = ("self",)
    cost = "two more chains, one of them shared with information gain"
    metrics = (
        Metric(
            "noise_reliance",
            "fraction",
            "random words in place of the chain change the answer",
            "Share of answers that change when random words of equal length stand there; 0 without reasoning, 1 at most.",
            _SAYS_NOT,
            "ours; control",
        ),
        Metric(
            "noise_margin",
            "nats/token",
            "random words lower the belief in the own answer",
            "Fall of log p(own answer) under random words, per answer token.",
            _SAYS_NOT,
            "ours; control",
        ),
        Metric(
            "shuffle_reliance",
            "fraction",
            "the order of the steps matters",
            "Share of answers that change when the steps stand in another order; 0 without reasoning.",
            "Steps that do not build on each other may stand in any order.",
            "ours; control",
        ),
        Metric(
            "shuffle_margin",
            "nats/token",
            "another order lowers the belief in the own answer",
            "Fall of log p(own answer) under shuffled steps, per answer token.",
            _SAYS_NOT,
            "ours; control",
        ),
        Metric(
            "info_gain_over_noise",
            "nats",
            "steps tell more than random words",
            "Information gain minus that of random words of equal length; 0 without reasoning.",
            "Random words lower the belief in most answers: this null is the easiest to beat.",
            "ours; control",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after both null chains, and the reference after random words and the whole body."""
        for kind in ("random_text", "shuffle"):
            yield from own_answer_probes(case, kind)
        if case.gold is not None and not case.unfit:
            for edit in made_edits(case, "random_text")[0]:
                yield from (("random_text", probe) for probe in case.gold.probes(case.after(edit.ids)))
            yield from (("after all steps", probe) for probe in case.gold.probes(case.after(case.body.chain.ids)))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield reliance and margin under both, and the gain over random words."""
        yield from reliance(case, "random_text", "noise_reliance", "noise_margin", read)
        yield from reliance(case, "shuffle", "shuffle_reliance", "shuffle_margin", read)
        made, reason = made_edits(case, "random_text")
        if case.unfit or case.gold is None or not made:
            yield Value("info_gain_over_noise", None, case.unfit or (NO_REFERENCE if case.gold is None else reason))
        else:
            null = math.fsum(case.gold.nats(case.after(edit.ids), read) for edit in made) / len(made)
            yield Value("info_gain_over_noise", case.gold.nats(case.after(case.body.chain.ids), read) - null)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Two operators of one measure that do not say the same of a tuned model."""

    tuned: str
    """Name of the tuned model."""
    metric: str
    """The measure with its first operator."""
    second: str
    """The measure with its second operator."""
    scorer: str
    """Who read."""
    how: str
    """In what they differ, figures included."""


def disagreements(comparisons: Sequence[Comparison]) -> list[Disagreement]:
    """Return the pairs of `OPERATOR_PAIRS` that disagree: the 95 % intervals of their differences have no point in common, and do not
    lie on the same side of 0.

    Two edits of different strength may differ in size; they disagree where one fell and the other did not.
    """
    table = {(c.tuned, c.metric, c.scorer): c for c in comparisons}
    found = []
    for (tuned, metric, scorer), one in table.items():
        for other in (second for first, second in OPERATOR_PAIRS if first == metric):
            two = table.get((tuned, other, scorer))
            if two is None:
                continue
            ends = (one.difference.low, one.difference.high, two.difference.low, two.difference.high)
            if any(end is None for end in ends):
                continue
            low, high, low_two, high_two = (float(end) for end in ends if end is not None)
            same_side = (high < 0 and high_two < 0) or (low > 0 and low_two > 0)
            if (high < low_two or high_two < low) and not same_side:
                how = f"{metric} changed by [{low:.3g}, {high:.3g}], {other} by [{low_two:.3g}, {high_two:.3g}]"
                found.append(Disagreement(tuned, metric, other, scorer, how))
    return found
