from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from soundness.papers import cot_length
from soundness.papers.base import State, find
from soundness.papers.cot_length import Network, Scale, best_length, best_steps, fit_theory, interior_margin, summary
from soundness.tasks.worlds import prefix_sum as world

SMALL = Scale(
    networks=(Network(1, 1, 16), Network(1, 2, 32)),
    per_step=(1, 2, 4),
    tested=(2, 4),
    train_steps=4,
    batch=8,
    test_problems=8,
    start_steps=2,
    rl_operators=4,
    rl_steps=2,
    rl_problems=2,
    rl_samples=4,
)


def coins(shares: list[float], count: int, seed: int = 0) -> np.ndarray:
    """Return (lengths, problems) of 0 and 1 with these chances."""
    return (np.random.default_rng(seed).random((len(shares), count)) < np.array(shares)[:, None]).astype(int)


def planted(shares: dict[int, list[float]], *, name: str = "net", seed: int = 0, problems: int = 400) -> dict[str, Any]:
    """Return a network with these accuracies by T, the longest chains first, as `run` would have measured it."""
    grid = {4: [1, 2, 4], 12: [1, 2, 3, 4, 6]}
    curves = [
        {
            "operators": operators,
            "lengths": [operators // count for count in grid[operators]],
            "points": [
                {"right": [int(one) for one in row], "steps": 10, "misread": 1, "miscounted": 2}
                for row in coins(accuracy, problems, seed + operators)
            ],
        }
        for operators, accuracy in shares.items()
    ]
    return {"name": name, "parameters": 1, "curves": curves}


def arm(name: str, before: list[float], after: list[float], forced: list[float]) -> dict[str, Any]:
    per_step = [1, 2, 3, 4, 6]

    def state(mass: list[float]) -> dict[str, Any]:
        length = sum(share * 12 / count for share, count in zip(mass, per_step, strict=True))
        return {"mass": mass, "accuracy": float(np.dot(mass, forced)), "length": length}

    gain = float(np.dot(np.subtract(after, before), forced))
    return {
        "name": name,
        "per_step": per_step,
        "forced": forced,
        "before": state(before),
        "after": state(after),
        "choice_gain": gain,
        "history": [0.5],
    }


PEAKED = [0.5, 0.8, 0.6, 0.4, 0.2]
FALLING = [0.9, 0.8, 0.6, 0.4, 0.2]
LONG, SHORT, BEST = [0.8, 0.05, 0.05, 0.05, 0.05], [0.05, 0.05, 0.05, 0.05, 0.8], [0.05, 0.8, 0.05, 0.05, 0.05]


def found(large: list[float], small: list[float], after: list[float], seed: int = 0) -> dict[str, Any]:
    arms = [
        arm("long start", LONG, after, large),
        arm("short start", SHORT, after, large),
        arm("random reward", LONG, LONG, large),
    ]
    networks = [
        planted({4: [0.8, 0.6, 0.3], 12: small}, name="small", seed=seed),
        planted({4: [0.8, 0.9, 0.3], 12: large}, name="large", seed=seed + 50),
    ]
    return summary(networks, arms)


def states(seeds: list[dict[str, Any]]) -> dict[str, State]:
    return {one.figure: find(one, seeds).state for one in cot_length.PAPER.expectations}


def test_a_planted_inverted_u_is_confirmed_and_a_boundary_is_not() -> None:
    peaked = states([found(PEAKED, FALLING, BEST, seed) for seed in range(3)])
    assert all(peaked[one.figure] is State.CONFIRMED for one in cot_length.PAPER.expectations if one.role != "observation")
    falling = states([found(FALLING, FALLING, BEST, seed) for seed in range(3)])
    assert falling["inverted_u"] is State.REFUTED
    assert falling["peak_with_operators"] is State.CONFIRMED


def test_reinforcement_that_moves_to_worse_lengths_is_refuted() -> None:
    worse = states([found(PEAKED, FALLING, [0.05, 0.05, 0.05, 0.05, 0.8], seed) for seed in range(3)])
    assert worse["rl_choice_gain"] is State.REFUTED
    assert found(PEAKED, FALLING, BEST)["figures"]["rl_shorter_random"] == 0


def test_a_task_that_is_solved_leaves_no_room() -> None:
    solved = states([found([1.0] * 5, [1.0] * 5, BEST, seed) for seed in range(3)])
    assert solved["room"] is State.REFUTED


def test_a_curve_at_chance_has_no_best_length() -> None:
    nothing = summary([planted({4: [0.1] * 3, 12: [0.1] * 5})] * 2, found(PEAKED, PEAKED, BEST)["arms"])
    assert nothing["figures"]["peak_with_capability"] is None
    assert nothing["figures"]["peak_with_operators"] is None
    assert [words.split(" is not known")[0] for words in nothing["skipped"]] == [
        "What capability does to the best length",
        "What the number of operators does to the best length",
    ]
    assert found(PEAKED, PEAKED, BEST)["skipped"] == []
    assert all(curve["best"] is None for curve in nothing["networks"][0]["curves"])


def test_chance_finds_no_inner_peak_where_there_is_none() -> None:
    margins = [interior_margin([coins([0.5] * 6, 60, seed)]) for seed in range(300)]
    assert all(one is not None for one in margins)
    assert np.mean(np.array(margins, dtype=float)) < 0


def test_without_an_inner_length_there_is_no_margin() -> None:
    assert interior_margin([coins([0.5, 0.9], 20)]) is None


def test_the_best_length_lies_in_its_interval_which_narrows_with_problems() -> None:
    lengths = [12, 6, 3]
    few, many = (best_length(lengths, coins([0.5, 0.7, 0.5], count)) for count in (20, 2000))
    assert many["log2"] == pytest.approx(np.log2(6), abs=0.01)
    assert many["high"] - many["low"] < few["high"] - few["low"]
    tie = best_length(lengths, np.ones((3, 10)))
    assert tie["log2"] == pytest.approx(np.mean(np.log2(lengths)))


@pytest.mark.parametrize(("capability", "capacity"), [(8.0, 60.0), (16.0, 200.0), (30.0, 90.0)])
def test_the_theory_is_found_again_and_its_best_length_is_the_top_of_its_curve(capability: float, capacity: float) -> None:
    truth = cot_length.Theory(0.95, capability, capacity, None)
    points = [(t, n, truth.accuracy(t, n)) for t in (4, 6, 8, 12) for n in range(1, t + 1) if t % n == 0 and t / n <= 6]
    fitted = fit_theory(points)
    assert fitted is not None and fitted.explained is not None
    assert fitted.explained > 0.999
    assert fitted.capability == pytest.approx(capability, rel=0.02)
    assert fitted.capacity == pytest.approx(capacity, rel=0.05)
    steps = np.linspace(0.5, 60, 60_000)
    for operators in (8, 12):
        top = steps[np.argmax([truth.accuracy(operators, one) for one in steps])]
        assert best_steps(operators, capability, capacity) == pytest.approx(top, rel=0.01)


def test_no_theory_from_too_few_points() -> None:
    assert fit_theory([(4, 1, 0.2), (4, 2, 0.4)]) is None


def test_labels_begin_at_the_control_token() -> None:
    ids, labels = cot_length._example(random.Random(0), 4, (2,))
    learned = [place for place, label in enumerate(labels) if label != -100]
    assert cot_length.decode(ids)[learned[0]] == "<2>"
    assert cot_length.decode(ids)[learned[0] - 1] == world.BEGIN
    assert cot_length.decode(ids)[learned[-1]] == world.END
    assert learned == list(range(learned[0], len(ids)))


class Script:
    """Stands in for `complete`: writes the same true or spoiled chain for every prefix."""

    def __init__(self, spoil: Any) -> None:
        self.spoil = spoil

    def __call__(self, model: Any, prefixes: Any, *, max_tokens: int, **_: Any) -> list[list[int]]:
        made = []
        for prefix in prefixes:
            tokens = cot_length.decode(prefix)
            begin = tokens.index(world.BEGIN)
            expression = world.parse(tokens[:begin])
            assert expression is not None
            chain = world.chain(expression, int(tokens[-1][1:-1]))[1:-1]
            made.append(cot_length.encode(self.spoil(chain)))
        return made


@pytest.mark.parametrize(
    ("spoil", "right", "misread", "miscounted"),
    [
        (lambda chain: chain, 1.0, 0.0, 0.0),
        (lambda chain: [*chain[:-2], str((int(chain[-2]) + 1) % 10), ";"], 0.0, 0.0, 0.5),
        (lambda chain: [chain[0], *("+", "0", "0", "=", "0", ";"), *chain[7:]], None, None, None),
    ],
)
def test_where_steps_go_wrong(monkeypatch: pytest.MonkeyPatch, spoil: Any, right: Any, misread: Any, miscounted: Any) -> None:
    monkeypatch.setattr("soundness.training.tiny_decoders.complete", Script(spoil))
    expressions = [world.item(place, "wrong", 2, 2) for place in range(40)]
    point = cot_length._forced(None, expressions, 1)
    if right is None:  # the first step is one that nobody asked for
        assert point["misread"] > 35 and point["steps"] < 45
        return
    assert np.mean(point["right"]) == right
    assert point["misread"] / point["steps"] == misread
    assert point["miscounted"] / point["steps"] == miscounted


def test_a_step_that_goes_on_from_a_wrong_value_is_read_and_counted_rightly(monkeypatch: pytest.MonkeyPatch) -> None:
    expressions = [world.item(place, "carried", 4, 4) for place in range(40)]
    made = []
    for one in expressions:
        (first, value), _ = world.steps(one, 2)
        second = world.Expression((value + 1) % 10, one.leaves[2:])
        text = f"; {' '.join(first)} = {(value + 1) % 10} ; {' '.join(world.written(second))} = {world.value(second)} ;"
        made.append(cot_length.encode(text.split()))
    monkeypatch.setattr("soundness.training.tiny_decoders.complete", lambda *_, **__: made)
    point = cot_length._forced(None, expressions, 2)
    assert (point["steps"], point["misread"], point["miscounted"], sum(point["right"])) == (80, 0, 40, 0)


def test_a_chain_that_fills_its_room_has_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    (expression,) = [world.item(0, "room", 1, 1)]
    chain = world.chain(expression, 1)[:-1]
    monkeypatch.setattr("soundness.training.tiny_decoders.complete", lambda *_, **__: [cot_length.encode(chain)])
    for room, paid in ((len(chain), 0.0), (len(chain) + 1, 1.0)):
        assert cot_length._rewards([expression], cot_length._write(None, [[]], room)) == [paid]


def test_reinforcement_raises_what_is_paid_and_not_what_a_coin_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    from soundness.training.tiny_decoders import build_decoder

    scale = dataclasses.replace(SMALL, rl_operators=1, rl_steps=15, rl_problems=8, rl_samples=16, rl_rate=5e-2)

    def share_of_digit(model: Any) -> float:
        expressions = [world.item(place, "reinforce", 1, 1) for place in range(20)]
        return float(np.mean([ids[:1] == [cot_length.IDS["<1>"]] for ids in cot_length._draw(model, expressions, 9)]))

    monkeypatch.setattr(
        cot_length, "_rewards", lambda asked, chains: [float(ids[:1] == [cot_length.IDS["<1>"]]) for ids in chains]
    )
    shares = {}
    for paid in ("answer", "random"):
        model = build_decoder(len(cot_length.IDS), layers=1, heads=1, width=16, positions=64)
        cot_length._reinforce(scale, model, 0, paid, lambda done, total: None)  # type: ignore[arg-type]
        shares[paid] = share_of_digit(model)
    assert shares["answer"] > 0.8 > 0.5 > shares["random"]


def test_what_a_model_is_given_lies_on_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from soundness.training.tiny_decoders import build_decoder

    class Elsewhere:
        """Takes its ids on another device than the CPU, and answers on the CPU."""

        device = torch.device("meta")

        def __call__(self, input_ids: torch.Tensor) -> SimpleNamespace:
            assert input_ids.device == self.device
            return SimpleNamespace(logits=torch.zeros(*input_ids.shape, len(cot_length.IDS)))

    expressions = [world.item(place, "device", 4, 4) for place in range(3)]
    assert cot_length._mass(Elsewhere(), expressions, (1, 4)) == [0.5, 0.5]

    scale = dataclasses.replace(SMALL, rl_steps=1, rl_problems=1, rl_samples=2)
    right = cot_length.encode(world.chain(world.item(0, "rl/0", 4, 4), 1))
    monkeypatch.setattr(cot_length, "_draw", lambda *_, **__: [right, right[:1]])
    model = build_decoder(len(cot_length.IDS), layers=1, heads=1, width=16, positions=64).to("meta")
    before = next(model.parameters())._version
    assert cot_length._reinforce(scale, model, 0, "answer", lambda done, total: None) == [0.5]
    assert next(model.parameters())._version > before  # a step was taken, there


def test_a_run_gives_every_figure_the_same_twice_and_can_be_shown(tmp_path: Path) -> None:
    heard: list[str] = []
    first, second = (cot_length.run(SMALL, 0, tmp_path, lambda what, done, total: heard.append(what)) for _ in range(2))
    assert first == second
    assert set(first["figures"]) == {one.figure for one in cot_length.PAPER.expectations}
    assert {"training 1 layers, width 16", "reinforcing, long start", "reinforcing, random reward"} <= set(heard)
    kept = json.loads(json.dumps(first, allow_nan=False))
    assert [len(table.rows) > 0 for table in cot_length.tables([kept, kept])] == [True] * 5
    assert all(len(row) == len(table.head) for table in cot_length.tables([kept]) for row in table.rows)
    assert set(cot_length.pictures([kept, kept])) == {"curves", "reinforcement"}


def test_every_setting_is_a_size_and_every_scale_holds_together() -> None:
    names = {one.name for one in dataclasses.fields(Scale)}
    assert {name for one in cot_length.PAPER.settings for name in one.name.split(", ")} == names
    for scale in cot_length.SCALES.values():
        assert max(scale.per_step) <= len(world.CONTROLS)
        assert scale.rl_operators in scale.tested
        assert all(len(cot_length._grid(scale, operators)) > 1 for operators in scale.tested)
