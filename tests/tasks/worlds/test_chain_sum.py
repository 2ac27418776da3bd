from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.tasks.worlds import chain_sum
from soundness.tasks.worlds.chain_sum import Sum, draw, equation, follow, generate, parse, question, true_steps, values

sums = st.builds(
    Sum,
    st.integers(0, 9),
    st.lists(st.tuples(st.sampled_from("+-"), st.integers(1, 9)), min_size=1, max_size=30).map(tuple),
)
drawn = st.builds(lambda seed, operators: draw(random.Random(seed), operators), st.integers(), st.integers(1, 30))


def test_by_hand():
    task = generate(1, seed=0, operators=3)
    asked = Sum(3, (("+", 4), ("-", 2), ("+", 6)))
    assert true_steps(asked) == ["3 + 4 = 7", "7 - 2 = 5", "5 + 6 = 1"]
    assert values(asked) == [3, 7, 5, 1]
    assert "Start with 3. Add 4. Subtract 2. Add 6. What is the last digit?" in question(asked)
    assert task.problems[0].answer == str(values(parse(task.problems[0].question))[-1])


@given(sums)
def test_parse_inverts_question(asked: Sum):
    assert parse(question(asked)) == asked
    assert parse(f"Before. {question(asked)}\nThink step by step.") == asked


@pytest.mark.parametrize("text", ["", "Start with 3. Add 4.", question(Sum(3, (("+", 4),))).replace("4", "44")])
def test_parse_refuses_other_text(text: str):
    assert parse(text) is None


@given(drawn)
def test_following_true_steps_gives_the_answer_and_no_value_before_it_does(asked: Sum):
    steps = true_steps(asked)
    assert follow("\n".join(steps)) == values(asked)[-1]
    assert values(asked)[-1] not in values(asked)[:-1]
    for count in range(1, len(steps)):
        assert follow("\n".join(steps[:count])) == values(asked)[count] != values(asked)[-1]
    assert all(1 <= operand <= 9 for _, operand in asked.operations)


@given(drawn, st.integers(1, 9), st.data())
def test_a_wrong_result_anywhere_shifts_the_last_value_by_as_much(asked: Sum, shift: int, data: st.DataObject):
    steps = true_steps(asked)
    index = data.draw(st.integers(0, len(steps) - 1))
    wrong = (values(asked)[index + 1] + shift) % 10
    steps[index] = equation(values(asked)[index], *asked.operations[index], wrong)
    assert follow("\n".join(steps)) == (values(asked)[-1] + shift) % 10


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("no equation, 3 + 4, = 7", None),
        ("3 + 4 + 2 = 9", None),
        ("So 3 + 4 = 7. Then 7 - 2 = 5.", 5),
        ("3 + 4 = 7\nAnswer: 2\n", 7),
        ("3 + 4 = 12\n7 - 2 = 5", 0),
        ("3+4=7", 7),
    ],
)
def test_follow_reads_equations_only(text: str, value: int | None):
    assert follow(text) == value


def test_items_depend_on_seed_and_place_alone():
    few, many = generate(3, seed=5).problems, generate(10, seed=5).problems
    assert few == many[:3]
    assert not {p.question for p in generate(100, seed=5, operators=8).problems} & {
        p.question for p in generate(100, seed=6, operators=8).problems
    }


def test_without_distinct_a_value_may_return():
    tasks = generate(200, operators=6, distinct=False)
    returns = [v for v in (values(parse(p.question)) for p in tasks.problems) if v[-1] in v[:-1]]
    assert returns
    assert chain_sum.generate(200, operators=25).problems
