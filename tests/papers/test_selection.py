from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundness.models.base import Model
from soundness.models.load import load_model
from soundness.papers import selection
from soundness.papers.base import State, find, overall
from soundness.papers.selection import SCALES, Scale, crossing_of, draw_task, figures, sample, validated
from soundness.records import Generation
from soundness.tasks.worlds import tagged_sum

SMALL = replace(SCALES["tiny"], test_problems=3, num_samples=8, train_problems=40, other_temperatures=(1.0,))


def quiet(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def counts(**models: list[int]) -> dict[str, Any]:
    return {name.replace("_", " "): {"temperature": 0.6, "answer": right, "chain": right} for name, right in models.items()}


def test_problems_are_new_true_and_have_the_asked_products() -> None:
    test = draw_task("test", 30, SMALL)
    train = draw_task("train", 60, SMALL, apart={one.question for one in test.problems})
    assert not {one.question for one in test.problems} & {one.question for one in train.problems}
    assert draw_task("test", 30, SMALL) == test
    for problem in train.problems:
        assert problem.question.count("*") == SMALL.products
        assert len(problem.steps or ()) == SMALL.operations
        value = int(problem.question[0])
        for sign, operand in re.findall(r"([-+*])(\d)", problem.question):
            value = tagged_sum.apply(value, sign, int(operand))
        assert problem.answer == str(value)


def test_a_chain_passes_only_with_every_true_step_in_order() -> None:
    problem = draw_task("test", 1, SMALL).problems[0]
    steps = list(problem.steps or ())
    right = "\n".join(steps) + f"\nAnswer: {problem.answer}\n"
    assert validated(right, problem)
    assert validated(right.replace("=", " = "), problem)
    assert not validated(f"Answer: {problem.answer}\n", problem)
    assert not validated("\n".join(steps[1:]), problem)
    assert not validated("\n".join(reversed(steps)), problem)
    assert not validated("\n".join([*steps, steps[-1]]), problem)


class Guesser:
    """Writes the right answer without a step in the first half of the draws, and a true chain in the last."""

    def __init__(self, inner: Model, texts: list[str]) -> None:
        self.inner, self.texts = inner, texts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def generate(self, prefixes: Any, **_: Any) -> list[Generation]:
        return [Generation(tuple(self.inner.encode(text)), "stop") for text in self.texts]


def test_an_answer_without_its_chain_counts_as_an_answer_alone() -> None:
    task = draw_task("test", 1, SMALL)
    problem = task.problems[0]
    true = "".join(f"{step}\n" for step in problem.steps or ())
    alone, whole = f"Answer: {problem.answer}\n", f"{true}Answer: {problem.answer}\n"
    wrong = f"{true}Answer: {(int(problem.answer or 0) + 1) % 10}\n"
    model = Guesser(load_model("organism:base"), [alone] * 4 + [wrong] * 3 + [whole])
    found = sample(model, task, SMALL, temperature=0.6, seed="0")  # type: ignore[arg-type]
    assert found == {"answer": [5], "chain": [1]}


def test_more_samples_are_the_same_samples_and_others() -> None:
    model, task = load_model("organism:base"), draw_task("test", 2, SMALL)
    few = sample(model, task, replace(SMALL, num_samples=6), temperature=0.6, seed="0")
    assert sample(model, task, replace(SMALL, num_samples=6), temperature=0.6, seed="0") == few
    many = sample(model, task, replace(SMALL, num_samples=12), temperature=0.6, seed="0")
    assert all(0 <= more - less <= 6 for less, more in zip(few["answer"], many["answer"], strict=True))


def test_curves_cross_where_arithmetic_says() -> None:
    # A base that is right once in four everywhere, and a model that always solves half the problems.
    found = crossing_of([1] * 40, [4] * 20 + [0] * 20, 4, 0)
    assert found["k"] == 2.0
    assert found["low"] is not None and found["high"] is not None and found["low"] < 2.0 < found["high"]
    never = crossing_of([1] * 10, [2] * 10, 4, 0)
    assert (never["k"], never["low"], never["crossed"]) == (None, None, 0.0)


def test_a_model_that_chooses_confirms_and_one_that_learns_refutes() -> None:
    base, taught = [2] * 20, [8] * 20
    narrow, wide = [8] * 14 + [0] * 6, [8] * 20
    base_narrow = counts(base=base[:18] + [0, 0], rlvr=narrow, sft=taught)
    confirming = [{"figures": figures(base_narrow, 8, seed)} for seed in range(3)]
    found = {one.figure: find(one, confirming) for one in selection.PAPER.expectations}
    assert found["pass_k_lost_rlvr"].mean == pytest.approx(0.2)
    assert found["pass_1_gained_rlvr"].mean == pytest.approx(0.7 - 0.225)
    assert found["pass_k_gained_sft"].mean == pytest.approx(0.1)
    assert found["only_base"].mean == pytest.approx(0.2)
    assert found["crossed_rlvr"].state is State.CONFIRMED
    assert overall([*found.values()]) is State.CONFIRMED
    widening = [{"figures": figures(counts(base=base[:18] + [0, 0], rlvr=wide, sft=taught), 8, seed)} for seed in range(3)]
    found = {one.figure: find(one, widening) for one in selection.PAPER.expectations}
    assert found["pass_k_lost_rlvr"].mean == pytest.approx(-0.1)
    assert found["only_rlvr"].mean == pytest.approx(0.1)
    assert overall([*found.values()]) is State.REFUTED


def test_a_temperature_that_does_as_much_is_seen() -> None:
    models = counts(base=[2] * 10, rlvr=[6] * 10, sft=[8] * 10, base_at_temperature_03=[7] * 10)
    assert figures(models, 8, 0)["pass_1_over_temperature"] == pytest.approx(-0.125)


def test_a_whole_run_goes_on_where_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scale = replace(SMALL, rl_steps=2, rl_batch=16, rl_generations=8, checkpoints=2, sft_steps=2, sft_batch=4)
    found = selection.run(scale, 0, tmp_path, quiet)
    assert [*found["models"]] == ["base", "base at temperature 1", "rlvr after 1 steps", "rlvr", "sft"]
    assert {one.figure for one in selection.PAPER.expectations} == set(found["figures"])
    assert len(found["rewards"]) == 2
    monkeypatch.setattr(selection, "sample", lambda *_, **__: pytest.fail("drawn twice"))
    again = selection.run(scale, 0, tmp_path, quiet)
    assert json.dumps(again, sort_keys=True) == json.dumps(found, sort_keys=True)
    seeds = [found, found]
    for table in selection.tables(seeds):
        assert table.rows
        assert all(len(row) == len(table.head) for row in table.rows), table.title
    pictures = selection.pictures(seeds)
    assert json.dumps(pictures, allow_nan=False)
    ks = {row["k"] for row in pictures["pass-at-k"]["data"]["values"]}
    assert ks == {1, 2, 4, 8}


def test_every_scale_has_room_for_whole_groups() -> None:
    for scale in SCALES.values():
        assert scale.rl_batch % scale.rl_generations == 0
        assert scale.products <= scale.operations
        assert isinstance(scale, Scale)
