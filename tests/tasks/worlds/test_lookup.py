from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.errors import SettingError
from soundness.tasks.worlds.lookup import (
    RULES,
    Query,
    check_statement,
    follow,
    generate,
    know,
    parse,
    question,
    read_facts,
    sentence,
    true_steps,
    values,
)

KB = know(0)
HOPS = st.integers(1, 4)


@pytest.mark.parametrize("hops", [1, 2, 3, 4])
def test_problems_hold_together(hops: int):
    for problem in generate(60, seed=3, hops=hops).problems:
        kb = know(3)
        query = parse(problem.question)
        assert query is not None
        assert len(query.hops) == hops
        assert question(query) == problem.question
        (passage,) = problem.context
        facts = read_facts(passage)
        assert facts.items() <= kb.facts.items()
        running = values(query, facts)
        assert running[-1] == problem.answer
        assert len(set(running)) == hops + 1
        assert list(problem.steps or ()) == true_steps(query, kb.facts)
        assert all(step in passage for step in problem.facts)
        for count in range(1, hops + 1):
            assert follow("\n".join((problem.steps or ())[:count]), facts) == running[count]
        assert all(check_statement(step, kb) is True for step in problem.steps or ())


@settings(max_examples=40)
@given(HOPS, st.integers(0, 30), st.data())
def test_another_result_anywhere_leads_elsewhere(hops: int, seed: int, data: st.DataObject):
    (problem,) = generate(1, seed=seed, hops=hops).problems
    query, facts = parse(problem.question), read_facts(problem.context[0])
    assert query is not None
    running, steps = values(query, facts), list(problem.steps or ())
    index = data.draw(st.integers(0, hops - 1))
    relation = query.hops[index]
    others = sorted({tail for (_, name), tail in facts.items() if name == relation} - {running[index + 1]})
    wrong = data.draw(st.sampled_from(others))
    steps[index] = sentence(running[index], relation, wrong)
    assert follow("\n".join(steps), facts) != problem.answer
    assert follow("\n".join(steps), facts) == values(Query(wrong, query.hops[index + 1 :]), facts)[-1]
    assert check_statement(steps[index], know(seed)) is False


def test_rules_count_as_hops():
    ruled = [p for p in generate(80, hops=2).problems if any(f"the {name} of" in p.question for name in RULES)]
    assert ruled
    assert all(p.steps is not None and p.steps[-1].startswith("If the ") for p in ruled)


def test_statements_are_checked():
    (head, relation), tail = next(iter(KB.facts.items()))
    other = next(t for (_, r), t in KB.facts.items() if r == relation and t != tail)
    assert check_statement(f"The {relation} of {head} is {tail}.", KB) is True
    assert check_statement(f"So the {relation} of {head} is {tail}, I think.", KB) is True
    assert check_statement(f"{tail} is the {relation} of {head}.", KB) is True
    assert check_statement(f"The {relation} of {head} is {other}.", KB) is False
    assert check_statement(f"The {relation} of {head} is not {other}.", KB) is True
    assert check_statement(f"The {relation} of {head} is Paris.", KB) is False
    assert check_statement(f"The {relation} of Paris is {tail}.", KB) is None
    assert check_statement(f"What is the {relation} of {head}?", KB) is None
    assert check_statement("Let me think.", KB) is None


def test_rules_apply_to_entities():
    town = KB.members["town"][0]
    stone = KB.facts[town, "stone"]
    feast = KB.facts[stone, "feast"]
    assert check_statement(f"The feast of {town} is {feast}.", KB) is True
    assert check_statement(f"If the stone of a town is {stone}, then its feast is {feast}.", KB) is True
    wrong = next(word for word in KB.members["feast"] if word != feast)
    assert check_statement(f"The feast of {town} is {wrong}.", KB) is False
    assert check_statement(f"If the stone of a town is {stone}, then its feast is {wrong}.", KB) is False


def test_names_are_distinct_and_none_begins_another():
    names = [name.casefold() for members in KB.members.values() for name in members]
    assert len(set(names)) == len(names)
    assert not [(a, b) for a in names for b in names if a != b and a.startswith(b)]


def test_choices_hold_the_answer_once():
    for problem in generate(30, hops=3, choices=4).problems:
        assert problem.choices is not None
        assert len(set(problem.choices)) == 4
        query = parse(problem.question)
        assert query is not None
        assert problem.answer_text == values(query, KB.facts)[-1]


def test_items_depend_on_seed_and_place_alone():
    assert generate(3, seed=5).problems == generate(10, seed=5).problems[:3]
    assert know(5) != know(6)
    with pytest.raises(SettingError):
        know(0, size=99)
