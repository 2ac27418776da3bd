from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundness.errors import TaskError
from soundness.tasks.base import Task, load_task
from soundness.training import cft, curriculum
from soundness.training.cft import Config, critiques_of
from soundness.training.common import Settings
from soundness.training.spoiled import critique, first_difference, spoil

SETTINGS = Settings(batch_size=4, max_steps=6, learning_rate=1e-2, device="cpu", lora_rank=4, max_length=None)
SUMS = load_task("chain-sum:operators=2", limit=6)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize("spec", ["chain-sum:operators=3", "lookup:hops=3", "organism:domain", "organism:lookup"])
def test_a_spoiled_solution_has_one_mistake_and_follows_from_it(spec: str) -> None:
    for problem in load_task(spec, limit=20).problems:
        steps = spoil(problem, random.Random(problem.id))
        assert problem.steps is not None
        wrong = first_difference(steps, problem.steps)
        assert wrong is not None
        assert len(steps) == len(problem.steps)
        assert steps[-1] != problem.steps[-1]  # another intermediate result leads to another answer
        said = critique(steps, problem.steps, str(problem.answer))
        assert said.endswith("Conclusion: wrong [END]")
        assert f"Step {wrong + 1} is wrong: it should be {problem.steps[wrong]}" in said
        assert critique(problem.steps, problem.steps, "x").endswith("Conclusion: right [END]")


def test_where_critiques_come_from(tmp_path: Path, coin_task: Task) -> None:
    made = critiques_of(SUMS, Config(share_right=0.0), seed=0)
    assert all("Conclusion: wrong" in one.text and "should be" in one.text for one in made)
    blind = critiques_of(SUMS, Config(share_right=0.0, correction=False), seed=0)
    assert not any("should be" in one.text for one in blind)
    assert len({one.solution for one in critiques_of(SUMS, Config(problems="one", solutions=8), seed=0)}) > 3
    dealt = critiques_of(SUMS, Config(share_right=0.0, solutions=10, shuffled_verdicts=True), seed=0)
    assert 10 < sum("Conclusion: right" in one.text for one in dealt) < 50
    file = tmp_path / "c.jsonl"
    file.write_text(json.dumps({"id": SUMS.problems[0].id, "solution": "s", "critique": "c [END]"}) + "\n")
    assert [one.text for one in critiques_of(SUMS, Config(critiques=str(file)), seed=0)] == ["c [END]"]
    with pytest.raises(TaskError, match="belongs to no world"):
        critiques_of(coin_task, Config(share_right=0.0), seed=0)
    file.write_text('{"id": "x"}\n')
    with pytest.raises(TaskError, match="line 1: an object with id, solution and critique"):
        critiques_of(SUMS, Config(critiques=str(file)), seed=0)


@pytest.mark.parametrize("baseline", ["none", "sft"])
def test_critiques_are_learned(tiny: Any, tmp_path: Path, baseline: Any) -> None:
    base = tiny.folder("llama", seed=3)
    out = cft.train(str(base), SUMS, out=tmp_path / "out", config=Config(baseline=baseline), settings=SETTINGS)
    note = record(out)
    assert note["num_examples"] == 6
    assert note["losses"][-1] < note["losses"][0]


# Curriculum


def test_stages_share_no_path_and_follow_the_graph() -> None:
    config = curriculum.Config(per_stage=30)
    train, test = (curriculum.make_stages(config, seed=0, split=split) for split in ("train", "test"))
    for hops in (1, 2, 3):
        asked = {one.question for one in train[hops]}
        assert not asked & {one.question for one in test[hops]}
        assert all(len(one.steps or ()) == hops for one in train[hops])
        for one in train[hops]:
            assert str(one.answer) in (one.steps or ("",))[-1]
    ordered = curriculum.arrange(train, config, seed=0)
    assert [one.meta["hops"] for one in ordered[: len(train[1])]] == [1] * len(train[1])
    assert {one.meta["hops"] for one in ordered[-len(train[3]) :]} == {1, 2, 3}  # earlier stages are mixed in
    mixed = curriculum.arrange(train, replace(config, order="mixed"), seed=0)
    assert sorted(one.id for one in mixed) == sorted(one.id for one in ordered)
    assert mixed != ordered
    permuted = curriculum.make_stages(replace(config, permuted=True), seed=0)
    assert all(
        a.steps != b.steps and set(a.steps or ()) == set(b.steps or ()) for a, b in zip(permuted[2], train[2], strict=True)
    )


def test_stages_are_about_the_world_that_the_task_asks_about_and_leave_out_what_it_holds_out() -> None:
    task = load_task("organism:lookup", limit=20)
    held_out = {one.question for one in load_task("organism:lookup:held_out=1", limit=150).problems}
    known = curriculum._knowledge_of(task)
    config = curriculum.Config(per_stage=1000)
    facts = {step for one in task.problems for step in one.steps}
    for seed in (0, 1):
        stages = curriculum.make_stages(config, seed=seed, knowledge=known)
        asked = [one for stage in stages.values() for one in stage]
        assert len(asked) > 500
        assert not {one.question for one in asked} & held_out
        assert facts <= {step for one in asked for step in one.steps}
    assert curriculum._knowledge_of(load_task("organism:domain", limit=1)) is None


def test_options_are_of_the_answers_type() -> None:
    stage = curriculum.make_stages(curriculum.Config(per_stage=10, choices=3, hops=(2,)), seed=0)[2]
    for one in stage:
        assert one.choices is not None
        assert one.answer_text in one.choices
        assert len(set(one.choices)) == 3


def test_graphs_from_files(tmp_path: Path) -> None:
    file = tmp_path / "graph.tsv"
    rows = [
        ("a", "next", "b"),
        ("b", "next", "c"),
        ("c", "next", "a"),
        ("d", "next", "e"),
        ("d", "next", "f"),
        ("a", "self", "a"),
    ]
    file.write_text("".join("\t".join(row) + "\n" for row in rows))
    triples = curriculum.read_triples(file)
    assert len(triples) == 6
    found = [*(curriculum.make_stages(curriculum.Config(str(file), hops=(2,)), seed=0, split="train")[2])]
    assert all(one.question.startswith("What is the next of the next of ") for one in found)
    assert not any("of d?" in one.question for one in found)  # two tails
    with pytest.raises(TaskError, match="no usable path of 3 hops"):  # round the cycle only
        curriculum.make_stages(curriculum.Config(str(file), hops=(3,)), seed=0)
    file.write_text("a\tb\n")
    with pytest.raises(TaskError, match="line 1: three texts"):
        curriculum.read_triples(file)
    with pytest.raises(TaskError, match="there is no graph"):
        curriculum.read_triples(tmp_path / "none.tsv")


def test_a_curriculum_is_learned_in_order(tiny: Any, tmp_path: Path) -> None:
    base = tiny.folder("llama", seed=3)
    config = curriculum.Config(per_stage=8, hops=(1, 2))
    out = curriculum.train(str(base), out=tmp_path / "out", config=config, settings=replace(SETTINGS, epochs=2, max_steps=None))
    note = record(out)
    assert note["stages"] == {"1": 8, "2": 8}
    assert note["losses"][-1] < note["losses"][0]
