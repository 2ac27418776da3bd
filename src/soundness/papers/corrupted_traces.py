"""Does what stands in a trace matter, or only that there is one? Models trained on the traces of other problems (2505.13775).

The world is mazes, the trace the A* search that solves them. From one start, on the same mazes in the same order, models learn
the plan alone, after its own search, after the search of another maze, or after as many tokens that say nothing.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from soundness.papers.base import VEGA_LITE, Arm, Expectation, Paper, Quoted, Setting, Told, make_once
from soundness.report.document import Table
from soundness.tasks.worlds.maze import (
    GENERATORS,
    Cell,
    Event,
    Maze,
    answer_words,
    broken_rule,
    draws,
    is_shortest,
    is_valid_plan,
    query_words,
    read_answer,
    search,
    vocabulary,
)

__all__ = [
    "ARMS",
    "PAPER",
    "SCALES",
    "Lesson",
    "Scale",
    "examples_of",
    "judge",
    "lessons",
    "pictures",
    "run",
    "tables",
    "traces",
]

FILLER = "."
"""The word that says nothing."""

ARMS = ("solution only", "correct", "swapped", "random", "filler")


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run."""

    size: int
    """Rows and columns of the mazes."""
    problems: int
    """Training mazes."""
    num_steps: int
    """Optimiser steps of every arm; a multiple of 32 gives every arm the same mazes to the last one."""
    batch_size: int
    layers: int
    heads: int
    width: int
    learning_rate: float
    test_problems: int
    """Mazes of each kind that are tested, those seen in training left out."""
    architecture: Literal["llama", "gpt2"] = "llama"
    trained_on: tuple[str, ...] = ("wilson",)
    """Kinds of mazes; models of their own are trained on each, and the first one bears the claim."""


SCALES: dict[str, Scale] = {
    "tiny": Scale(
        size=5,
        problems=640,
        num_steps=64,
        batch_size=16,
        layers=2,
        heads=2,
        width=32,
        learning_rate=3e-3,
        test_problems=20,
    ),
    "cpu-small": Scale(
        size=6,
        problems=10_240,  # each seen once
        num_steps=640,
        batch_size=16,
        layers=4,
        heads=4,
        width=64,
        learning_rate=3e-3,
        test_problems=80,
    ),
    "paper": Scale(
        size=30,
        problems=50_000,
        num_steps=96_000,
        batch_size=8,
        layers=24,
        heads=14,
        width=896,
        learning_rate=1e-4,
        test_problems=1_000,
        trained_on=("wilson", "searchformer"),
    ),
}

PAPER = Paper(
    name="corrupted-traces",
    title="Beyond Semantics: The Unreasonable Effectiveness of Reasonless Intermediate Tokens",
    reference="2505.13775 v3",
    claim=(
        "A model trained on search traces that belong to other problems finds plans as well as one trained on correct traces, "
        "although none of its traces is valid."
    ),
    differs=(
        "Traces of random tokens and of filler, as long as the correct ones, are added as controls.",
        "Every seed draws its own mazes and its own permutation; the paper reports one model per arm, without intervals.",
        "Start and goal always differ, and a Searchformer-style maze with short paths alone is drawn anew.",
        "The paper's list of rules for a valid trace is not published; the rules here are those of A*, ties broken either way.",
        "Decoding is greedy. A trace that is longer than all in training is cut there, and the plan asked for.",
        "The margin of 0.05 is ours: the paper calls the arms comparable and names none.",
        "The decoder's vocabulary holds the words of the format alone, input and output embeddings are one matrix.",
    ),
    refuted_if=(
        "correct traces lead to valid plans more often than swapped ones, by more than 0.05, or models trained on swapped traces "
        "write valid ones."
    ),
    arms=(
        Arm("solution only", "the plan, and no trace", control=True),
        Arm("correct", "the maze's own A* trace, then the plan"),
        Arm("swapped", "the trace of another maze of the training set by one fixed permutation, then the plan"),
        Arm("random", "as many words as the own trace has, drawn evenly from those that traces are made of", control=True),
        Arm("filler", "as many dots as the own trace has words", control=True),
    ),
    expectations=(
        Expectation(
            "correct_over_solution_only",
            "correct traces lead to more valid plans than none",
            "fraction",
            0.0,
            0.0,
            role="premise",
        ),
        Expectation(
            "swapped_over_correct",
            "swapped traces lead to valid plans as often as correct ones, less 0.05 at most",
            "fraction",
            -0.05,
            -0.05,
        ),
        Expectation("swapped_invalid", "traces of the swapped arm are invalid", "fraction", 0.95, 0.95),
        Expectation(
            "swapped_over_correct_elsewhere",
            "swapped traces do better than correct ones on kinds of mazes that were not trained on",
            "fraction",
            0.0,
            0.0,
            role="observation",
        ),
        Expectation(
            "correct_valid_given_plan",
            "behind a valid plan of the correct arm stands a valid trace",
            "fraction",
            0.95,
            0.95,
            role="observation",
        ),
        Expectation(
            "filler_over_solution_only",
            "tokens that say nothing lead to more valid plans than none",
            "fraction",
            0.0,
            0.0,
            role="observation",
        ),
    ),
    quoted=(
        Quoted("Plan accuracy, trained and tested on Wilson: correct / swapped", "79.9 % / 83.3 %", "second-hand"),
        Quoted("Plan accuracy, Wilson to drunkard's walk: correct / swapped", "0.0 % / 11.7 %", "second-hand"),
        Quoted("Plan accuracy, Searchformer-style to drunkard's walk: correct / swapped", "62.1 % / 95.4 %", "second-hand"),
        Quoted("Plan accuracy, trained and tested on Searchformer-style: correct / swapped", "56.2 % / 89.1 %", "second-hand"),
        Quoted("Valid traces of the swapped arm", "0 %", "second-hand"),
        Quoted(
            "P(trace valid | plan valid), by length of the trace",
            "93.2 % (to 1,000 tokens) to 51.8 % (4,000 to 4,500)",
            "second-hand",
        ),
        Quoted(
            "GRPO on the correct Searchformer-style model: valid traces before / after",
            "about 89 % / about 52 %",
            "second-hand",
        ),
        Quoted("Figures of versions 1 and 2", "differ much from version 3", "unverified"),
    ),
    settings=(
        Setting("size", "paper: 30 (second-hand); below, what learns within minutes on one core"),
        Setting("problems", "paper: 50,000 (unverified); below, as many as are seen within the steps"),
        Setting("test_problems", "ours"),
        Setting("num_steps, batch_size, learning_rate", "ours at every scale: no training code is published"),
        Setting(
            "layers, heads, width", "paper: those of Qwen2.5-0.5B (second-hand); below, what learns within minutes on one core"
        ),
        Setting(
            "architecture",
            "ours: Llama, which Qwen2.5 resembles, with first weights of 1 / sqrt(width): narrow decoders learn much faster than "
            "with 0.02",
        ),
        Setting("trained_on", "paper: Wilson, and Searchformer-style apart; below paper scale Wilson alone, for time"),
    ),
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training maze with its solution."""

    maze: Maze
    events: tuple[Event, ...]
    plan: tuple[Cell, ...]


def lessons(kind: str, scale: Scale, seed: int) -> list[Lesson]:
    """Return the training mazes of a kind, solved."""
    found = []
    for maze in draws(kind, scale.size, seed=seed, count=scale.problems):
        events, plan = search(maze)
        found.append(Lesson(maze, tuple(events), tuple(plan)))
    return found


def traces(arm: str, taught: Sequence[Lesson], seed: int) -> list[list[str] | None]:
    """Return the words of each lesson's trace as `arm` has them, `reasoning` left out; None where there is no trace."""
    own = [answer_words(one.events, ())[1:-1] for one in taught]
    rng = random.Random(f"corrupted-traces/{arm}/{seed}")
    if arm == "solution only":
        return [None] * len(own)
    if arm == "correct":
        return list(own)
    if arm == "filler":
        return [[FILLER] * len(words) for words in own]
    if arm == "random":
        known = sorted({word for words in own for word in words})
        return [rng.choices(known, k=len(words)) for words in own]
    assert arm == "swapped", arm
    # One cycle through all lessons in random order: no trace stays where it was.
    order = rng.sample(range(len(own)), len(own))
    found: list[list[str] | None] = [None] * len(own)
    for place, source in zip(order, [*order[1:], order[0]], strict=True):
        found[place] = own[source]
    return found


def examples_of(
    taught: Sequence[Lesson], written: Sequence[Sequence[str] | None], ids: Mapping[str, int]
) -> list[tuple[list[int], list[int]]]:
    """Return ids and labels per lesson: the question, on which no loss is taken, the trace and the plan."""
    from soundness.training.data import IGNORED
    from soundness.training.tiny_decoders import END

    found = []
    for one, trace in zip(taught, written, strict=True):
        asked = [ids[word] for word in query_words(one.maze)]
        words = [*([] if trace is None else ("reasoning", *trace)), *answer_words(None, one.plan), END]
        learned = [ids[word] for word in words]
        found.append(([*asked, *learned], [IGNORED] * len(asked) + learned))
    return found


def run(scale: Scale, seed: int, out: Path, told: Told) -> dict[str, Any]:
    """Return what the models of one seed came to: per kind trained on, arm and kind tested, as plain JSON, with figures."""
    trained: dict[str, dict[str, Any]] = {}
    total = len(scale.trained_on) * len(ARMS)
    for kind in scale.trained_on:
        taught = lessons(kind, scale, seed)
        trained[kind] = {}
        for arm in ARMS:
            told(f"{arm}, trained on {kind}", sum(map(len, trained.values())), total)
            folder = out / kind / arm.replace(" ", "-")
            # Written last: what a killed run had finished is not made again.
            trained[kind][arm] = make_once(folder / "found.json", partial(_run_arm, arm, taught, scale, seed, folder))
    told("arms", total, total)
    figures = _figures(trained[scale.trained_on[0]], scale.trained_on[0])
    skipped = [
        f"{name} has no value: no plan of the correct arm was valid." for name, value in figures.items() if value is None
    ]
    return {"figures": figures, "trained": trained, "skipped": skipped}


def _run_arm(arm: str, taught: Sequence[Lesson], scale: Scale, seed: int, folder: Path) -> dict[str, Any]:
    """Return one arm's training in numbers, and what its model, saved in `folder`, came to on each kind of maze."""
    from soundness.training.tiny_decoders import build_decoder, train_ids, word_tokenizer

    tokenizer = word_tokenizer([*vocabulary(scale.size), FILLER])
    ids = tokenizer.get_vocab()
    examples = examples_of(taught, traces(arm, taught, seed), ids)
    longest = max(5 * len(one.events) for one in taught)
    model = build_decoder(
        len(ids),
        layers=scale.layers,
        heads=scale.heads,
        width=scale.width,
        positions=longest + 6 * scale.size**2 + 16,  # question and plan hold three words per cell at most
        architecture=scale.architecture,
        spread=scale.width**-0.5,
        seed=seed,
    )
    losses = train_ids(
        model,
        examples,
        num_steps=scale.num_steps,
        batch_size=scale.batch_size,
        learning_rate=scale.learning_rate,
        seed=seed,
        out=folder,
        tokenizer=tokenizer,
    )
    asked = _tests(scale, seed, {one.maze for one in taught})
    answers = _answer(model, ids, [maze for mazes in asked.values() for maze in mazes], longest)
    traced = arm in ("correct", "swapped")
    tested = {other: judge(mazes, [answers[maze] for maze in mazes], traced=traced) for other, mazes in asked.items()}
    tail = losses[-max(len(losses) // 20, 1) :]
    return {
        "parameters": model.num_parameters(),
        "loss": sum(tail) / len(tail),
        "tokens": round(sum(len(one) for one, _ in examples) / len(examples) * scale.num_steps * scale.batch_size),
        "tested": tested,
    }


def _tests(scale: Scale, seed: int, seen: Set[Maze]) -> dict[str, list[Maze]]:
    """Return kind -> mazes to test, all different and none of them in `seen`: small grids repeat themselves."""
    found = {}
    for kind in GENERATORS:
        drawn = draws(kind, scale.size, seed=seed + 1_000_000, count=4 * scale.test_problems)
        found[kind] = list(dict.fromkeys(maze for maze in drawn if maze not in seen))[: scale.test_problems]
    return found


def _answer(model: Any, ids: Mapping[str, int], mazes: Sequence[Maze], longest: int) -> dict[Maze, tuple[list[str], bool]]:
    """Return the words that `model` writes about each maze, and whether its trace had to be cut at `longest` words."""
    from soundness.training.tiny_decoders import END, complete

    word_of = {place: word for word, place in ids.items()}
    solution, end = ids["solution"], ids[END]
    asked = [[ids[word] for word in query_words(maze)] for maze in mazes]
    # The first word of a trace is `reasoning`.
    begun = complete(model, asked, max_tokens=longest + 1, stops=(solution, end))
    asked_again = [[*question, *trace, solution] for question, trace in zip(asked, begun, strict=True)]
    plans = complete(model, asked_again, max_tokens=3 * max(maze.rows * maze.cols for maze in mazes), stops=(end,))
    return {
        maze: ([word_of[token] for token in (*trace, solution, *plan)], len(trace) > longest)
        for maze, trace, plan in zip(mazes, begun, plans, strict=True)
    }


def judge(mazes: Sequence[Maze], answers: Sequence[tuple[Sequence[str], bool]], *, traced: bool) -> dict[str, Any]:
    """Return how many answers have a valid plan, a shortest one, a valid trace, and a valid trace behind a valid plan, in fractions.

    Answers are words and whether their trace was cut. Where traces are not meant to be searches (`traced`), nothing is said of
    their validity.

    >>> maze = Maze(1, 2, frozenset(), Cell(0, 0), Cell(1, 0))
    >>> judge([maze], [("solution plan 0 0 plan 1 0".split(), False)], traced=False)["plan_valid"]
    1.0
    """
    read = [read_answer(words) for words, _ in answers]
    plans = [is_valid_plan(maze, one.plan) for maze, one in zip(mazes, read, strict=True)]
    shortest = [is_shortest(maze, one.plan) for maze, one in zip(mazes, read, strict=True)]
    rules = [broken_rule(maze, one.events) for maze, one in zip(mazes, read, strict=True)]
    behind = [rule is None for rule, plan in zip(rules, plans, strict=True) if plan]
    broken: dict[str, int] = {}
    for rule in rules:
        if rule is not None:
            broken[rule] = broken.get(rule, 0) + 1
    return {
        "n": len(mazes),
        "plan_valid": _share(plans),
        "plan_shortest": _share(shortest),
        "trace_valid": _share([rule is None for rule in rules]) if traced else None,
        "trace_valid_given_plan": _share(behind) if traced else None,
        "trace_cut": _share([cut for _, cut in answers]),
        "broken_rules": broken if traced else {},
    }


def _share(marks: Sequence[bool]) -> float | None:
    return sum(marks) / len(marks) if marks else None


def _figures(arms: Mapping[str, Any], kind: str) -> dict[str, float | None]:
    """Return the figures of the models trained on `kind`."""

    def plans(arm: str, where: Sequence[str]) -> float:
        return float(sum(arms[arm]["tested"][one]["plan_valid"] for one in where) / len(where))

    elsewhere = [other for other in GENERATORS if other != kind]
    inside = [kind]
    return {
        **{f"{arm.replace(' ', '_')}_plans": plans(arm, inside) for arm in ARMS},
        "correct_over_solution_only": plans("correct", inside) - plans("solution only", inside),
        "swapped_over_correct": plans("swapped", inside) - plans("correct", inside),
        "swapped_invalid": 1 - arms["swapped"]["tested"][kind]["trace_valid"],
        "swapped_over_correct_elsewhere": plans("swapped", elsewhere) - plans("correct", elsewhere),
        "correct_valid_given_plan": arms["correct"]["tested"][kind]["trace_valid_given_plan"],
        "filler_over_solution_only": plans("filler", inside) - plans("solution only", inside),
    }


# --- what is shown ----------------------------------------------------------------------------------------------------


def _mean(seeds: Sequence[Mapping[str, Any]], trained: str, arm: str, tested: str, figure: str) -> str:
    """Return the mean of a figure over the seeds that have it, with the lowest and the highest, as text."""
    found = [seed["trained"][trained][arm]["tested"][tested][figure] for seed in seeds]
    known = [value for value in found if value is not None]
    if not known:
        return "-"
    middle = f"{sum(known) / len(known):.2f}"
    return middle if len(known) < 2 else f"{middle} ({min(known):.2f} to {max(known):.2f})"


def tables(seeds: Sequence[Mapping[str, Any]]) -> Sequence[Table]:
    """Return plans by arm and kind of maze, traces by arm, and what was trained; means over seeds, with lowest and highest."""
    found = []
    for kind in seeds[0]["trained"]:
        kinds = sorted(GENERATORS, key=lambda other: other != kind)  # noqa: B023
        found.append(
            Table(
                f"Trained on {kind}: valid plans, as a fraction, by the kind of maze tested",
                ("arm", *kinds),
                tuple((arm, *(_mean(seeds, kind, arm, other, "plan_valid") for other in kinds)) for arm in ARMS),
            )
        )
        found.append(
            Table(
                f"Trained and tested on {kind}: plans and traces, as fractions",
                ("arm", "valid plan", "shortest plan", "valid trace", "valid trace, given a valid plan", "trace cut"),
                tuple(
                    (
                        arm,
                        *(
                            _mean(seeds, kind, arm, kind, figure)
                            for figure in ("plan_valid", "plan_shortest", "trace_valid", "trace_valid_given_plan", "trace_cut")
                        ),
                    )
                    for arm in ARMS
                ),
            )
        )
        found.append(
            Table(
                f"Trained on {kind}: what was trained (first seed)",
                ("arm", "parameters", "tokens in training", "loss at the end, nats per learned token"),
                tuple(
                    (arm, f"{one['parameters']:,}", f"{one['tokens']:,}", f"{one['loss']:.3f}")
                    for arm, one in seeds[0]["trained"][kind].items()
                ),
            )
        )
    return found


def pictures(seeds: Sequence[Mapping[str, Any]]) -> Mapping[str, dict[str, Any]]:
    """Return, per kind trained on, the share of valid plans by arm, a panel per kind of maze, a point per seed."""
    return {f"plans-{kind}": _picture(seeds, kind) for kind in seeds[0]["trained"]}


def _picture(seeds: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    rows = [
        {"arm": arm, "tested": tested, "plans": found["plan_valid"], "seed": number}
        for number, seed in enumerate(seeds)
        for arm, one in seed["trained"][kind].items()
        for tested, found in one["tested"].items()
    ]
    plans = {"field": "plans", "type": "quantitative", "scale": {"domain": [0, 1]}, "title": "valid plans"}
    arms = {"field": "arm", "type": "nominal", "sort": list(ARMS), "title": None}
    return {
        "$schema": VEGA_LITE,
        "data": {"values": rows},
        "facet": {
            "field": "tested",
            "type": "nominal",
            "title": f"trained on {kind}, tested on",
            "sort": sorted(GENERATORS, key=lambda other: other != kind),
        },
        "spec": {
            "width": 120,
            "height": 200,
            "layer": [
                {"mark": {"type": "bar", "opacity": 0.4}, "encoding": {"x": arms, "y": {**plans, "aggregate": "mean"}}},
                {"mark": {"type": "point", "filled": True, "size": 24}, "encoding": {"x": arms, "y": plans}},
            ],
        },
    }
