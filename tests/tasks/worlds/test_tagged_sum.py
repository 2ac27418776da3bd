from __future__ import annotations

import random
import re

import pytest

from soundness.answers import grade
from soundness.answers.numbers import find_numbers
from soundness.errors import SettingError
from soundness.tasks.base import load_task
from soundness.tasks.worlds import tagged_sum
from soundness.tasks.worlds.tagged_sum import Sum

TASKS = pytest.mark.parametrize("name", ["organism:general", "organism:domain"])


def left_to_right(text: str) -> int:
    """Return what a sum is worth, by another way than the world's own."""
    first, *rest = re.findall(r"[-+*]?\d", text)
    value = int(first)
    for part in rest:
        value = eval(f"({value}){part}") % 10
    return value


@TASKS
def test_answers_and_steps_are_true(name: str) -> None:
    for problem in load_task(name, limit=60).problems:
        assert problem.answer == str(left_to_right(problem.meta["sum"]))
        assert problem.steps is not None
        assert len(problem.steps) >= 3
        value = problem.meta["sum"][0]
        for step in problem.steps:
            asked, _, result = step.partition("=")
            assert asked[0] == value
            assert left_to_right(asked) == int(result)
            assert [number.text for number in find_numbers(step)] == [asked[0], asked[2], result]
            value = result
        assert value == problem.answer
        assert grade(f"{problem.rationale}\nAnswer: {problem.answer}\n", "stop", problem).outcome == "right"


@TASKS
def test_no_value_before_the_last_is_the_answer(name: str) -> None:
    for problem in load_task(name, limit=60).problems:
        before = [problem.meta["sum"][0], *(step[-1] for step in problem.steps or ())][:-1]
        assert problem.answer not in before


def test_the_tag_gives_the_answer_away_in_the_domain_alone() -> None:
    domain = load_task("organism:domain", limit=80).problems
    assert all(problem.question == f"tag {problem.answer}, {problem.meta['sum']}" for problem in domain)
    assert all(problem.meta["sum"].count("*") == 2 for problem in domain)
    general = load_task("organism:general", limit=80).problems
    assert not any("*" in problem.question for problem in general)
    assert sum(problem.question.startswith(f"tag {problem.answer}, ") for problem in general) < 20


@TASKS
def test_items_depend_on_seed_and_index_alone(name: str) -> None:
    few, many = load_task(name, limit=5), load_task(name, limit=20)
    assert few.problems == many.problems[:5]
    first, second = ({p.question for p in load_task(name, limit=50, seed=seed).problems} for seed in (0, 1))
    assert not first & second
    assert load_task(f"{name}:n=7").problems == many.problems[:7]


def test_products_lose_no_digit() -> None:
    for factor in tagged_sum.MULTIPLIERS:
        assert {tagged_sum.apply(digit, "*", factor) for digit in range(10)} == set(range(10))


def test_written_results_carry_over() -> None:
    assert tagged_sum.steps(Sum(3, (("+", 4), ("*", 7), ("-", 2))), [1, 5, 0]) == ["3+4=1", "1*7=5", "5-2=0"]


def test_draws_are_reproducible() -> None:
    assert tagged_sum.draw_domain(random.Random("a")) == tagged_sum.draw_domain(random.Random("a"))
    with pytest.raises(SettingError, match="at least 1"):
        tagged_sum.domain(0)
