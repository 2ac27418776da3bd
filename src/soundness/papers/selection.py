"""Does reinforcement learning teach, or does it choose among what the base could do? pass@k of both up to k = 256 (2504.13837).

The world is modular sums whose products the base knows in part and guesses otherwise. An answer is one digit, so that in 256
samples luck finds every one; a sample has therefore passed only where each written step is the true one (the *chain* grade).
What the answer alone would say is shown beside it.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundness.papers.base import VEGA_LITE, Arm, Expectation, Paper, Quoted, Setting, Told, make_once
from soundness.records import Outcome, Problem
from soundness.report.document import Table
from soundness.tasks.base import Task
from soundness.tasks.worlds import tagged_sum

if TYPE_CHECKING:
    from soundness.models.base import Model

__all__ = [
    "PAPER",
    "SCALES",
    "Scale",
    "crossing_of",
    "draw_task",
    "figures",
    "pictures",
    "run",
    "sample",
    "tables",
    "validated",
]


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run."""

    model: str = "organism:base"
    """The base."""
    instruction: str = ""
    """Last line of every question."""
    operations: int = 4
    products: int = 3
    """How many of the operations are products; the base knows seven products in ten."""
    train_problems: int = 1000
    test_problems: int = 40
    num_samples: int = 256
    """Samples per problem, and so the largest k."""
    max_tokens: int = 48
    temperature: float = 0.6
    top_p: float = 0.95
    other_temperatures: tuple[float, ...] = (0.3, 1.0)
    """Further temperatures at which the base is drawn."""
    rl_steps: int = 210
    rl_batch: int = 128
    """Completions per step."""
    rl_generations: int = 8
    """Completions per problem and step."""
    rl_rate: float = 3e-4
    checkpoints: int = 2
    """Copies of the reinforced model that are sampled, evenly spaced, the last one included."""
    sft_steps: int = 200
    sft_batch: int = 32
    sft_rate: float = 1e-3


SCALES: dict[str, Scale] = {
    "tiny": Scale(test_problems=16, num_samples=64, rl_steps=40, rl_batch=64, checkpoints=1, sft_steps=60),
    "cpu-small": Scale(),
    "paper": Scale(
        model="Qwen/Qwen2.5-7B",
        instruction="Work from left to right modulo 10, one equation a line, then write 'Answer: ' and the digit.",
        train_problems=8000,
        test_problems=500,
        max_tokens=8192,
        rl_steps=450,
        rl_batch=1024,
        rl_rate=1e-6,
        sft_steps=450,
        sft_batch=128,
        sft_rate=1e-5,
    ),
}

PAPER = Paper(
    name="selection",
    title="Does reinforcement learning widen what a model can solve?",
    reference="2504.13837 v2",
    claim=(
        "Reinforcement learning from verifiable answers raises pass@1, yet at large k the base solves more problems than the model "
        "trained from it; distillation raises the whole curve."
    ),
    differs=(
        "The world is modular sums with written steps at every scale, so that a chain can be validated and luck told apart.",
        "A sample passes where every written step is the true one and the answer is right; the paper grades answers, and looks at "
        "chains by hand.",
        "GRPO in its textbook form, every weight tuned; the paper's main runs use VeRL's GRPO without a divergence term, as here.",
        "Distillation is supervised fine-tuning on the world's true steps, not on another model's.",
    ),
    refuted_if=(
        "the last reinforced model covers more problems than the base at the largest k, beyond the interval over seeds, or training "
        "on true steps covers fewer than the base."
    ),
    arms=(
        Arm("base", "the untrained model at the paper's temperature"),
        Arm("rlvr", "trained from the base with GRPO on right answers; several checkpoints"),
        Arm("sft", "trained from the base on true steps: distillation"),
        Arm("base, other temperatures", "whether a temperature alone does what training did", control=True),
        Arm("answer alone", "every model graded by its digit: what luck adds at large k", control=True),
    ),
    expectations=(
        Expectation(
            "pass_1_gained_rlvr", "the reinforced model's pass@1 lies above the base's", "fraction", 0.05, 0.0, "premise"
        ),
        Expectation(
            "pass_k_lost_rlvr", "at the largest k the base covers more than the reinforced model", "fraction", 0.0, 0.0
        ),
        Expectation(
            "pass_k_gained_sft", "at the largest k the model taught true steps covers more than the base", "fraction", 0.0, 0.0
        ),
        Expectation(
            "crossed_rlvr",
            "share of resamples of the problems in which the curves cross",
            "fraction",
            0.95,
            0.05,
            "observation",
        ),
        Expectation(
            "pass_1_over_temperature",
            "the reinforced model's pass@1 lies above the base's at its best temperature",
            "fraction",
            0.0,
            0.0,
            "observation",
        ),
        Expectation(
            "only_rlvr", "share of problems that the reinforced model alone reaches", "fraction", 0.0, 0.0, "observation"
        ),
        Expectation("only_base", "share of problems that the base alone reaches", "fraction", 0.0, 0.0, "observation"),
        Expectation(
            "luck", "at the largest k the base's answers pass more often than its chains", "fraction", 0.0, 0.0, "observation"
        ),
    ),
    quoted=(
        Quoted("Qwen2.5-7B, Omni-MATH train, pass@1 / pass@256, base", "9.9 / 67.2", "paper"),
        Quoted("the same after 150 and 450 steps of GRPO", "26.1 / 66.3 and 42.5 / 64.3", "paper"),
        Quoted("Omni-MATH test, base and 450 steps", "10.2 / 69.1 and 28.3 / 63.9", "paper"),
        Quoted("MATH500, base and 450 steps", "34.5 / 96.2 and 76.3 / 95.4", "paper"),
        Quoted("MATH500 pass@256 after 150 steps, above the base", "97.2", "paper"),
    ),
    settings=(
        Setting("model", "paper: Qwen2.5-7B; ours: a tiny model that knows part of the products"),
        Setting("instruction", "ours: the tiny model needs none"),
        Setting("operations, products", "ours: leaves the base room at k = 256 on validated chains"),
        Setting("train_problems, test_problems", "ours: different questions, drawn anew with each seed"),
        Setting("num_samples", "paper: k to 256; n >= k for the unbiased estimate"),
        Setting("max_tokens", "paper: 8192; ours: more than the longest true chain"),
        Setting("temperature, top_p", "paper: 0.6, 0.95"),
        Setting("other_temperatures", "ours: the control"),
        Setting("rl_batch, rl_generations", "paper: 128 prompts of 8 completions"),
        Setting("rl_steps, checkpoints", "paper: 450, measured from 150 on; ours: evenly spaced"),
        Setting("rl_rate", "ours: tiny models need larger rates"),
        Setting("sft_steps, sft_batch, sft_rate", "ours: until the true steps are learnt"),
    ),
)

_EQUATION = re.compile(r"\d+\s*[-+*]\s*\d+\s*=\s*-?\d+")
_BATCH = 512
_RESAMPLES = 999
_TEST = "selection/test"


def run(scale: Scale, seed: int, out: Path, told: Told) -> dict[str, Any]:
    """Return how many samples of each problem each model had right, by answer and by chain, and the figures made of them."""
    from soundness.models.load import load_model
    from soundness.training.results import checkpoints, read_record

    test = draw_task(f"{_TEST}/{seed}", scale.test_problems, scale)
    lessons = draw_task(f"selection/train/{seed}", scale.train_problems, scale, apart={one.question for one in test.problems})
    trained = _train(scale, lessons, seed, out, told)
    wanted = [("base", scale.model, scale.temperature)]
    wanted += [(f"base at temperature {one:g}", scale.model, one) for one in scale.other_temperatures]
    *kept, _ = checkpoints(trained["rlvr"]).items()
    wanted += [(f"rlvr after {step} steps", str(folder), scale.temperature) for step, folder in kept]
    wanted += [(name, str(trained[name]), scale.temperature) for name in ("rlvr", "sft")]
    models: dict[str, Any] = {}
    for place, (name, spec, temperature) in enumerate(wanted):
        told(f"sampling {name}", place, len(wanted))

        def made(name: str = name, spec: str = spec, temperature: float = temperature) -> dict[str, Any]:
            right = sample(load_model(spec), test, scale, temperature=temperature, seed=f"{seed}/{name}", told=told)
            return {"temperature": temperature, **right}

        models[name] = make_once(out / f"samples {name}.json", made)
    record = read_record(trained["rlvr"])
    return {
        "num_samples": scale.num_samples,
        "models": models,
        "rewards": [round(entry["reward"], 4) for entry in record["history"] if "reward" in entry],
        "figures": figures(models, scale.num_samples, seed),
        "skipped": [],
    }


def draw_task(name: str, num: int, scale: Scale, *, apart: set[str] | None = None) -> Task:
    """Return `num` sums with different questions, none of them in `apart`; they depend on `name` and the scale's world alone."""
    rng = random.Random(name)
    problems: dict[str, Problem] = {}
    while len(problems) < num:
        drawn = _draw(rng, scale)
        asked = tagged_sum.question(drawn, None)
        if asked not in (apart or set()):
            true, answer = tuple(tagged_sum.steps(drawn)), str(tagged_sum.values(drawn)[-1])
            problems[asked] = Problem(f"{name}/{asked}", asked, answer, steps=true, facts=true)
    return Task("sums with products", tuple(problems.values()), instruction=scale.instruction, cue=tagged_sum.CUE)


def _draw(rng: random.Random, scale: Scale) -> tagged_sum.Sum:
    """Return a sum in which no value before the last equals the last, so that a chain cut short is never right by accident."""
    while True:
        products = rng.sample(range(scale.operations), scale.products)
        operations = tuple(
            ("*", rng.choice(tagged_sum.MULTIPLIERS)) if place in products else (rng.choice("+-"), rng.randrange(1, 10))
            for place in range(scale.operations)
        )
        drawn = tagged_sum.Sum(rng.randrange(10), operations)
        running = tagged_sum.values(drawn)
        if running[-1] not in running[:-1]:
            return drawn


def _train(scale: Scale, lessons: Task, seed: int, out: Path, told: Told) -> dict[str, Path]:
    """Return the folders of the two trained models; one that is there is not trained again."""
    from soundness.training.methods import train_once
    from soundness.training.settings import Settings

    common = Settings(adaptation="full", seed=seed, max_length=None, epochs=1_000.0)
    policy = {"num_generations": scale.rl_generations, "max_tokens": scale.max_tokens}
    methods: dict[str, tuple[str, dict[str, Any], Settings]] = {
        "rlvr": (
            "rlvr",
            {"policy": policy},
            replace(
                common,
                max_steps=scale.rl_steps,
                batch_size=scale.rl_batch,
                learning_rate=scale.rl_rate,
                keep_every=max(scale.rl_steps // scale.checkpoints, 1),
            ),
        ),
        "sft": (
            "sft",
            {"target": "rationale"},
            replace(common, max_steps=scale.sft_steps, batch_size=scale.sft_batch, learning_rate=scale.sft_rate),
        ),
    }
    return {
        name: train_once(
            method,
            scale.model,
            lessons,
            out=out / name,
            config=config,
            settings=settings,
            on_step=lambda step, name=name: told(f"training {name}", step.step, step.num_steps),  # type: ignore[misc]
        )
        for name, (method, config, settings) in methods.items()
    }


def validated(text: str, problem: Problem) -> bool:
    r"""Return whether the equations written in `text` are the problem's true steps, all of them and in order.

    >>> problem = Problem("1", "3+4*7", "9", steps=("3+4=7", "7*7=9"))
    >>> validated("3+4=7\n7*7=9\nAnswer: 9", problem), validated("3+4=5\n5*7=9\nAnswer: 9", problem)
    (True, False)
    """
    return tuple("".join(found.split()) for found in _EQUATION.findall(text)) == problem.steps


def sample(
    model: Model, task: Task, scale: Scale, *, temperature: float, seed: str, told: Told | None = None
) -> dict[str, list[int]]:
    """Return how many of `scale.num_samples` samples of each problem were right: by `answer`, and by `chain` (true steps too)."""
    from soundness.answers import grade

    asked = [(problem, number) for problem in task.problems for number in range(scale.num_samples)]
    written: dict[str, Counter[tuple[str, Any]]] = {problem.id: Counter() for problem in task.problems}
    for start in range(0, len(asked), _BATCH):
        batch = asked[start : start + _BATCH]
        made = model.generate(
            [task.prompt(model, problem).ids for problem, _ in batch],
            max_tokens=scale.max_tokens,
            temperature=temperature,
            top_p=scale.top_p,
            keys=[f"{seed}/{problem.id}/{number}" for problem, number in batch],
        )
        for (problem, _), one in zip(batch, made, strict=True):
            written[problem.id][model.decode(one.ids), one.finish] += 1
        if told is not None:
            told("samples", min(start + _BATCH, len(asked)), len(asked))
    counts: dict[str, list[int]] = {"answer": [], "chain": []}
    for problem in task.problems:
        texts = written[problem.id]
        right = [text for text in texts if grade(*text, problem).outcome is Outcome.RIGHT]
        counts["answer"].append(sum(texts[text] for text in right))
        counts["chain"].append(sum(texts[text] for text in right if validated(text[0], problem)))
    return counts


# --- what it comes to -------------------------------------------------------------------------------------------------


@cache
def _curve(n: int, right: int) -> tuple[float, ...]:
    """Return pass@1 to pass@n of a problem with `right` of n samples right."""
    from soundness.metrics.coverage import pass_at_k

    return tuple(value for k in range(1, n + 1) if (value := pass_at_k(n, right, k)) is not None)


def _mean(n: int, counts: Sequence[int]) -> list[float]:
    """Return the mean over problems of pass@1 to pass@n."""
    return [math.fsum(values) / len(counts) for values in zip(*(_curve(n, right) for right in counts), strict=True)]


def crossing_of(base: Sequence[int], tuned: Sequence[int], n: int, seed: int) -> dict[str, float | None]:
    """Return the k at which two curves over the same problems change places, its 95 % interval and how often they do.

    `base` and `tuned` count the right ones of n samples, problem by problem. `low` and `high` are None unless the curves cross in
    every resample of the problems; `crossed` is the share in which they do.

    >>> crossing_of([1, 1], [4, 0], 4, 0)["k"]
    2.0
    """
    import numpy as np

    from soundness.metrics.coverage import crossing
    from soundness.statistics.totals import interval

    rng = np.random.default_rng(seed)
    one, two = (np.array([_curve(n, right) for right in counts]) for counts in (base, tuned))
    weights = rng.multinomial(len(base), np.full(len(base), 1 / len(base)), size=_RESAMPLES) / len(base)
    places = [crossing(a, b) for a, b in zip((weights @ one).tolist(), (weights @ two).tolist(), strict=True)]
    known = [place for place in places if place is not None]
    ends = interval(np.array(known)) if len(known) == len(places) else None
    low, high = ends if ends is not None else (None, None)
    return {"k": crossing(_mean(n, base), _mean(n, tuned)), "low": low, "high": high, "crossed": len(known) / len(places)}


def figures(models: Mapping[str, Mapping[str, Any]], n: int, seed: int) -> dict[str, float | None]:
    """Return the figures of one seed from the counts of right samples."""
    mean = {name: _mean(n, one["chain"]) for name, one in models.items()}
    base, rlvr, sft = mean["base"], mean["rlvr"], mean["sft"]
    counts = [models[name]["chain"] for name in ("base", "rlvr")]
    num = len(counts[0])
    return {
        "pass_1_gained_rlvr": rlvr[0] - base[0],
        "pass_k_lost_rlvr": base[-1] - rlvr[-1],
        "pass_k_gained_sft": sft[-1] - base[-1],
        "crossed_rlvr": crossing_of(counts[0], counts[1], n, seed)["crossed"],
        "pass_1_over_temperature": rlvr[0] - max(curve[0] for name, curve in mean.items() if name.startswith("base")),
        "only_rlvr": sum(not a and b > 0 for a, b in zip(*counts, strict=True)) / num,
        "only_base": sum(a > 0 and not b for a, b in zip(*counts, strict=True)) / num,
        "luck": _mean(n, models["base"]["answer"])[-1] - base[-1],
    }


def _places(n: int) -> list[int]:
    """Return 1, 2, 4, ... up to n."""
    return [2**power for power in range(n.bit_length()) if 2**power <= n]


def tables(seeds: Sequence[Mapping[str, Any]]) -> list[Table]:
    """Return pass@k by chain and by answer, where curves cross, and coverage problem by problem."""
    n = seeds[0]["num_samples"]
    shown = [k for k in (1, 4, 16, 64, 256) if k <= n]
    names = list(seeds[0]["models"])
    passed = [
        Table(
            f"pass@k by {grade}, mean over problems and seeds",
            ("model", "temperature", *(f"k = {k}" for k in shown)),
            tuple(
                (
                    name,
                    f"{seeds[0]['models'][name]['temperature']:g}",
                    *(f"{_over(seeds, name, grade)[k - 1]:.3f}" for k in shown),
                )
                for name in names
            ),
        )
        for grade in ("chain", "answer")
    ]
    crossings, coverage = [], []
    for place, seed in enumerate(seeds):
        base = seed["models"]["base"]["chain"]
        for name in names[1:]:
            counts = seed["models"][name]["chain"]
            found = crossing_of(base, counts, n, place)
            ends = "-" if found["low"] is None else f"[{found['low']:.1f}, {found['high']:.1f}]"
            crossings.append(
                (str(place), name, "never" if found["k"] is None else f"{found['k']:.1f}", ends, f"{found['crossed']:.2f}")
            )
            pairs = Counter((a > 0, b > 0) for a, b in zip(base, counts, strict=True))
            coverage.append(
                (str(place), name, *(str(pairs[key]) for key in ((True, True), (True, False), (False, True), (False, False))))
            )
    return [
        *passed,
        Table(
            "Where a curve crosses the base's (by chain)",
            ("seed", "model", "k", "95 % over problems", "crossed in"),
            tuple(crossings),
        ),
        Table(
            "Problems reached (by chain)",
            ("seed", "model", "by both", "by the base alone", "by it alone", "by neither"),
            tuple(coverage),
        ),
    ]


def _over(seeds: Sequence[Mapping[str, Any]], name: str, grade: str) -> list[float]:
    """Return the mean over seeds of one model's pass@1 to pass@n."""
    curves = [_mean(seed["num_samples"], seed["models"][name][grade]) for seed in seeds]
    return [math.fsum(values) / len(curves) for values in zip(*curves, strict=True)]


def pictures(seeds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return pass@k by chain and by answer, and how often each problem is solved before and after."""
    names = [name for name in seeds[0]["models"] if "temperature" not in name]
    rows = [
        {"model": name, "grade": grade, "k": k, "pass": round(_over(seeds, name, grade)[k - 1], 4)}
        for name in names
        for grade in ("chain", "answer")
        for k in _places(seeds[0]["num_samples"])
    ]
    problems = [
        {"model": name, "base": a / seed["num_samples"], "tuned": b / seed["num_samples"]}
        for seed in seeds
        for name in ("rlvr", "sft")
        for a, b in zip(seed["models"]["base"]["chain"], seed["models"][name]["chain"], strict=True)
    ]
    share = {"type": "quantitative", "scale": {"domain": [0, 1]}}
    return {
        "pass-at-k": {
            "$schema": VEGA_LITE,
            "data": {"values": rows},
            "facet": {"column": {"field": "grade", "title": None, "sort": ["chain", "answer"]}},
            "spec": {
                "width": 280,
                "height": 220,
                "mark": {"type": "line", "point": True},
                "encoding": {
                    "x": {"field": "k", "type": "quantitative", "scale": {"type": "log", "base": 2}},
                    "y": {"field": "pass", "title": "pass@k", **share},
                    "color": {"field": "model", "type": "nominal", "sort": names, "title": None},
                },
            },
        },
        "problems": {
            "$schema": VEGA_LITE,
            "data": {"values": problems},
            "facet": {"column": {"field": "model", "title": None}},
            "spec": {
                "width": 280,
                "height": 220,
                "mark": {"type": "point", "opacity": 0.5},
                "encoding": {
                    "x": {"field": "base", "title": "share of the base's chains that are true", **share},
                    "y": {"field": "tuned", "title": "share of the tuned model's", **share},
                },
            },
        },
    }
