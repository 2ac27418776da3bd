from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from soundness.papers import corrupted_traces
from soundness.papers.base import State, find, overall
from soundness.papers.corrupted_traces import (
    ARMS,
    PAPER,
    SCALES,
    Scale,
    examples_of,
    judge,
    lessons,
    pictures,
    run,
    tables,
    traces,
)
from soundness.tasks.worlds.maze import GENERATORS, Cell, Maze, answer_words, broken_rule, read_answer, vocabulary
from soundness.training.data import IGNORED
from soundness.training.tiny_decoders import batches_of

SMALL = Scale(5, 96, 4, 4, layers=1, heads=2, width=16, learning_rate=1e-3, test_problems=3)
TAUGHT = lessons("wilson", SMALL, seed=0)
LINE = Maze(1, 3, frozenset(), Cell(0, 0), Cell(2, 0))
SEARCH = "reasoning close 0 0 c0 c2 create 1 0 c1 c1 close 1 0 c1 c1 create 2 0 c2 c0 close 2 0 c2 c0"
PLAN = "solution plan 0 0 plan 1 0 plan 2 0"


def words_of(arm: str) -> list[list[str]]:
    found = traces(arm, TAUGHT, seed=0)
    assert all(one is not None for one in found)
    return found  # type: ignore[return-value]


# Arms


def test_correct_traces_are_valid() -> None:
    for one, words in zip(TAUGHT, words_of("correct"), strict=True):
        assert broken_rule(one.maze, read_answer(["reasoning", *words, "solution"]).events) is None


def test_swapped_traces_are_those_of_other_mazes_each_used_once() -> None:
    own, swapped = words_of("correct"), words_of("swapped")
    assert Counter(map(tuple, own)) == Counter(map(tuple, swapped))
    valid = sum(
        broken_rule(one.maze, read_answer(["reasoning", *words, "solution"]).events) is None
        for one, words in zip(TAUGHT, swapped, strict=True)
    )
    assert valid <= 0.05 * len(TAUGHT)
    assert swapped == words_of("swapped") and swapped != traces("swapped", TAUGHT, seed=1)
    marked = [replace(one, events=(one.events[0]._replace(g=place), *one.events[1:])) for place, one in enumerate(TAUGHT)]
    sources = [int(words[3][1:]) for words in traces("swapped", marked, seed=0) if words]
    assert sorted(sources) == list(range(len(TAUGHT)))
    assert all(source != place for place, source in enumerate(sources))


@pytest.mark.parametrize("arm", ["random", "filler"])
def test_controls_are_as_long_as_the_own_trace(arm: str) -> None:
    own, found = words_of("correct"), words_of(arm)
    assert [len(one) for one in own] == [len(one) for one in found]
    assert len({word for one in found for word in one}) == (1 if arm == "filler" else len({w for one in own for w in one}))


def test_every_arm_learns_the_same_plans_from_the_same_questions() -> None:
    ids = {word: place for place, word in enumerate(["<pad>", "<end>", *vocabulary(5), "."])}
    shown: dict[str, list[Any]] = {}
    for arm in ARMS:
        drawn = islice(batches_of(examples_of(TAUGHT, traces(arm, TAUGHT, 0), ids), 4, seed=0), 32)
        pairs = [pair for batch in drawn for pair in batch]
        assert all(IGNORED not in labels[labels.count(IGNORED) :] for _, labels in pairs), "the question, then what is learned"
        cut = ids["solution"]
        shown[arm] = sorted((row[: labels.count(IGNORED)], row[row.index(cut) :]) for row, labels in pairs)
        assert all((ids["reasoning"] in row) == (arm != "solution only") for row, _ in pairs)
    assert all(shown[arm] == shown["correct"] for arm in ARMS)


def test_a_lesson_in_words() -> None:
    one = TAUGHT[0]
    ids = {word: place for place, word in enumerate(["<pad>", "<end>", *vocabulary(5), "."])}
    [(row, labels)] = examples_of([one], [None], ids)
    assert [list(ids)[token] for token, label in zip(row, labels, strict=True) if token == label] == [
        *answer_words(None, one.plan),
        "<end>",
    ]


# Judging


@pytest.mark.parametrize(
    ("said", "plan", "shortest", "trace"),
    [
        (f"{SEARCH} {PLAN}", 1, 1, 1),
        (f"{SEARCH.replace('c2 c0', 'c2 c1')} {PLAN}", 1, 1, 0),
        (f"{SEARCH} solution plan 0 0 plan 2 0", 0, 0, 1),
        (f"{SEARCH} solution plan 0 0 plan 1 0 plan 0 0 plan 1 0 plan 2 0", 1, 0, 1),
        ("solution", 0, 0, 0),
    ],
)
def test_one_answer(said: str, plan: int, shortest: int, trace: int) -> None:
    found = judge([LINE], [(said.split(), False)], traced=True)
    assert (found["plan_valid"], found["plan_shortest"], found["trace_valid"]) == (plan, shortest, trace)
    assert found["trace_valid_given_plan"] == (trace if plan else None), "unknown without a valid plan"


def test_shares_are_over_all_answers() -> None:
    answers = [(f"{SEARCH} {PLAN}".split(), False), (PLAN.split(), True), ("solution".split(), True)]
    found = judge([LINE] * 3, answers, traced=True)
    assert found["plan_valid"] == pytest.approx(2 / 3) and found["trace_valid"] == pytest.approx(1 / 3)
    assert found["trace_valid_given_plan"] == 0.5 and found["trace_cut"] == pytest.approx(2 / 3)
    assert found["broken_rules"] == {"form": 2}
    bare = judge([LINE] * 3, answers, traced=False)
    assert bare["trace_valid"] is None and bare["trace_valid_given_plan"] is None


# A run


@pytest.fixture(scope="module")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One seed of the smallest size that goes through everything."""
    out = tmp_path_factory.mktemp("run")
    return out, run(SMALL, 0, out, lambda what, done, total: None)


def test_a_run_gives_every_figure_and_can_be_shown(small_run: tuple[Path, dict[str, Any]]) -> None:
    _, found = small_run
    assert json.loads(json.dumps(found)) == found
    assert {one.figure for one in PAPER.expectations} <= set(found["figures"])
    assert set(found["trained"]["wilson"]) == set(ARMS) == {arm.name for arm in PAPER.arms}
    for arm in found["trained"]["wilson"].values():
        assert set(arm["tested"]) == set(GENERATORS) and all(one["n"] == 3 for one in arm["tested"].values())
    shown = tables([found, found])
    assert all(len(row) == len(table.head) for table in shown for row in table.rows)
    for picture in pictures([found, found]).values():
        assert "<svg" in vl_convert.vegalite_to_svg(picture)


def test_a_killed_run_goes_on_with_the_arm_that_is_missing(
    small_run: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, found = small_run
    made: list[str] = []
    arm = corrupted_traces._run_arm

    def listen(name: str, *rest: Any) -> dict[str, Any]:
        made.append(name)
        return arm(name, *rest)

    monkeypatch.setattr(corrupted_traces, "_run_arm", listen)
    (out / "wilson" / "swapped" / "found.json").unlink()
    assert run(SMALL, 0, out, lambda what, done, total: None) == found
    assert made == ["swapped"]


# The verdict


def planted(correct: float, swapped: float, alone: float, valid: float = 0.0) -> dict[str, Any]:
    def tested(plans: float, traced: float | None) -> dict[str, Any]:
        one = {"plan_valid": plans, "trace_valid": traced, "trace_valid_given_plan": traced}
        return {"tested": {kind: one for kind in GENERATORS}}

    arms = {
        "solution only": tested(alone, None),
        "correct": tested(correct, 0.9),
        "swapped": tested(swapped, valid),
        "random": tested(alone, None),
        "filler": tested(alone, None),
    }
    return {"figures": corrupted_traces._figures(arms, "wilson")}


@pytest.mark.parametrize(
    ("correct", "swapped", "alone", "valid", "state"),
    [
        (0.7, 0.72, 0.4, 0.0, State.CONFIRMED),
        (0.7, 0.45, 0.4, 0.0, State.REFUTED),
        (0.7, 0.72, 0.4, 0.8, State.REFUTED),
        (0.7, 0.72, 0.9, 0.0, State.NOT_REACHED),
    ],
)
def test_the_verdict_on_planted_figures(correct: float, swapped: float, alone: float, valid: float, state: State) -> None:
    seeds = [planted(correct + move, swapped + move, alone, valid) for move in (0.0, 0.01, 0.02)]
    assert overall([find(expectation, seeds) for expectation in PAPER.expectations]) is state


def test_scales_give_every_arm_the_same_mazes() -> None:
    """Pools of 32 batches are drawn alike whatever the lengths."""
    assert all(scale.num_steps % 32 == 0 and scale.problems >= scale.batch_size for scale in SCALES.values())
    assert {name for setting in PAPER.settings for name in setting.name.split(", ")} >= {"size", "num_steps", "trained_on"}
