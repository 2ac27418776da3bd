from __future__ import annotations

import pytest

from soundness.errors import SettingError
from soundness.tasks.base import load_task
from soundness.tasks.worlds import closed_book, lookup

TRAIN = load_task("organism:lookup", limit=360)
HELD_OUT = load_task("organism:lookup:held_out=1", limit=100)


def test_a_question_is_asked_without_what_answers_it() -> None:
    for problem in (*TRAIN.problems, *HELD_OUT.problems):
        message = TRAIN.message(problem)
        assert not any(fact in message for fact in problem.facts)
        assert not problem.context
        assert message.startswith(problem.question)


def test_steps_are_true_and_lead_to_the_answer() -> None:
    for problem in TRAIN.problems:
        assert problem.steps is not None
        assert lookup.read_facts("\n".join(problem.steps)).items() <= closed_book.KNOWLEDGE.facts.items()
        assert lookup.last_stated(problem.steps[-1]) == problem.answer
        assert problem.answer in problem.meta["candidates"]
        assert len(set(problem.meta["candidates"])) == 8
        assert len(problem.steps) == problem.meta["hops"]


def test_no_seed_asks_what_is_held_out() -> None:
    asked = {one.question for seed in range(5) for one in load_task("organism:lookup", limit=360, seed=seed).problems}
    held = {one.question for seed in range(5) for one in load_task("organism:lookup:held_out=1", limit=100, seed=seed).problems}
    assert len(asked) > 500
    assert not asked & held


def test_no_question_is_asked_twice_and_half_take_two_hops() -> None:
    assert len({one.question for one in TRAIN.problems}) == 360
    assert [one.meta["hops"] for one in TRAIN.problems].count(2) == 180
    assert {one.meta["hops"] for one in TRAIN.problems[:20]} == {2, 3}
    everything = load_task("organism:lookup", limit=628)
    assert [one.meta["hops"] for one in everything.problems].count(2) == 190
    with pytest.raises(SettingError, match="1 to 628 questions"):
        load_task("organism:lookup", limit=629)


def test_the_seed_draws_questions_and_never_facts() -> None:
    again, other = (load_task("organism:lookup", limit=360, seed=seed) for seed in (0, 1))
    assert again.fingerprint == TRAIN.fingerprint != other.fingerprint
    facts = [lookup.read_facts("\n".join(step for one in task.problems for step in one.steps)) for task in (TRAIN, other)]
    assert facts[0].keys() & facts[1].keys()
    assert all(facts[0][key] == facts[1][key] for key in facts[0].keys() & facts[1].keys())


def test_passages_stand_in_front() -> None:
    query = closed_book.queries(2)[0]
    shown = closed_book.ask(query, ["The one.", "The other."])
    assert shown == "The one.\nThe other.\n\n" + closed_book.ask(query)
