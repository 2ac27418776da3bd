"""What the steps are worth: right after the own ones, minus right without any, minus right after another problem's.

In right answers, not in log-probability: unchanged by confidence, by the spelling of an answer and by where steps are cut.
"""

from __future__ import annotations

from collections.abc import Iterator

from soundness.answers import same_answer
from soundness.metrics.base import CUT_OFF, NO_REFERENCE, NO_STATED_ANSWER, Metric, MetricGroup, Read, Reader, Value
from soundness.metrics.case import Case
from soundness.metrics.following import Following, answers_without_steps, asks_up_to_answer, first_value, one_edit, value_of
from soundness.records import Outcome

__all__ = ["Gain"]


class Gain(MetricGroup):
    """Right with the own steps, beyond what is right without them."""

    name = "gain"
    readers = (Reader.SELF,)
    edits = ("intact", "bare", "exchange", "exchange_open")
    cost = "three short answers: after the own chain, and twice with no chain at all"
    metrics = (
        Metric(
            name="gain",
            bounds=(-1.0, 1.0),
            higher_means="more answers are right because of the own steps",
            description=(
                "Right with the own chain, minus right after another problem's, each 0 or 1; a chain that was cut off or cannot "
                "be read is not right, and an answer without steps has no gain."
            ),
            limitations="Whether others could read the steps.",
            no_reasoning=0.0,
            unit="fraction",
            direction="none",
        ),
        Metric(
            name="over_none",
            bounds=(-1.0, 1.0),
            higher_means="more answers are right because steps are written",
            description=(
                "Right with the own chain, minus right without any step: asked at once by its own closing words or by the plain "
                "cue. An answer without steps has none."
            ),
            limitations="Whether the steps are read: a model may need to write and not look at what.",
            no_reasoning=0.0,
            unit="fraction",
            direction="none",
        ),
        Metric(
            name="asked_agrees",
            bounds=(0.0, 1.0),
            higher_means="asked and stated answer agree more often",
            description=(
                "Share of chains after which the model, asked in the very words that lead to its answer there, says the answer "
                "that it stated. Low values void every measure that asks."
            ),
            limitations="Which of the two is meant.",
            unit="fraction",
            direction="none",
        ),
    )

    def asks(self, case: Case) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield the own chain up to its answer, no chain with either way to ask, and what `following` asks."""
        if answers_without_steps(case):
            return
        yield from asks_up_to_answer(case, "intact", "after the own steps")
        yield from self._asks_at_once(case)
        yield from Following().asks(case)

    def _asks_at_once(self, case: Case) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield "asked before any step", case.after(())
        bare, _ = one_edit(case, "bare")
        if bare is not None:
            opening = (*case.prompt_ids, *case.body.head, *case.body.close)
            yield "asked before any step, in its own words", (*opening, *bare.ids)

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield both gains and the agreement."""
        if answers_without_steps(case):
            yield from (Value("gain", 0.0), Value("over_none", 0.0))
            yield Value("asked_agrees", None, "no steps to ask after")
            return
        reference = case.problem.answer
        if reference is None:
            yield from (Value(name, None, NO_REFERENCE) for name in ("gain", "over_none"))
        else:
            right = float(case.chain.outcome is Outcome.RIGHT)

            def is_right(answer: str | None) -> bool:
                return answer is not None and same_answer(reference, answer, case.problem.choices)

            exchanged, why = one_edit(case, "exchange")
            if exchanged is None:
                yield Value("gain", None, why)
            else:
                # As in `following`: the plain cue only where the closing words are not taken up.
                yield Value("gain", right - is_right(first_value(Following().asks(case), case, read)))
            without = [value_of(read.answer(prefix), case.problem) for _, prefix in self._asks_at_once(case)]
            yield Value("over_none", right - any(is_right(value) for value in without))
        yield self._agreement(case, read)

    def _agreement(self, case: Case, read: Read) -> Value:
        intact, _ = one_edit(case, "intact")
        if case.cut_off or case.chain.answer is None or intact is None:
            return Value("asked_agrees", None, CUT_OFF if case.cut_off else NO_STATED_ANSWER)
        answer = first_value(asks_up_to_answer(case, "intact", ""), case, read)
        return Value("asked_agrees", float(answer is not None and same_answer(case.chain.answer, answer, case.problem.choices)))
