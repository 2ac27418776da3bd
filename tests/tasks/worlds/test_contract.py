"""What every world keeps to: made anew it is the same, its true steps lead to the answer, a wrong one leads elsewhere."""

from __future__ import annotations

import random

import pytest

from soundness.models.scripted import load_scripted
from soundness.records import Problem
from soundness.tasks.base import load_task
from soundness.tasks.worlds import WORLDS, Puzzle, World, parse_puzzle, puzzle_of

COUNT = 12


@pytest.fixture(params=WORLDS.values(), ids=lambda world: world.name, scope="module")
def world(request: pytest.FixtureRequest) -> World:
    return request.param


@pytest.fixture(scope="module")
def problems(world: World) -> tuple[Problem, ...]:
    return world.generate(COUNT, seed=3).problems


def puzzle(world: World, problem: Problem) -> Puzzle:
    found = world.of(problem)
    assert found is not None
    return found


def test_what_it_makes_is_what_it_made(world, problems):
    assert world.generate(COUNT, seed=3).problems == problems
    assert world.generate(COUNT, seed=4).problems != problems
    assert len({problem.question for problem in problems}) > COUNT // 2
    assert all(problem.id.startswith(f"{world.name}/3/") for problem in problems)


def test_an_item_hangs_on_nothing_but_its_number(world, problems):
    if world.name == "organism:lookup":
        pytest.skip("its questions are drawn without replacement from all there are, so they hang on how many are drawn")
    assert world.generate(COUNT // 2, seed=3).problems == problems[: COUNT // 2]


def test_seeds_share_no_items(world):
    if world.name in ("lookup", "organism:lookup"):
        pytest.skip("a small closed world asks the same questions again")
    one, other = ({problem.question for problem in world.generate(40, seed=seed).problems} for seed in (0, 1))
    assert len(one & other) <= 2


def test_a_specification_makes_it(world, problems):
    assert load_task(f"{world.name}:n={COUNT}", seed=3).problems == problems


def test_its_question_is_read_back(world, problems):
    task = world.generate(COUNT, seed=3)
    for problem in problems:
        asked = puzzle(world, problem)
        assert asked.say(asked.running[-1]) == problem.answer
        assert asked.num_steps == len(problem.steps) == len(asked.running) - 1
        assert puzzle_of(problem) == asked
        read = parse_puzzle(task.message(problem))
        assert read is not None
        assert (read.running, read.true_steps()) == (asked.running, asked.true_steps()), "what a model is shown says as much"


@pytest.mark.parametrize(
    "text", ["", "What is the capital of France?", "Answer: 5", "3 + 4", "\n" * 50, "Start with 3. Add 4."]
)
def test_other_texts_are_none_of_its_questions(world, text):
    assert world.parse(text) is None
    assert world.of(Problem("p", text, "5")) is None


def test_true_steps_lead_to_the_answer_and_no_part_of_them_does(world, problems):
    for problem in problems:
        asked = puzzle(world, problem)
        steps = asked.true_steps()
        assert steps == problem.steps
        assert asked.follow("\n".join(steps)) == asked.running[-1]
        assert asked.num_written("\n".join(steps)) == len(steps)
        for count in range(1, len(steps)):
            part = "\n".join(steps[:count])
            assert asked.follow(part) == asked.running[count] != asked.running[-1]
            assert asked.num_written(part) == count
        assert asked.follow("") is None
        assert asked.num_written("") == 0
        assert asked.last_value(steps[-1]) == asked.running[-1]


def test_a_wrong_step_leads_elsewhere_and_all_after_it_follows_from_it(world, problems):
    for number, problem in enumerate(problems):
        asked = puzzle(world, problem)
        steps = asked.corrupt(random.Random(number))
        assert steps == asked.corrupt(random.Random(number))
        assert len(steps) == asked.num_steps
        assert steps != asked.true_steps()
        value = asked.follow("\n".join(steps))
        assert value is not None
        assert value != asked.running[-1]
        first = next(i for i in range(len(steps)) if steps[i] != asked.true_steps()[i])
        assert steps[first + 1 :] == tuple(asked.steps_from(first + 1, asked.follow("\n".join(steps[: first + 1])) or ""))
    assert len({tuple(puzzle(world, problems[0]).corrupt(random.Random(seed))) for seed in range(30)}) > 3


def test_a_tail_is_taken_from_the_carried_value(world, problems):
    """The true tail behind a wrong result: operations go on from what is carried, not from what the tail says."""
    moved = 0
    for problem in problems:
        asked = puzzle(world, problem)
        wrong = asked.wrong(0, random.Random(problem.id))
        if wrong is None or asked.num_steps < 2:
            continue
        steps = (*asked.with_result(0, wrong)[:1], *asked.true_steps()[1:])
        assert asked.follow("\n".join(steps)) == asked.last_after(0, wrong) != asked.running[-1]
        moved += 1
    assert moved > COUNT // 3


def test_a_step_is_checked(world, problems):
    for problem in problems:
        asked = puzzle(world, problem)
        assert [asked.check(step) for step in asked.true_steps()] == [True] * asked.num_steps
        assert asked.check("\n".join(asked.true_steps())) is True
        taken = asked.step(0, asked.start)
        assert taken is not None
        for wrong in asked.wrong_results(0):
            line = taken[0] + wrong
            assert asked.check(line + asked.close(line)) is False
            assert asked.check("\n".join([*asked.true_steps(), line + asked.close(line)])) is False
        for nothing in ("", "Let me think.", "So the answer it is."):
            assert asked.check(nothing) is None


def test_a_line_is_closed_from_wherever_it_was_left(world, problems):
    """A model that is stopped in a step behind its result ends the step as it would have."""
    for problem in problems:
        asked = puzzle(world, problem)
        told, result = asked.step(0, asked.start) or ("", "")
        whole = told + result + asked.close(told + result)
        assert whole.rstrip("\n") == asked.true_steps()[0]
        for stop in range(len(told + result), len(whole.rstrip("\n")) + 1):
            assert whole[:stop] + asked.close(whole[:stop]) == whole


def test_wrong_results_are_wrong_and_wildcards_are_answers(world, problems):
    for problem in problems:
        asked = puzzle(world, problem)
        for index in range(asked.num_steps):
            wrong = asked.wrong_results(index)
            assert wrong
            assert asked.running[index + 1] not in wrong
            assert len(set(wrong)) == len(wrong)
        drawn = {asked.wildcard(draw / 20) for draw in range(20)}
        assert len(drawn) > 1


def test_names_are_told_by_type(world, problems):
    for problem in problems[:3]:
        names = puzzle(world, problem).names()
        assert all(len(set(pool)) == len(pool) > 1 for pool in names)
        if names:
            everyone = {name for pool in names for name in pool}
            assert puzzle(world, problem).running[-1] in everyone


def test_a_scripted_model_works_it_out(world):
    """Planted minds read any world through this contract alone: one that computes is right, and follows what it is shown."""
    task = world.generate(4, seed=5)
    model = load_scripted("computes")
    for problem in task.problems:
        prompt = model.render(task.message(problem)).ids
        text = model.decode(model.generate([prompt], max_tokens=1200)[0].ids)
        assert text == "\n".join([*problem.steps, f"Answer: {problem.answer}\n"])
        asked = puzzle(world, problem)
        wrong = "\n".join(asked.corrupt(random.Random(0))) + "\nAnswer:"
        answer = model.decode(model.generate([(*prompt, *model.encode(wrong))], max_tokens=40)[0].ids)
        assert answer.strip() == asked.say(asked.follow(wrong) or "") != problem.answer
