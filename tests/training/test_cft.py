from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundness.errors import RunError, SettingError, TaskError
from soundness.records import Generation
from soundness.tasks.base import Task, load_task
from soundness.training import curriculum, rlvr
from soundness.training import policy as policies
from soundness.training.cft import Config, critiques_of
from soundness.training.corrupted import corrupt_steps, critique, first_difference
from soundness.training.critic import verdict_of, with_verdict
from soundness.training.methods import train, train_once
from soundness.training.settings import Settings

SETTINGS = Settings(batch_size=4, max_steps=6, learning_rate=1e-2, device="cpu", lora_rank=4, max_length=None)
HEADS, TAILS = "0 + 1 = 1\nAnswer: 1", "0 + 0 = 0\nAnswer: 0"
SUMS = load_task("chain-sum:operators=2", limit=6)


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training.json").read_text())


@pytest.mark.parametrize("spec", ["chain-sum:operators=3", "lookup:hops=3", "organism:domain", "organism:lookup"])
def test_a_corrupted_solution_has_one_mistake_and_follows_from_it(spec: str) -> None:
    for problem in load_task(spec, limit=20).problems:
        steps = corrupt_steps(problem, random.Random(problem.id))
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
    out = train("cft", str(base), SUMS, out=tmp_path / "out", config=Config(baseline=baseline), settings=SETTINGS)
    note = record(out)
    assert note["num_examples"] == 6
    assert note["losses"][-1] < note["losses"][0]


# Critiques written by a model


class Critic:
    """Writes what `says` answers to a question, for as many tokens as it may."""

    def __init__(self, model: Any, says: Callable[[str], str]) -> None:
        self.model, self.says = model, says
        self.name, self.context_length = "critic", model.context_length
        self.encode, self.decode, self.render = model.encode, model.decode, model.render

    def generate(self, prefixes: Any, *, max_tokens: int, until: str | None = None) -> list[Generation]:
        assert until == "[END]"
        found = []
        for ids in prefixes:
            written = self.model.encode(self.says(self.decode(ids)))
            found.append(Generation(tuple(written[:max_tokens]), "stop" if len(written) <= max_tokens else "length"))
        return found


@pytest.fixture
def critic(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], str]], None]:
    def use(says: Callable[[str], str]) -> None:
        made = Critic(tiny.load("llama"), says)
        monkeypatch.setattr("soundness.models.load.load_model", lambda spec, **_: made)

    return use


def lines(file: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Step 1 is fine.\nConclusion: right [END]", True),
        ("Conclusion: wrong [END]", False),
        ("Both steps hold.\n\n**Conclusion: correct**", True),
        ("- conclusion -- INCORRECT, since 3 + 4 = 7", False),
        ("Conclusion: 'right' or 'wrong'", None),
        ("Conclusion: right / wrong", None),
        ("Conclusion: not right", None),
        ("Conclusion: rightly so", None),
        ("I end with 'Conclusion: right [END]'", None),  # the instruction, repeated
        ("Conclusion: right\nConclusion: wrong", None),
        ("Conclusion: right\nagain\nConclusion: right", True),
        ("In conclusion, nothing.", None),
        ("", None),
    ],
)
def test_a_verdict_is_one_word_on_a_line_of_its_own(text: str, verdict: bool | None) -> None:
    assert verdict_of(text) is verdict


def test_verdicts_are_dealt_without_losing_the_critique() -> None:
    assert with_verdict("Step 2 is wrong.\nConclusion: wrong, sadly. [END] And more", True) == (
        "Step 2 is wrong.\nConclusion: right [END]"
    )
    assert with_verdict("Nothing was concluded.", False) == "Nothing was concluded.\nConclusion: wrong [END]"
    assert with_verdict("Conclusion: right", False) == "Conclusion: wrong [END]"


def test_what_a_model_wrote_is_kept_up_to_its_verdict_and_the_rest_is_counted(tiny: Any, tmp_path: Path, critic: Any) -> None:
    task = replace(SUMS, problems=load_task("chain-sum:operators=2", limit=5).problems)
    replies = iter(
        [
            "Step 1 is right.\n**Conclusion: correct.** [END]",
            "The answer is 5.",
            "Conclusion: right\nConclusion: wrong",
            "On and on. " * 20,
            "x" * 140 + "\nConclusion: wrong [END]",
        ]
    )
    critic(lambda question: next(replies))
    settings = replace(SETTINGS, max_steps=1, max_length=360)
    config = Config(critiques="critic", max_tokens=180, share_right=1.0)
    out = train("cft", str(tiny.folder("llama")), task, out=tmp_path / "out", config=config, settings=settings)
    note = record(out)
    assert (note["num_examples"], note["critiques_kept"]) == (1, 1)
    assert note["critiques_dropped"] == {"critique cut off": 1, "longer than 360 tokens": 1, "no verdict": 2}
    assert (note["share_right"], note["share_without_verdict"], note["share_verdicts_true"]) == (1, 0, 1)
    (kept,) = lines(out / "critiques.jsonl")
    assert kept["critique"] == "Step 1 is right.\nConclusion: right [END]"
    assert [one["why"] for one in lines(out / "critiques-dropped.jsonl")][0] == "no verdict"
    again = critiques_of(task, Config(critiques=str(out / "critiques.jsonl")), seed=0)
    assert [(one.problem.id, one.text) for one in again] == [(kept["id"], kept["critique"])]


def test_a_critic_without_a_verdict_is_an_error_that_shows_its_words(tiny: Any, tmp_path: Path, coin_task: Task) -> None:
    def run(words: str, task: Task = SUMS, error: Any = TaskError, **options: Any) -> None:
        with pytest.raises(error, match=words):
            config = Config(**{"critiques": base, "max_tokens": 20, **options})
            train("cft", base, task, out=tmp_path / "out", config=config, settings=SETTINGS)
        assert list(tmp_path.iterdir()) == []

    base = str(tiny.folder("llama"))
    run(r"none of the 6 critiques by .*llama-0 can be used \(critique cut off; the first: '.+'\): use another model")
    run("reads 2048 tokens, and the longest prompt .* use max_tokens=", error=SettingError, max_tokens=2000)
    run("no solution for .*: the problem '.*' belongs to no world .* With solver=model the model that is tuned", coin_task)
    run("solutions by the model itself are judged by a model", error=SettingError, solver="model", critiques="exact")
    run("max_tokens must be at least 1", error=SettingError, max_tokens=0)


def test_solutions_by_the_model_that_is_tuned(coin_model: Path, coin_task: Task, tmp_path: Path, critic: Any) -> None:
    asked: list[str] = []

    def says(question: str) -> str:
        asked.append(question)
        return f"Conclusion: {'right' if 'Answer: 1' in question else 'wrong'} [END]"

    critic(says)
    config = Config(critiques="critic", solver="model", solutions=3, max_tokens=40)
    out = train("cft", str(coin_model), coin_task, out=tmp_path / "out", config=config, settings=SETTINGS)
    note, kept = record(out), lines(out / "critiques.jsonl")
    assert note["critiques_kept"] + sum(note["critiques_dropped"].values()) == 3 * len(coin_task.problems)
    assert {one["solution"] for one in kept} >= {HEADS, TAILS}
    assert all(one["solution"] in question for one, question in zip(kept, asked, strict=True))
    assert note["share_verdicts_true"] == 6 / 8  # it is right about those whose answer is 1
    asked.clear()
    again = train("cft", str(coin_model), coin_task, out=tmp_path / "again", config=config, settings=SETTINGS)
    assert lines(again / "critiques.jsonl") == kept


def test_a_critic_is_not_asked_twice(tiny: Any, tmp_path: Path, critic: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    critic(lambda question: f"I looked at {len(question)} letters.\nConclusion: wrong [END]")
    base, config = str(tiny.folder("llama")), Config(critiques="critic", max_tokens=80, shuffled_verdicts=True)
    settings = replace(SETTINGS, save_every=2)
    whole = train("cft", base, SUMS, out=tmp_path / "whole", config=config, settings=settings)

    def kill(step: Any) -> None:
        if step.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("cft", base, SUMS, out=tmp_path / "out", config=config, settings=settings, on_step=kill)
    monkeypatch.setattr("soundness.models.load.load_model", lambda *_, **__: pytest.fail("loaded again"))
    out = train("cft", base, SUMS, out=tmp_path / "out", config=config, settings=settings)
    assert record(out)["resumed_from_step"] == 2
    assert record(out)["losses"] == record(whole)["losses"]
    assert {name: record(out)[name] for name in ("critiques_kept", "share_right", "share_verdicts_true")} == {
        name: record(whole)[name] for name in ("critiques_kept", "share_right", "share_verdicts_true")
    }


def test_a_model_that_learned_to_judge_is_a_critic(tiny: Any, tmp_path: Path) -> None:
    base = str(tiny.folder("llama", tokenizer=tiny.byte_tokenizer(chat=True), name="llama-chat"))
    task = replace(SUMS, problems=SUMS.problems[:1])
    config = Config(correction=False, problems="one", solutions=2)
    exact = critiques_of(task, config, seed=0)
    assert {one.text.split()[-2] for one in exact} == {"right", "wrong"}
    settings = replace(SETTINGS, adaptation="full", max_steps=80, batch_size=2, learning_rate=1e-2)
    judge = train("cft", base, task, out=tmp_path / "judge", config=config, settings=settings)
    assert record(judge)["losses"][-1] < 0.05
    asked = replace(config, critiques=str(judge), max_tokens=100)
    out = train("cft", base, task, out=tmp_path / "out", config=asked, settings=SETTINGS)
    assert [one["critique"] for one in lines(out / "critiques.jsonl")] == [one.text for one in exact]
    assert record(out)["share_verdicts_true"] == 1


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
    known = curriculum._world_of(task)
    config = curriculum.Config(per_stage=1000)
    facts = {step for one in task.problems for step in one.steps}
    for seed in (0, 1):
        stages = curriculum.make_stages(config, seed=seed, world=known)
        asked = [one for stage in stages.values() for one in stage]
        assert len(asked) > 500
        assert not {one.question for one in asked} & held_out
        assert facts <= {step for one in asked for step in one.steps}
    assert curriculum._world_of(load_task("organism:domain", limit=1)) is None


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
    found = [*(curriculum.make_stages(curriculum.Config(graph=str(file), hops=(2,)), seed=0, split="train")[2])]
    assert all(one.question.startswith("What is the next of the next of ") for one in found)
    assert not any("of d?" in one.question for one in found)  # two tails
    with pytest.raises(TaskError, match="no usable path of 3 hops"):  # round the cycle only
        curriculum.make_stages(curriculum.Config(graph=str(file), hops=(3,)), seed=0)
    file.write_text("a\tb\n")
    with pytest.raises(TaskError, match="line 1: three texts"):
        curriculum.read_triples(file)
    with pytest.raises(TaskError, match="there is no graph"):
        curriculum.read_triples(tmp_path / "none.tsv")


def test_a_curriculum_is_learned_in_order(tiny: Any, tmp_path: Path) -> None:
    base = tiny.folder("llama", seed=3)
    config = curriculum.Config(per_stage=8, hops=(1, 2))
    out = train(
        "curriculum",
        str(base),
        "lookup",
        out=tmp_path / "out",
        config=config,
        settings=replace(SETTINGS, epochs=2, max_steps=None),
    )
    note = record(out)
    assert note["stages"] == {"1": 8, "2": 8}
    assert note["losses"][-1] < note["losses"][0]
    # Its questions are its own, and what was asked for is still known.
    again = {"out": out, "config": config, "settings": replace(SETTINGS, epochs=2, max_steps=None)}
    assert train_once("curriculum", str(base), "lookup", **again) == out
    with pytest.raises(RunError, match="another task"):
        train_once("curriculum", str(base), "chain-sum", **again)


POLICY = {"num_generations": 4, "max_tokens": 8, "preflight": 0}


@pytest.mark.parametrize(
    ("learner", "learning", "choices"),
    [
        ("sft", {"target": "label"}, 0),
        ("cpt", {"length": 32}, 0),
        ("rlvr", {"policy": POLICY}, 0),
        ("gain", {"policy": POLICY}, 0),
        ("rlag", {}, 3),
        ("cft", {}, 0),
        ("sdft", {"max_tokens": 8}, 0),
    ],
)
def test_any_method_learns_from_a_curriculum(
    tiny: Any, tmp_path: Path, learner: str, learning: dict[str, Any], choices: int
) -> None:
    base = tiny.folder("llama", seed=3)
    config = curriculum.Config(per_stage=8, hops=(1, 2), choices=choices, learner=learner, learning=learning)
    settings = replace(SETTINGS, max_steps=2)
    out = train("curriculum", str(base), "lookup", out=tmp_path / "out", config=config, settings=settings)
    note = record(out)
    assert (note["method"], note["config"]["learner"], note["num_steps"]) == ("curriculum", learner, 2)
    assert {**note["learner_config"], **learning}.keys() == note["learner_config"].keys()
    assert note["stages"] == {"1": 8, "2": 8}
    assert train_once("curriculum", str(base), "lookup", out=out, config=config, settings=settings) == out


@pytest.mark.parametrize("order", ["in_order", "mixed"])
def test_completions_are_drawn_in_the_order_of_the_curriculum(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: Any
) -> None:
    seen: list[str] = []

    def watch_of(scheme: str, anchored: bool) -> Any:
        def watch(made: Any) -> dict[str, float]:
            seen.extend(dict.fromkeys(one.problem.id for one in made))
            return {}

        return watch

    monkeypatch.setattr(rlvr, "watch_of", watch_of)
    learning = {"policy": POLICY}
    config = curriculum.Config(per_stage=8, hops=(1, 2), order=order, learner="rlvr", learning=learning)
    settings = replace(SETTINGS, max_steps=8, batch_size=8)
    train("curriculum", str(tiny.folder("llama", seed=3)), "lookup", out=tmp_path / "out", config=config, settings=settings)
    problems = curriculum.arrange(curriculum.make_stages(config, seed=0), config, seed=0)
    assert seen == [one.id for one in problems]


def test_stages_that_are_known_already_do_not_end_a_curriculum(
    tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def correctness(scheme: str, anchored: bool, grader: Any) -> Any:
        def reward(made: Any) -> list[float]:
            asked.extend(dict.fromkeys(one.problem.id for one in made))
            return [1.0 if one.problem.meta["hops"] == 1 else i % 2 for i, one in enumerate(made)]

        return reward

    monkeypatch.setattr(rlvr, "correctness", correctness)
    monkeypatch.setattr(policies, "_PATIENCE", 2)
    learning = {"policy": {**POLICY, "preflight": 4}}
    config = curriculum.Config(per_stage=8, hops=(1, 2), replay=0.0, learner="rlvr", learning=learning)
    settings = replace(SETTINGS, max_steps=8, batch_size=8)
    out = train(
        "curriculum", str(tiny.folder("llama", seed=3)), "lookup", out=tmp_path / "out", config=config, settings=settings
    )
    tried = list(dict.fromkeys(asked))[:3]  # before training, until rewards differ
    assert [one.partition("/")[0] for one in tried] == ["1-hop", "1-hop", "2-hop"]
    assert [step["frac_reward_zero_std"] for step in record(out)["history"]] == [1] * 4 + [0] * 4


def test_what_a_curriculum_cannot_be_learned_by_is_refused(tmp_path: Path) -> None:
    for options, words in (
        ({"learner": "curriculum"}, "is learned by another method"),
        ({"learner": "rlvt"}, "did you mean 'rlvr'"),
        ({"learner": "rlvr", "learning": {"polcy": {}}}, "options of rlvr: there is no option 'polcy'"),
    ):
        with pytest.raises(SettingError, match=words):
            curriculum.Config(**options)
