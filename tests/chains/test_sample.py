from __future__ import annotations

import pytest

from soundness.chains.sample import conclusion_step, draw_key, make_chain, sample_chains
from soundness.chains.steps import step_texts
from soundness.errors import SettingError
from soundness.models.base import Model
from soundness.records import Generation, Outcome, Problem, Prompt
from soundness.tasks.base import Task

QUESTIONS = ["é" * length for length in (3, 9, 1, 7, 5)]


@pytest.fixture
def task() -> Task:
    return Task("bytes", tuple(Problem(f"p{index}", question, "99") for index, question in enumerate(QUESTIONS)))


def test_the_fake_is_a_model(model):
    assert isinstance(model, Model)


def test_greedy_chains_come_in_task_order_with_steps_and_grades(model, task):
    chains = sample_chains(model, task, batch_size=2)
    assert [chain.problem_id for chain in chains] == ["p0", "p1", "p2", "p3", "p4"]
    for chain, problem in zip(chains, task.problems, strict=True):
        prompt = model.render(task.message(problem))
        assert chain.prompt == prompt
        assert chain.answer == str(len(prompt.ids))
        texts = step_texts(model.pieces(chain.ids), chain.steps)
        assert texts == ("I count bytes.\n", f"There are {chain.answer}.\n", f"Answer: {chain.answer}")
        assert chain.step_texts == texts
        assert (chain.answer_step, chain.conclusion) == (1, 2)
        assert chain.outcome is (Outcome.RIGHT if chain.answer == "99" else Outcome.WRONG)
        assert (chain.model, chain.sample, chain.seed, chain.finish) == ("bytes", 0, 0, "stop")
        assert model.decode(chain.ids) == chain.text


def test_batches_go_longest_prompt_first(model, task):
    sample_chains(model, task, batch_size=2)
    assert [len(call) for call in model.calls] == [2, 2, 1]
    assert model.lengths == sorted(model.lengths, reverse=True)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_a_draw_depends_on_seed_problem_and_sample_alone(model, task, batch_size):
    whole = sample_chains(model, task, samples=3, seed=7, temperature=1.0, batch_size=batch_size)
    assert [(chain.problem_id, chain.sample) for chain in whole] == [(f"p{i}", j) for i in range(5) for j in range(3)]
    fewer = sample_chains(model, task, samples=2, seed=7, temperature=1.0, batch_size=4)
    assert fewer == [chain for chain in whole if chain.sample < 2]
    part = sample_chains(model, Task("part", task.problems[3:]), samples=3, seed=7, temperature=1.0)
    assert part == whole[9:]
    assert len({chain.text for chain in whole}) == 15
    other = sample_chains(model, task, samples=3, seed=8, temperature=1.0)
    assert not {chain.text for chain in whole} & {chain.text for chain in other}
    assert sorted(key for call in model.calls[: -(-15 // batch_size)] for key in call) == sorted(
        draw_key(7, f"p{i}", j) for i in range(5) for j in range(3)
    )


def test_prompts_writer_and_progress_can_be_passed_in(model, task):
    progress = []
    shared = {problem.id: Prompt("same", (1, 2, 3)) for problem in task.problems}
    chains = sample_chains(
        model,
        task,
        temperature=0.5,
        top_p=0.9,
        max_tokens=40,
        batch_size=3,
        prompts=shared,
        writer="base",
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert [len(call) for call in model.calls] == [3, 2]
    assert progress == [(0, 5), (3, 5), (5, 5)]
    assert {chain.model for chain in chains} == {"base"}
    assert {chain.prompt for chain in chains} == {Prompt("same", (1, 2, 3))}


def test_a_cut_chain_is_cut_off_and_not_wrong(model, task):
    chains = sample_chains(model, task, max_tokens=10)
    assert {chain.outcome for chain in chains} == {Outcome.CUT_OFF}
    assert {chain.finish for chain in chains} == {"length"}
    assert {chain.answer for chain in chains} == {None}
    assert {len(chain.ids) for chain in chains} == {10}


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["7 + 2 = 9\n", "Answer: 9"], 1),
        (["Answer: 9\n", "7 + 2 = 9\n", "So it is."], 0),
        (["so the answer is 8. ", "No, ", "the answer is 9. ", "Good."], 2),
        (["The answer is\n", "9"], 0),
        (["<think>the answer is 8.\n", "hm</think>\n", "It is \\boxed{9}"], 2),
        (["<think>the answer is 8.\n", "hm</think>\n", "It is 9"], None),
        (["7 + 2 = 9"], None),
        ([], None),
    ],
)
def test_the_conclusion_is_the_last_outright_statement(texts, expected):
    assert conclusion_step(texts, Problem("p", "7 + 2?", "9")) == expected


def test_an_empty_generation_is_a_chain_without_steps(model, task):
    problem = task.problems[0]
    chain = make_chain(model, problem, model.render("x"), Generation((), "stop"), writer="base")
    assert (chain.steps, chain.text, chain.answer, chain.answer_step) == ((), "", None, None)
    assert chain.outcome is Outcome.UNREADABLE


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"samples": 0}, "samples must be at least 1"),
        ({"samples": 2}, "temperature 0"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"batch_size": -1}, "batch_size"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"splitter": "line"}, "did you mean 'lines'"),
        ({"prompts": {"p0": Prompt("x", (1,))}}, "4 have none, the first of them 'p1'"),
    ],
)
def test_settings_that_make_no_sense_cost_no_time(model, task, settings, words):
    with pytest.raises(SettingError, match=words):
        sample_chains(model, task, **settings)
    assert model.calls == []
