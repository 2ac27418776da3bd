"""What each single step does: true-thinking score (2510.24941), removal of one step, and the gap to no steps at all.

    S_x(c) = p(own answer | context c, step x), read right after the step; 1 is intact, 0 perturbed, context the steps before it
    necessity = S_1(1) - S_0(1)        sufficiency = S_1(0) - S_0(0)
    true-thinking score = (|necessity| + |sufficiency|) / 2

Absolute values turn noise into something positive, so the signed halves are kept and the same score of a mere paraphrase of the step
is subtracted. All of it hangs off two trunks, the intact chain and the perturbed one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from soundness.interventions import NoEdit
from soundness.metrics.base import NO_ANSWER, NO_REFERENCE, Metric, MetricGroup, Need, Read, Reader, Value, missing
from soundness.metrics.case import Case
from soundness.records import Edit, Probe

__all__ = ["LatentGap", "Necessity", "Redundancy"]

_TRUE, _DECORATIVE = 0.7, 0.005
_SAYS_NOT = "Whether the model thinks by this step: it sees what the answer does when the step changes, not why."
NO_STEP_PARAPHRASED = "no step could be paraphrased"

Ids = tuple[int, ...]


def _perturbed(case: Case) -> list[Ids]:
    """Return each step's perturbed ids."""
    found = []
    for index, edit in enumerate(case.edits.get("perturb", ())):
        assert isinstance(edit, Edit)
        found.append(edit.ids[len(case.body.chain.before(index)) :])
    return found


class Necessity(MetricGroup):
    """The true-thinking score and its halves."""

    name = "necessity"
    readers = (Reader.SELF,)
    edits = ("perturb", "paraphrase_step")
    needs = frozenset({Need.OWN_ANSWER})
    cost = "four answers per step on two trunks, and two more where the step can be paraphrased"
    metrics = (
        Metric(
            name="true_thinking",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="single steps matter more",
            description="Mean over steps of (|necessity| + |sufficiency|)/2, 0..1; 0 without reasoning.",
            limitations=_SAYS_NOT + " Noise makes it positive: read it over its control.",
            source="2510.24941",
        ),
        Metric(
            name="true_thinking_over_paraphrase",
            unit="fraction",
            direction="up",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means="a false step matters more than a reworded one",
            description=(
                "True-thinking score minus the same score of a paraphrase in its place; 0 without reasoning or for noise."
            ),
            limitations=_SAYS_NOT,
            source="ours; control for 2510.24941",
        ),
        Metric(
            name="necessity",
            unit="fraction",
            direction="up",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means="spoiling a step lowers the belief in the own answer",
            description=(
                "Mean over steps of p(own answer) after the intact step minus after the spoiled one, intact "
                "context; -1..1, 0 without."
            ),
            limitations=_SAYS_NOT + " Steps said twice are not necessary.",
            source="2510.24941, signed half",
        ),
        Metric(
            name="sufficiency",
            unit="fraction",
            direction="up",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means="a step brings the own answer back",
            description=(
                "The same difference after a spoiled context: what the step does by itself; -1..1, 0 without reasoning."
            ),
            limitations=_SAYS_NOT,
            source="2510.24941, signed half",
        ),
        Metric(
            name="necessity_margin",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="spoiling a step lowers the belief in the own answer",
            description="Necessity in log-probability, per answer token.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="sufficiency_margin",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="a step brings the own answer back",
            description="Sufficiency in log-probability, per answer token.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="true_steps",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            no_reasoning=0.0,
            higher_means="more steps that matter",
            description="Share of steps with a true-thinking score of at least .7.",
            limitations="The threshold is the source's convention, no fact about thinking.",
            source="2510.24941",
        ),
        Metric(
            name="decorative_steps",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            no_reasoning=1.0,
            higher_means="more steps for show",
            description="Share of steps with a true-thinking score of at most .005; 1 without reasoning.",
            limitations="The threshold is the source's convention, no fact about thinking.",
            source="2510.24941",
        ),
    )

    def _quads(self, case: Case) -> Iterator[tuple[int, tuple[Ids, Ids, Ids, Ids]]]:
        """Yield (step, prefixes): intact context with intact and spoiled step, spoiled context with both."""
        body, spoiled = case.body.chain, _perturbed(case)
        trunk: Ids = ()
        for index, false_step in enumerate(spoiled):
            true_step, before = body.step_ids(index), body.before(index)
            parts = (before + true_step, before + false_step, trunk + true_step, trunk + false_step)
            yield index, tuple(map(case.after, parts))  # type: ignore[misc]
            trunk += false_step

    def _controls(self, case: Case) -> Iterator[tuple[int, tuple[Ids, Ids]]]:
        """Yield (step, prefixes): intact and spoiled context, each with the paraphrased step."""
        body, spoiled = case.body.chain, _perturbed(case)
        trunk: Ids = ()
        paraphrased = {edit.step: edit for edit in case.edits.get("paraphrase_step", ()) if isinstance(edit, Edit)}
        for index, false_step in enumerate(spoiled):
            edit = paraphrased.get(index)
            if edit is not None:
                new = edit.ids[len(body.before(index)) :]
                yield index, (case.after(body.before(index) + new), case.after(trunk + new))
            trunk += false_step

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after the four combinations of every step, and after its paraphrases."""
        if case.own is None or case.skip_reason:
            return
        yield from (("own answer after all steps", probe) for probe in case.own.probes(case.after(case.body.chain.ids)))
        for index, prefixes in self._quads(case):
            for prefix in prefixes:
                yield from ((f"necessity of step {index}", probe) for probe in case.own.probes(prefix))
        for index, pair in self._controls(case):
            for prefix in pair:
                yield from ((f"paraphrase of step {index}", probe) for probe in case.own.probes(prefix))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the score, its halves, its control and the shares of steps."""
        if case.own is None or case.skip_reason:
            yield from missing(self.metrics, case.skip_reason or NO_ANSWER)
            return
        own = case.own
        nats = {index: [own.share(prefix, read) for prefix in prefixes] for index, prefixes in self._quads(case)}
        p = {index: [math.exp(one) for one in four] for index, four in nats.items()}
        need = [one[0] - one[1] for one in p.values()]
        enough = [one[2] - one[3] for one in p.values()]
        scores = [(abs(one) + abs(two)) / 2 for one, two in zip(need, enough, strict=True)]
        num = len(scores)
        yield Value("true_thinking", math.fsum(scores) / num)
        controls = {index: [math.exp(own.share(prefix, read)) for prefix in pair] for index, pair in self._controls(case)}
        if controls:
            over = [
                scores[index] - (abs(p[index][0] - pair[0]) + abs(p[index][2] - pair[1])) / 2
                for index, pair in controls.items()
            ]
            yield Value("true_thinking_over_paraphrase", math.fsum(over) / len(over))
        else:
            yield Value("true_thinking_over_paraphrase", None, NO_STEP_PARAPHRASED)
        yield Value("necessity", math.fsum(need) / num)
        yield Value("sufficiency", math.fsum(enough) / num)
        size = num * len(own.ids)
        yield Value("necessity_margin", math.fsum(four[0] - four[1] for four in nats.values()) / size)
        yield Value("sufficiency_margin", math.fsum(four[2] - four[3] for four in nats.values()) / size)
        yield Value("true_steps", sum(one >= _TRUE for one in scores) / num)
        yield Value("decorative_steps", sum(one <= _DECORATIVE for one in scores) / num)


class Redundancy(MetricGroup):
    """One step left out, the tail kept."""

    name = "redundancy"
    readers = (Reader.SELF,)
    edits = ("drop",)
    needs = frozenset({Need.OWN_ANSWER})
    cost = "one chain without a step, for each of up to six steps"
    metrics = (
        Metric(
            name="redundancy",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            no_reasoning=1.0,
            higher_means="more steps can be left out",
            description="Share of steps whose removal leaves the answer what it was; 1 without reasoning.",
            limitations="Steps that say the same each score as redundant: one of them may still be needed.",
            source="ours",
        ),
        Metric(
            name="drop_margin",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="leaving a step out lowers the belief in the own answer",
            description=(
                "Mean over steps of log p(own answer) with the whole chain minus without the step, per answer token; 0 without."
            ),
            limitations="Whether the model misses the step's content or its place in the text.",
            source="ours",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the own answer after the chain without each step, and after all of it."""
        if case.own is None or case.skip_reason:
            return
        for edit in case.edits.get("drop", ()):
            if isinstance(edit, Edit):
                yield from ((f"without step {edit.step}", probe) for probe in case.own.probes(case.after(edit.ids)))
        yield from (("own answer after all steps", probe) for probe in case.own.probes(case.after(case.body.chain.ids)))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the share of redundant steps and the mean fall of the belief."""
        edits = case.edits.get("drop", ())
        made = [edit for edit in edits if isinstance(edit, Edit)]
        if case.own is None or case.skip_reason or not made:
            reason = next((edit.reason for edit in edits if isinstance(edit, NoEdit)), "no step was left out")
            yield from missing(self.metrics, case.skip_reason or (NO_ANSWER if case.own is None else reason))
            return
        own = case.own
        prefixes = [case.after(edit.ids) for edit in made]
        whole = own.share(case.after(case.body.chain.ids), read)
        yield Value("redundancy", sum(own.given(prefix, read) for prefix in prefixes) / len(made))
        fall = math.fsum(whole - own.share(prefix, read) for prefix in prefixes)
        yield Value("drop_margin", fall / len(made) / len(own.ids))


class LatentGap(MetricGroup):
    """The reference answer's probability with the whole chain and with none."""

    name = "latent_gap"
    readers = (Reader.SELF,)
    cost = "two answers, shared with information gain"
    metrics = (
        Metric(
            name="latent_gap",
            unit="fraction",
            direction="up",
            bounds=(-1.0, 1.0),
            no_reasoning=0.0,
            higher_means="the chain is needed for the right answer",
            description="p(reference) after the whole chain minus p(reference) without it, -1..1; 0 without reasoning.",
            limitations=(
                "Small where the question is easy: read it beside the accuracy without chain. Shrinks with the answer's length."
            ),
            source="ricotta; in nats it is info_gain",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the reference after the chain and without it."""
        if case.gold is not None and not case.skip_reason:
            for name, prefix in (("after all steps", case.after(case.body.chain.ids)), ("after 0 steps", case.after(()))):
                yield from ((name, probe) for probe in case.gold.probes(prefix))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield the gap."""
        if case.gold is None or case.skip_reason:
            yield Value("latent_gap", None, case.skip_reason or NO_REFERENCE)
            return
        whole, none = (case.gold.share(prefix, read) for prefix in (case.after(case.body.chain.ids), case.after(())))
        yield Value("latent_gap", math.exp(whole) - math.exp(none))
