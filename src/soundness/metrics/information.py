"""Information gain: how much the written steps raise the log-probability of the reference answer.

    S_i = log p(answer | prompt, first i steps, cue)        IG = S_K - S_0 = sum of the steps' gains

Answer tokens only, nats. Read by the writer (does the model use its steps?) and by the base (do the steps carry information, on
one yardstick?), each beside two nulls: another problem's chain, and the same steps in another order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from soundness.interventions import NoEdit
from soundness.metrics.base import NO_REFERENCE, NOT_CHOICE, Metric, MetricGroup, Read, Reader, Value, missing
from soundness.metrics.case import Case
from soundness.records import Probe

__all__ = ["InformationGain", "infogain_ppl", "infogain_sequence"]

_LEAST_SURPRISE = 0.05  # nats; below it the share of surprise removed is a quotient of noise
_SAYS_NOT = "Whether the model uses what its steps carry (see reliance), or whether they are true."


def infogain_ppl(ladder_nats: Sequence[float], num_tokens: int) -> float:
    """Return the perplexity form of information gain: mean fall of the answer's perplexity per step (2506.02126, sec. 3.3).

    It telescopes to (PPL_0 - PPL_K)/K: only the ends count, so a longer chain with the same ends scores lower.

    >>> round(infogain_ppl([-4, -2, -0.2], 2), 3)
    3.142
    """
    perplexity = [math.exp(min(-nats / num_tokens, 700.0)) for nats in ladder_nats]
    return (perplexity[0] - perplexity[-1]) / (len(perplexity) - 1)


def infogain_sequence(whole_nats: Sequence[float], num_tokens: Sequence[int]) -> float:
    """Return what the code published with 2506.02126 means to compute: perplexities of the whole string, over K + 1.

    `whole_nats[i]` is log p of question, first i steps and answer together, nats, and `num_tokens[i]` their number. Text that is
    fluent and says nothing lowers the perplexity of the whole and so earns gain: read it beside `infogain_ppl`, never alone.

    >>> round(infogain_sequence([-8, -10], [4, 10]), 3)
    2.335
    """
    perplexity = [math.exp(min(-nats / num, 700.0)) for nats, num in zip(whole_nats, num_tokens, strict=True)]
    return (perplexity[0] - perplexity[-1]) / len(perplexity)


class InformationGain(MetricGroup):
    """Information gain, whole and divided, over its nulls."""

    name = "info_gain"
    readers = (Reader.SELF, Reader.BASE, Reader.TUNED)
    edits = ("swap", "shuffle")
    cost = "one answer per step, and two more chains (the nulls)"
    metrics = (
        Metric(
            name="info_gain",
            unit="nats",
            direction="up",
            no_reasoning=0.0,
            higher_means="steps make the reference answer likelier",
            description=(
                "log p(answer) after all steps minus before any; 0 without reasoning, at most -log p before, "
                "negative when misled."
            ),
            limitations=_SAYS_NOT + " A part of it any text of that kind would earn: read it over its nulls.",
            source="ours; after 2506.02126 sec. 3.3, 2411.11984",
        ),
        Metric(
            name="info_gain_over_swap",
            unit="nats",
            direction="up",
            no_reasoning=0.0,
            higher_means="steps tell more than another problem's steps",
            description=(
                "Information gain minus that of another problem's chain of similar length and other answer; 0 "
                "without reasoning."
            ),
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="info_gain_over_shuffle",
            unit="nats",
            direction="up",
            no_reasoning=0.0,
            higher_means="the order of the steps matters",
            description="Information gain minus that of the same steps in another order; 0 if only the words count.",
            limitations=_SAYS_NOT + " Steps that all state the answer keep it in any order.",
            source="ours",
        ),
        Metric(
            name="info_gain_before_answer",
            unit="nats",
            direction="up",
            no_reasoning=0.0,
            higher_means="steps help before one of them states the answer",
            description="Gain of the steps before the first that contains the answer; all steps where none does.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="info_gain_per_answer_token",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="steps make the reference answer likelier",
            description=(
                "Information gain divided by the answer's scored tokens, for averages over problems with long and "
                "short answers."
            ),
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="info_gain_per_step",
            unit="nats/step",
            direction="up",
            no_reasoning=0.0,
            higher_means="each step carries more",
            description="Information gain divided by the number of steps.",
            limitations="Falls when chains merely grow longer: read the whole first.",
            source="ours",
        ),
        Metric(
            name="info_gain_per_chain_token",
            unit="nats/token",
            direction="up",
            no_reasoning=0.0,
            higher_means="each written token carries more",
            description="Information gain divided by the tokens of the steps.",
            limitations="Falls when chains merely grow wordier: read the whole first.",
            source="ours",
        ),
        Metric(
            name="info_gain_share",
            unit="fraction",
            direction="up",
            bounds=(None, 1.0),
            no_reasoning=0.0,
            higher_means="more of the surprise is removed",
            description="Information gain as a share of the surprise before any step, at most 1.",
            limitations="Undefined where the answer was expected from the start.",
            source="ours",
        ),
        Metric(
            name="info_gain_choice",
            unit="nats",
            direction="up",
            no_reasoning=0.0,
            higher_means="steps favour the right choice",
            description="Information gain on the answer's probability among the choices; the liking for the format cancels.",
            limitations=_SAYS_NOT,
            source="ours",
        ),
        Metric(
            name="infogain_ppl",
            unit="perplexity/step",
            direction="up",
            no_reasoning=0.0,
            higher_means="perplexity of the answer falls more per step",
            description="Mean fall of the answer's perplexity per step: the published form.",
            limitations=(
                "Unbounded, ruled by problems with a large first perplexity, and lower for longer chains with equal ends."
            ),
            source="2506.02126 sec. 3.3",
        ),
        Metric(
            name="surprise_without_chain",
            unit="nats",
            direction="none",
            bounds=(0.0, None),
            higher_means="the answer is less expected from the question",
            description="-log p(answer) before any step: what there is to gain.",
            limitations="Anything about the steps.",
            source="ours",
        ),
    )

    def probes(self, case: Case) -> Iterator[tuple[str, Probe]]:
        """Yield the answer after each number of steps, and after the two null chains."""
        if case.gold is None:
            return
        if case.skip_reason:
            yield from (("after 0 steps", probe) for probe in case.gold.probes(case.after(())))
            return
        for i, probes in case.ladder(case.gold):
            yield from ((f"after {i} steps", probe) for probe in probes)
        for null in ("swap", "shuffle"):
            for edit in case.edits.get(null, ()):
                if not isinstance(edit, NoEdit):
                    yield from ((null, probe) for probe in case.gold.probes(case.after(edit.ids)))

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield every form of the gain."""
        gold = case.gold
        if gold is None:
            yield from missing(self.metrics, NO_REFERENCE)
            return
        first = gold.nats(case.after(()), read)
        if case.skip_reason:
            yield from missing(self.metrics, case.skip_reason, {"surprise_without_chain": -first})
            return
        ladder = [gold.nats(case.after_steps(i), read) for i in range(case.body.num_steps + 1)]
        last = ladder[-1]
        gain = last - first
        yield Value("info_gain", gain)
        for null in ("swap", "shuffle"):
            edits = case.edits.get(null, (NoEdit(null, f"no {null} was made"),))
            made = [edit for edit in edits if not isinstance(edit, NoEdit)]
            if made:
                mean = math.fsum(gold.nats(case.after(edit.ids), read) for edit in made) / len(made)
                yield Value(f"info_gain_over_{null}", last - mean)
            else:
                reason = next(edit.reason for edit in edits if isinstance(edit, NoEdit))
                yield Value(f"info_gain_over_{null}", None, reason)
        stated = case.body.chain.answer_step
        if stated == 0:
            yield Value("info_gain_before_answer", None, "the first step states the answer")
        else:
            yield Value("info_gain_before_answer", ladder[case.body.num_steps if stated is None else stated] - first)
        yield Value("info_gain_per_answer_token", gain / len(gold.ids))
        yield Value("info_gain_per_step", gain / case.body.num_steps)
        yield Value("info_gain_per_chain_token", gain / len(case.body.chain.ids))
        if -first < _LEAST_SURPRISE:
            yield Value(
                "info_gain_share", None, f"the answer was expected from the start (surprise below {_LEAST_SURPRISE} nats)"
            )
        else:
            yield Value("info_gain_share", gain / -first)
        if gold.rivals:
            yield Value(
                "info_gain_choice", gold.share(case.after(case.body.chain.ids), read) - gold.share(case.after(()), read)
            )
        else:
            yield Value("info_gain_choice", None, NOT_CHOICE)
        yield Value("infogain_ppl", infogain_ppl(ladder, len(gold.ids)))
        yield Value("surprise_without_chain", -first)
