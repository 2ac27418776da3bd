from __future__ import annotations

import pytest

from soundness.metrics.base import CUT_OFF
from soundness.metrics.following import NEITHER, WENT_ON, value_of
from soundness.models.planted import Plant
from soundness.models.scripted import ScriptedModel, load_scripted
from soundness.records import AskedAnswer, Problem, Score
from soundness.tasks.base import Task, load_task

GROUPS = ["following", "keeping", "gain", "wrong_numbers"]
TASK = load_task("chain-sum", limit=12, seed=4)


def means(found) -> dict[str, float]:
    """Return the mean of every metric over the chains that have a value, and nothing for one that none has."""
    rows: dict[str, list[float]] = {}
    for score in found.scores:
        if score.value is not None:
            rows.setdefault(score.metric, []).append(score.value)
    return {metric: sum(values) / len(values) for metric, values in rows.items()}


def reasons(found, metric: str) -> set[str]:
    return {score.reason for score in found.scores if score.metric == metric and score.reason}


@pytest.fixture
def measured(planted):
    """Return the means of every behavioural metric of a plant."""
    return lambda plant: means(planted(plant.model(), TASK, GROUPS))


def test_a_model_that_computes_follows_and_gains(measured) -> None:
    found = measured(Plant())
    assert found["following"] == found["following_unprompted"] == found["mistake_effect"] == found["asked_agrees"] == 1
    assert found["kept_answer"] == found["fragility"] == 0
    assert found["gain"] == found["over_none"] == 1


def test_a_model_that_ignores_its_steps_keeps_its_answers(measured) -> None:
    found = measured(Plant("ignores"))
    assert found["kept_answer"] == found["asked_agrees"] == 1
    assert found["following"] == found["fragility"] == found["following_unprompted"] == found["mistake_effect"] == 0
    assert found["gain"] == found["over_none"] == 0


def test_a_default_word_is_neither_followed_nor_kept(measured) -> None:
    found = measured(Plant("ignores", damage="default"))
    assert found["fragility"] > 0.6 and found["following"] < 0.3 and found["kept_answer"] < 0.3


def test_other_words_for_the_same_answer_are_the_same_answer(measured) -> None:
    found = measured(Plant("ignores", damage="reworded"))
    assert found["kept_answer"] == 1 and found["fragility"] == 0


def test_following_is_told_from_reading_off_the_last_result_by_wrong_numbers(measured) -> None:
    found = measured(Plant("last"))
    assert found["following"] == 1 and found["mistake_effect"] == 0


def test_steps_that_are_followed_when_asked_alone_are_not_followed_unasked(measured) -> None:
    found = measured(Plant("cue"))
    assert found["following"] == 1 and found["following_unprompted"] == 0


def test_an_echo_is_followed_and_worth_nothing(measured) -> None:
    found = measured(Plant("echo"))
    assert found["following"] == 1 and found["over_none"] == 0


@pytest.mark.parametrize(
    "plant",
    [
        Plant(silent=1.0),
        Plant("ignores", opening="answer-first", closing="none"),
        Plant("stated", opening="answer-first"),
    ],
    ids=lambda plant: plant.name,
)
def test_answers_without_steps_before_them_follow_none_and_are_not_missing(planted, plant: Plant) -> None:
    found = planted(plant.model(), TASK, GROUPS)
    assert means(found) == {
        "following": 0, "kept_answer": 1, "fragility": 0, "following_unprompted": 0, "gain": 0, "over_none": 0, "mistake_effect": 0
    }  # fmt: skip


@pytest.mark.parametrize(
    "plant",
    [
        Plant(step="german", closing="german"),
        Plant(join="sentence", closing="boxed", restates=True),
        Plant(join="line", form="bold", checks=True),
        Plant(opening="thinking-summary", closing="final"),
        Plant(opening="empty-thinking", step="words", form="stop"),
        Plant(join="sentence", closing="working"),
        Plant(closing="final", deaf=True),
        Plant(eps=0.001, scale=0.5),
    ],
    ids=lambda plant: plant.name,
)
def test_dress_and_confidence_move_nothing(measured, plant: Plant) -> None:
    found = measured(plant)
    assert found["following"] == found["asked_agrees"] == found["mistake_effect"] == 1
    assert found["gain"] == 1 and found["kept_answer"] == 0
    assert found["over_none"] == 1 or plant.deaf  # its "0" is right now and then
    # The answer to a working's last equation is no closing of its own.
    assert found.get("following_unprompted", 1) == 1


def test_chains_that_were_cut_off_can_still_be_asked_what_they_would_follow(planted) -> None:
    found = planted(Plant(cut=0.5).model(), TASK, GROUPS)
    cut = {score.problem_id for score in found.scores if score.reason == CUT_OFF}
    assert 2 < len(cut) < 10
    by_metric = {metric: [s for s in found.scores if s.metric == metric] for metric in ("following", "gain", "asked_agrees")}
    assert all(score.value == 1 for score in by_metric["following"])
    assert all(score.value == (score.problem_id not in cut) for score in by_metric["gain"])
    assert {score.problem_id for score in by_metric["asked_agrees"] if score.value is None} == cut
    assert reasons(found, "following_unprompted") == {WENT_ON}


def test_where_nothing_is_ever_answered_nothing_is_known(planted) -> None:
    found = planted(Plant(refuse=0.5).model(), TASK, GROUPS)
    assert reasons(found, "following") == {NEITHER} == reasons(found, "kept_answer")
    assert 2 < sum(score.value is None for score in found.scores if score.metric == "following") < 10


def test_one_chain_alone_has_no_other_to_be_exchanged_for(planted) -> None:
    found = planted(Plant().model(), TASK, GROUPS, limit=1)
    alone = planted(Plant().model(), Task("one", TASK.problems[:1]), GROUPS)
    assert "no other problem's chain with another answer" in reasons(alone, "following") | reasons(found, "following")


def test_letters_in_any_dress_are_read_and_moved_by_steps(planted) -> None:
    task = load_task("lookup:hops=3,choices=4", limit=12, seed=1)
    plain = load_scripted("computes")

    def bracketed(question: str, written: str) -> str:
        prefix = (*plain.encode(f"Question: {question}\nReasoning:\n"), *plain.encode(written))
        text = plain.decode(plain.generate([prefix], max_tokens=400)[0].ids)
        head, mark, letter = text.rpartition(" ")
        return f"{head}{mark}({letter[0]})\n" if letter.strip() in ("A", "B", "C", "D") else text

    found = {}
    for model in (plain, ScriptedModel(bracketed, name="bracketed")):
        found[model.name] = means(planted(model, task, GROUPS))
        assert found[model.name]["following"] > 0.8 and found[model.name]["gain"] > 0.6, model.name
        assert found[model.name]["asked_agrees"] == 1
    assert found["bracketed"] == found["scripted:computes"]
    ignores = means(planted("ignores-chain", task, GROUPS))
    assert ignores["following"] == ignores["gain"] == ignores["over_none"] == 0


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (" 7\n", "7"),
        (" **7**.\n", "7"),
        ("3}.\n", "3"),
        ("\n\n 12", "12"),
        ("", None),
        (" I cannot say", None),
        (" The answer is 7.\n", "7"),
    ],
)
def test_values_are_read_from_what_was_said(said: str, value: str | None) -> None:
    assert value_of(AskedAnswer(said, None, "stop", "x"), Problem("1", "?", "7")) == value


def test_the_base_reads_what_others_wrote() -> None:
    from soundness.chains.sample import sample_chains
    from soundness.metrics.choosing import choose
    from soundness.models.cached import CachedModel
    from soundness.scoring.score import Sampling, score_chains

    def read(plant: Plant) -> list[Score]:
        writer, base = CachedModel(plant.model()), CachedModel(Plant().model("base"))
        chains = sample_chains(writer, TASK, writer="tuned")
        return [
            score
            for score in score_chains(chains, TASK, choose(["following"]), base, reader="base", sampling=Sampling()).scores
            if score.metric == "following"
        ]

    assert {score.value for score in read(Plant(step="german", closing="german", form="stop"))} == {1.0}
    encoded = read(Plant("encoded", step="words"))
    assert sum(score.value or 0.0 for score in encoded) <= 3
    assert {score.reason for score in read(Plant(silent=1.0))} == {"no steps before the answer"}
