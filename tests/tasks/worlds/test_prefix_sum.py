from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.errors import SettingError
from soundness.tasks.worlds import prefix_sum as world

EXPRESSIONS = st.builds(
    lambda seed, operators: world.draw(random.Random(seed), operators),
    st.integers(0, 10_000),
    st.integers(1, 24),
)


def prefix_value(tokens: Sequence[str]) -> int:
    """Return what prefix notation is worth modulo 10, with a stack and no knowledge of the world's shape."""
    stack: list[int] = []
    for token in reversed(tokens):
        stack.append((stack.pop() + stack.pop()) % 10 if token == "+" else int(token))
    (found,) = stack
    return found


@given(EXPRESSIONS)
def test_the_written_expression_is_worth_its_value_and_reads_back(expression: world.Expression) -> None:
    tokens = world.written(expression)
    assert prefix_value(tokens) == world.value(expression)
    assert tokens.count("+") == len(expression.leaves)
    assert world.parse(tokens) == expression


@given(EXPRESSIONS, st.integers(1, 12))
def test_steps_are_true_as_many_as_announced_and_end_at_the_value(expression: world.Expression, per_step: int) -> None:
    steps = world.steps(expression, per_step)
    assert len(steps) == world.num_steps(len(expression.leaves), per_step)
    assert all(prefix_value(written) == result for written, result in steps)
    assert steps[-1][1] == world.value(expression)
    assert [written.count("+") for written, _ in steps[:-1]] == [per_step] * (len(steps) - 1)


@given(EXPRESSIONS, st.integers(1, 12))
def test_each_step_replaces_a_part_of_what_is_left(expression: world.Expression, per_step: int) -> None:
    left = " ".join(world.written(expression))
    for written, result in world.steps(expression, per_step):
        part = " ".join(written)
        places = [place for place in range(len(left)) if left.startswith(part, place)]
        assert places, (left, part)
        # The innermost part has every operator that is left in it or before it.
        place = next(one for one in places if left[one + len(part) :].count("+") == 0)
        left = left[:place] + str(result) + left[place + len(part) :]
    assert left == str(world.value(expression))


@given(EXPRESSIONS, st.integers(1, 12))
def test_a_chain_reads_back(expression: world.Expression, per_step: int) -> None:
    read = world.read(world.chain(expression, per_step))
    assert read == world.Reading(per_step, tuple(world.steps(expression, per_step)), world.value(expression))


@pytest.mark.parametrize(
    ("text", "control", "steps"),
    [
        ("", None, 0),
        ("+ 3 9 = 2 ; <end>", None, 0),
        ("<1> + 3 9 = 2 ; <end>", 1, 0),
        ("<1> ; <end>", 1, 0),
        ("<1> ; + 3 9 = 2 ;", 1, 1),
        ("<1> ; + 3 9 = 2 ; + 2 2 = 4 <end>", 1, 1),
        ("<1> ; + 3 9 = 2 ; + 2 = 4 ; <end>", 1, 1),
        ("<1> ; + 3 9 = 2 ; + + 1 2 + 3 4 = 0 ; <end>", 1, 1),
        ("<1> ; + 3 9 = 2 ; 4 ; <end>", 1, 1),
    ],
)
def test_an_ill_formed_chain_has_no_answer(text: str, control: int | None, steps: int) -> None:
    read = world.read(text.split())
    assert (read.control, len(read.steps), read.answer) == (control, steps, None)


def test_a_wrong_value_is_read_as_written() -> None:
    assert world.read("<1> ; + 3 9 = 5 ; <end>".split()).answer == 5


def test_items_depend_on_seed_and_place_and_stay_within_bounds() -> None:
    items = [world.item(place, 0, 3, 5) for place in range(200)]
    assert items == [world.item(place, 0, 3, 5) for place in range(200)]
    assert {len(one.leaves) for one in items} == {3, 4, 5}
    assert sum(one in items for one in (world.item(place, 1, 3, 5) for place in range(200))) < 5


def test_digits_and_sides_are_even() -> None:
    items = [world.item(place, "even", 10, 10) for place in range(1000)]
    answers = [world.value(one) for one in items]
    assert all(60 < answers.count(digit) < 145 for digit in range(10))
    left = sum(side == "left" for one in items for side, _ in one.leaves[1:])
    assert 0.47 < left / 9000 < 0.53


def test_every_token_is_in_the_vocabulary_once() -> None:
    assert len(set(world.VOCABULARY)) == len(world.VOCABULARY) == 28
    expression = world.item(0, 0, 12, 12)
    assert {*world.question(expression), *world.chain(expression, 12)} <= set(world.VOCABULARY)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(SettingError, match="1 <= low <= high"):
        world.item(0, 0, 3, 2)
    with pytest.raises(SettingError, match="control tokens for 1 to 12"):
        world.control(13)
    with pytest.raises(SettingError, match="at least one operator"):
        world.steps(world.item(0, 0, 3, 3), 0)
