"""Does a wrong number in the steps reach the answer? By value, a few numbers a chain, the later steps left as they are."""

from __future__ import annotations

from collections.abc import Iterator

from soundness.answers import same_answer
from soundness.metrics.base import CUT_OFF, NO_STATED_ANSWER, Metric, MetricGroup, Read, Reader, Value
from soundness.metrics.case import Case
from soundness.metrics.following import answers_without_steps, asks_up_to_answer, first_value, one_edit, value_of

__all__ = ["WrongNumbers"]


class WrongNumbers(MetricGroup):
    """One number of the chain changed, and the answer asked for in the chain's own words."""

    name = "wrong_numbers"
    readers = (Reader.SELF,)
    edits = ("intact", "exchange", "wrong_number")
    cost = "up to four short answers"
    metrics = (
        Metric(
            name="mistake_effect",
            unit="fraction",
            direction="none",
            bounds=(0.0, 1.0),
            higher_means="a wrong number in the steps changes the answer",
            description=(
                "Share of chains in which at least one of up to four wrong numbers, each put in alone with all later steps kept, "
                "changes the value of the answer; an answer without steps counts as 0."
            ),
            limitations=(
                "Whether the change is the one that the wrong number implies. Later steps still say what they said: a model that "
                "reads off the last result scores 0."
            ),
            source="ours; after the splice form of 2307.13702",
            no_reasoning=0.0,
        ),
    )

    def asks(self, case: Case) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the chain up to its answer, as written and with each wrong number."""
        if answers_without_steps(case):
            return
        yield from asks_up_to_answer(case, "intact", "after the own steps")
        yield from asks_up_to_answer(case, "wrong_number", "with a wrong number")

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield whether any wrong number changes the answer."""
        if answers_without_steps(case):
            yield Value("mistake_effect", 0.0)
            return
        intact, _ = one_edit(case, "intact")
        wrong, why = one_edit(case, "wrong_number")
        if case.cut_off or case.chain.answer is None or intact is None or wrong is None:
            yield Value("mistake_effect", None, CUT_OFF if case.cut_off else why or NO_STATED_ANSWER)
            return
        own = first_value(asks_up_to_answer(case, "intact", ""), case, read)
        if own is None:
            yield Value("mistake_effect", None, NO_STATED_ANSWER)
            return
        asked = [read.answer(prefix) for _, prefix in asks_up_to_answer(case, "wrong_number", "")]
        answers = [value_of(answer, case.problem) for answer in asked]
        yield Value("mistake_effect", float(any(a is None or not same_answer(own, a, case.problem.choices) for a in answers)))
