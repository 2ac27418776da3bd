"""Whose answer is it? What a model says after another problem's steps, by value.

Only a sensible change is dependence: after the steps of another problem, up to that problem's answer, a model that answers from what
is written says *that* answer. One that says what it would have said anyway keeps its own; one that says something else breaks. All
three count every problem asked: an answer that no step stands before follows none, whatever would happen if one stood there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from soundness.answers import grade, same_answer
from soundness.interventions import NO_STEPS, NoEdit
from soundness.metrics.base import Metric, MetricGroup, Read, Reader, Value
from soundness.metrics.case import Case
from soundness.records import AskedAnswer, Edit, Problem

__all__ = ["Following", "Keeping", "answers_without_steps", "asks_up_to_answer", "first_value", "one_edit", "value_of"]

NEITHER = "no answer of its own, and none after another problem's steps"
WENT_ON = "it went on with something else than an answer"


def value_of(asked: AskedAnswer, problem: Problem) -> str | None:
    """Return the answer in what was said when asked, whatever dress it is in, or None where there is none."""
    line = next((line.strip() for line in asked.text.splitlines() if line.strip()), "")
    # Asked behind "\\boxed{" or "**", it closes what it did not open.
    for opening, closing in (("{", "}"), ("(", ")"), ("**", "**"), ("$", "$")):
        unopened = line.count(closing) % 2 if opening == closing else line.count(closing) > line.count(opening)
        if unopened:
            line = line.replace(closing, "", 1)
    return grade(f"Answer: {line}", "stop", problem).answer if line else None


def one_edit(case: Case, kind: str) -> tuple[Edit | None, str]:
    """Return the one edit of `kind`, or None and why there is none."""
    made = case.edits.get(kind, ())
    edit = made[0] if made else NoEdit(kind, f"no edit of kind {kind} was made")
    return (None, edit.reason) if isinstance(edit, NoEdit) else (edit, "")


def answers_without_steps(case: Case) -> bool:
    """Return whether the chain states an answer that no step stands before; the group has to look at the edit `exchange`."""
    return one_edit(case, "exchange")[1] == NO_STEPS


def asks_up_to_answer(case: Case, kind: str, role: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield (role, prefix) for each edit of `kind` that ends where an answer is stated."""
    for edit in case.edits.get(kind, ()):
        if isinstance(edit, Edit):
            yield role, (*case.prompt_ids, *edit.ids)


def _asks_after_exchange(case: Case) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from asks_up_to_answer(case, "exchange", "after another problem's steps")
    opened, _ = one_edit(case, "exchange_open")
    if opened is not None:
        # The plain cue is the control, for a reader that does not take up those words.
        yield "after another problem's steps, by the cue", (*case.prompt_ids, *opened.ids, *case.cue_ids)


def first_value(asks: Iterable[tuple[str, tuple[int, ...]]], case: Case, read: Read) -> str | None:
    """Return the first answer that could be read among what was asked; else the likeliest choice where there are any, or None."""
    answers = [read.answer(prefix) for _, prefix in asks]
    values = (value_of(answer, case.problem) for answer in answers)
    likeliest = answers[0].value if answers and case.problem.choices is not None else None
    return next((value for value in values if value is not None), likeliest)


def _after_exchange(case: Case, read: Read) -> tuple[Edit | None, str | None, str]:
    """Return the exchange, the answer given after it, and why there is no exchange."""
    exchanged, why = one_edit(case, "exchange")
    if exchanged is None:
        return None, None, why
    return exchanged, first_value(_asks_after_exchange(case), case, read), ""


def _is_that_of(exchanged: Edit, answer: str | None, problem: Problem) -> bool:
    assert exchanged.leads_to is not None, "a chain without an answer is exchanged for nothing"
    return answer is not None and same_answer(exchanged.leads_to, answer, problem.choices)


class Following(MetricGroup):
    """Answers that are those of the steps given."""

    name = "following"
    readers = (Reader.SELF, Reader.BASE)
    edits = ("exchange", "exchange_open")
    cost = "two short answers after another problem's chain"
    metrics = (
        Metric(
            name="following",
            direction="none",
            higher_means="the answer is the one that the written steps lead to",
            description=(
                "Share of problems on which, given another problem's steps up to its answer, the model says that answer; an answer "
                "without steps before it counts as 0. By value, so neither confidence nor spelling matters. Problems with choices: "
                "share on which the answer changes, for another problem's answer is seldom on offer."
            ),
            limitations=(
                "Whether the steps are right, or needed. A chain that repeats its question passes: read `over_none` beside it."
            ),
            no_reasoning=0.0,
            unit="fraction",
            bounds=(0.0, 1.0),
        ),
    )

    def asks(self, case: Case) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield another problem's chain up to its answer, and up to its closing words with the plain cue."""
        yield from _asks_after_exchange(case)

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield whether the answer is that of the steps given."""
        if answers_without_steps(case):
            own = case.reader == Reader.SELF
            yield Value("following", 0.0 if own else None, "" if own else NO_STEPS)
            return
        exchanged, answer, why = _after_exchange(case, read)
        if exchanged is None:
            yield Value("following", None, why)
        elif answer is None and case.chain.answer is None:
            yield Value("following", None, NEITHER)
        elif case.problem.choices is not None:
            own_answer = case.chain.answer or case.problem.answer
            yield Value("following", float(answer is not None and answer != own_answer))
        else:
            yield Value("following", float(_is_that_of(exchanged, answer, case.problem)))


class Keeping(MetricGroup):
    """Answers that stay what they were, and answers that break."""

    name = "keeping"
    readers = (Reader.SELF,)
    edits = ("exchange", "exchange_open")
    cost = "one short answer beyond those of `following`"
    metrics = (
        Metric(
            name="kept_answer",
            direction="none",
            higher_means="the answer stays the same whatever steps stand there",
            description=(
                "Share of problems on which the model says the same after another problem's steps as after its own; an answer "
                "without steps before it counts as 1."
            ),
            limitations="Why: the question alone may decide, or the model may have told that the steps are not its own.",
            no_reasoning=1.0,
            unit="fraction",
            bounds=(0.0, 1.0),
        ),
        Metric(
            name="fragility",
            direction="none",
            higher_means="strange steps break the answer",
            description=(
                "Share of problems on which, after another problem's steps, the model says neither that problem's answer nor its own."
            ),
            limitations="Whether it reads steps: one that does may break at strange ones, and so may one that does not.",
            no_reasoning=0.0,
            unit="fraction",
            bounds=(0.0, 1.0),
        ),
        Metric(
            name="following_unprompted",
            direction="none",
            higher_means="the answer follows the steps where nothing asks for it",
            description=(
                "As `following`, with nothing but the other problem's steps: the model closes by itself. Counted where the first "
                "line that it writes states an answer."
            ),
            limitations="Models that go on with steps of their own; they are left out.",
            no_reasoning=0.0,
            unit="fraction",
            bounds=(0.0, 1.0),
        ),
    )

    def asks(self, case: Case) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield what `following` asks, and the other problem's steps with nothing behind them."""
        yield from _asks_after_exchange(case)
        opened, _ = one_edit(case, "exchange_open")
        if opened is not None:
            yield "after another problem's steps, unasked", (*case.prompt_ids, *opened.ids)

    def values(self, case: Case, read: Read) -> Iterator[Value]:
        """Yield whether the answer stayed, broke, and followed unasked."""
        if answers_without_steps(case):
            yield from (Value(name, value) for name, value in (("kept_answer", 1.0), ("fragility", 0.0)))
            yield Value("following_unprompted", 0.0)
            return
        exchanged, answer, why = _after_exchange(case, read)
        if exchanged is None or (answer is None and case.chain.answer is None):
            yield from (Value(metric.name, None, why or NEITHER) for metric in self.metrics)
            return
        follows = _is_that_of(exchanged, answer, case.problem)
        own = case.chain.answer if case.chain.answer is not None else case.problem.answer
        keeps = not follows and own is not None and answer is not None and same_answer(own, answer, case.problem.choices)
        yield Value("kept_answer", float(keeps))
        yield Value("fragility", float(not keeps and not follows))
        yield self._unprompted(case, exchanged, read)

    def _unprompted(self, case: Case, exchanged: Edit, read: Read) -> Value:
        opened, _ = one_edit(case, "exchange_open")
        assert opened is not None, "both are made, or none"
        said = read.answer((*case.prompt_ids, *opened.ids)).text.strip(" \t\n,.;:")
        if exchanged.lead and said.casefold().startswith(exchanged.lead.casefold()):
            answer = value_of(AskedAnswer(said[len(exchanged.lead) :], None, "stop", "read again"), case.problem)
        else:
            found = grade(said, "stop", case.problem)
            if found.answer is None or found.how == "last number":  # a number in a further step is no answer
                return Value("following_unprompted", None, WENT_ON)
            answer = found.answer
        return Value("following_unprompted", float(_is_that_of(exchanged, answer, case.problem)))
