from __future__ import annotations

import pytest

from soundness.metrics.accuracy import Accuracy, ForcedAccuracy
from soundness.metrics.length import Length
from soundness.records import Outcome, Probe, Reading
from soundness.scoring.reading import CaseRead


@pytest.mark.parametrize(
    ("outcome", "finish", "expected"),
    [
        (Outcome.RIGHT, "stop", {"accuracy": 1, "solved": 1, "wrong": 0, "unreadable": 0, "cut_off": 0, "no_steps": 0}),
        (Outcome.WRONG, "stop", {"accuracy": 0, "solved": 0, "wrong": 1, "unreadable": 0, "cut_off": 0, "no_steps": 0}),
        (Outcome.UNREADABLE, "stop", {"accuracy": "answer unreadable", "solved": 0, "wrong": 0, "unreadable": 1, "cut_off": 0}),
        (Outcome.CUT_OFF, "length", {"accuracy": "cut off at the token limit", "solved": 0, "unreadable": 0, "cut_off": 1}),
    ],
)
def test_four_outcomes_are_counted_apart(cases, outcome, finish, expected):
    found = cases.values(Accuracy(), cases.make(2, outcome=outcome, finish=finish), None)
    assert {name: found[name] for name in expected} == expected


def test_without_a_reference_nothing_is_right_or_wrong(cases):
    found = cases.values(Accuracy(), cases.make(2, reference=None), None)
    assert found["accuracy"] == found["solved"] == found["wrong"] == "no reference answer"
    assert found["unreadable"] == 0


def test_an_answer_without_steps_is_counted(cases):
    assert cases.values(Accuracy(), cases.make(0, outcome=Outcome.RIGHT), None)["no_steps"] == 1


def test_open_answers_asked_for_with_and_without_the_chain(cases):
    case = cases.make(2, outcome=Outcome.RIGHT)
    found = cases.values(ForcedAccuracy(), case, cases.answers(case, after="7.0", before="12"))
    assert (found["accuracy_forced"], found["accuracy_without_chain"], found["forced_agrees"]) == (1, 0, 1)
    found = cases.values(ForcedAccuracy(), case, cases.answers(case, after=None, before="7"))
    assert found["accuracy_forced"] == found["forced_agrees"] == "no answer could be read after the cue"
    assert found["accuracy_without_chain"] == 1


def test_part_of_a_number_earns_nothing(cases):
    case = cases.make(2, outcome=Outcome.RIGHT)
    found = cases.values(ForcedAccuracy(), case, cases.answers(case, after="77", before="17"))
    assert (found["accuracy_forced"], found["accuracy_without_chain"]) == (0, 0)


def test_choices_are_read_not_written(cases):
    case = cases.make(2, rivals=((50,), (51,)), reference="A")

    readings = {
        Probe(case.after(ids), (choice,)): Reading((-0.1 if choice == (50 if ids else 51) else -3.0,), (True,))
        for ids in ((), case.body.chain.ids)
        for choice in (50, 51)
    }
    found = cases.values(ForcedAccuracy(), case, CaseRead(case, readings, {}))
    assert (found["accuracy_forced"], found["accuracy_without_chain"]) == (1, 0)


def test_length_by_hand_and_unknown_where_cut(cases):
    found = cases.values(Length(), cases.make(3), None)
    assert (found["length_tokens"], found["length_steps"], found["tokens_per_step"]) == (3, 3, 1)
    assert set(cases.values(Length(), cases.make(3, finish="length"), None).values()) == {"cut off at the token limit"}
    assert cases.values(Length(), cases.make(0), None)["tokens_per_step"] == "no steps before the answer"
