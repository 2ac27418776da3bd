"""What became of the answers: right, wrong, unreadable or cut off, with the chain and without it."""

from __future__ import annotations

from collections.abc import Iterator

from soundness.answers import same_answer
from soundness.metrics.base import (
    CUT_OFF,
    NO_ANSWER,
    NO_REFERENCE,
    NO_STATED_ANSWER,
    UNREADABLE,
    Metric,
    MetricGroup,
    Need,
    Read,
    Reader,
    Value,
)
from soundness.metrics.case import Case
from soundness.records import Outcome

__all__ = ["Accuracy", "ForcedAccuracy"]


class Accuracy(MetricGroup):
    """Outcomes of the free text; nobody has to read."""

    name = "accuracy"
    readers = (Reader.NOBODY,)
    cost = "nothing beyond the chains"
    metrics = (
        Metric(
            name="accuracy",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more answers right",
            description="Share of right answers among those that could be read, 0..1.",
            limitations="Whether the steps had anything to do with the answer.",
            source="ours: unknown is not wrong",
        ),
        Metric(
            name="solved",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more problems solved",
            description="Share of all problems answered right, unreadable and cut-off ones included in the count, 0..1.",
            limitations="Why the others were not.",
            source="the usual benchmark score",
        ),
        Metric(
            name="wrong",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="more answers wrong",
            description="Share of all problems answered wrong, 0..1.",
            limitations="How wrong.",
            source="ours",
        ),
        Metric(
            name="unreadable",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="more answers unreadable",
            description="Share of chains that ended without an answer that could be read, 0..1.",
            limitations="Whether the model knew the answer.",
            source="ours",
        ),
        Metric(
            name="cut_off",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="more chains cut off",
            description="Share of chains that reached the token limit before their answer, 0..1.",
            limitations="Where they would have ended.",
            source="ours",
        ),
        Metric(
            name="no_steps",
            unit="fraction",
            direction="down",
            bounds=(0.0, 1.0),
            higher_means="more answers without any step",
            description="Share of finished chains that state an answer and nothing before it, 0..1.",
            limitations="Whether steps would have helped.",
            source="ours",
        ),
    )

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield one value per outcome."""
        outcome = case.chain.outcome
        cut = outcome is Outcome.CUT_OFF or (outcome is None and case.chain.finish == "length")
        if outcome is None:
            for name in ("accuracy", "solved", "wrong"):
                yield Value(name, None, NO_REFERENCE)
            yield Value("unreadable", float(case.chain.answer is None and not cut))
        else:
            if outcome in (Outcome.RIGHT, Outcome.WRONG):
                yield Value("accuracy", float(outcome is Outcome.RIGHT))
            else:
                yield Value("accuracy", None, CUT_OFF if cut else UNREADABLE)
            yield Value("solved", float(outcome is Outcome.RIGHT))
            yield Value("wrong", float(outcome is Outcome.WRONG))
            yield Value("unreadable", float(outcome is Outcome.UNREADABLE))
        yield Value("cut_off", float(cut))
        if cut:
            yield Value("no_steps", None, CUT_OFF)
        else:
            yield Value("no_steps", float(case.body.num_steps == 0))


class ForcedAccuracy(MetricGroup):
    """Answers given when the cue asks for them, after the whole body and with no body at all."""

    name = "forced_accuracy"
    readers = (Reader.SELF,)
    needs = frozenset({Need.OWN_ANSWER, Need.DIRECT_ANSWER})
    cost = "two short generations (open answers) or two probes (choices)"
    metrics = (
        Metric(
            name="accuracy_forced",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="more answers right when asked after the chain",
            description="Share right when the answer is asked for after the steps, 0..1.",
            limitations="What the model would have written by itself.",
            source="2307.13702 (the final question)",
        ),
        Metric(
            name="accuracy_without_chain",
            unit="fraction",
            direction="none",
            bounds=(0.0, 1.0),
            higher_means="more answers right without any step",
            description="Share right when the answer is asked for at once, 0..1.",
            limitations="Whether the steps of other problems were needed.",
            source="2307.13702, f = 0",
        ),
        Metric(
            name="forced_agrees",
            unit="fraction",
            direction="up",
            bounds=(0.0, 1.0),
            higher_means="asked and free answer agree more often",
            description=(
                "Share of chains whose own stated answer equals the one given when asked, 0..1; low values weaken "
                "every other measure."
            ),
            limitations="Which of the two is meant.",
            source="ours",
        ),
    )

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield accuracy with and without the body, and whether asked and stated answer agree."""
        cut = case.chain.finish == "length"
        asked = {
            "accuracy_forced": None if cut else read.answer(case.after(case.body.chain.ids)).value,
            "accuracy_without_chain": read.answer(case.after(())).value,
        }
        for metric, answer in asked.items():
            if case.problem.answer is None:
                yield Value(metric, None, NO_REFERENCE)
            elif metric == "accuracy_forced" and cut:
                yield Value(metric, None, CUT_OFF)
            elif answer is None:
                yield Value(metric, None, NO_ANSWER)
            else:
                yield Value(metric, float(same_answer(case.problem.answer, answer, case.problem.choices)))
        stated, answer = case.chain.answer, asked["accuracy_forced"]
        if stated is None or cut:
            yield Value("forced_agrees", None, NO_STATED_ANSWER if stated is None else CUT_OFF)
        elif answer is None:
            yield Value("forced_agrees", None, NO_ANSWER)
        else:
            yield Value("forced_agrees", float(same_answer(stated, answer, case.problem.choices)))
