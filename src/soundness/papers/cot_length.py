"""Is there a best length of reasoning, and does reinforcement learning find it? Accuracy against the number of steps (2502.07266).

The world is addition modulo 10 in prefix notation. A control token chooses how many operators t a step takes, and with it the number
of steps N = T / t: few hard steps or many easy ones. At every curve's ends stand the longest and the shortest chain that was tested;
a best length at one of the ends is no inverted U.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from soundness.papers.base import VEGA_LITE, Arm, Expectation, Paper, Quoted, Setting, Told
from soundness.report.document import Table
from soundness.statistics.seeds import mean_known
from soundness.tasks.worlds import prefix_sum as world

__all__ = [
    "PAPER",
    "SCALES",
    "Network",
    "Scale",
    "Theory",
    "advantages",
    "best_length",
    "best_steps",
    "fit_theory",
    "interior_margin",
    "pictures",
    "run",
    "slope",
    "tables",
]

IDS = {token: place for place, token in enumerate(world.VOCABULARY)}
LUCK = 0.1
"""Accuracy of a random digit."""
LEARNED = 0.3
"""Accuracy that the best length of a curve must reach for there to be a best length: below, luck chooses."""


@dataclass(frozen=True, slots=True)
class Network:
    """One decoder: its shape, and how long it is trained."""

    layers: int
    heads: int
    width: int
    trained: float = 1.0
    """Share of the scale's training steps, over which its own schedule runs."""

    @property
    def name(self) -> str:
        """What a reader sees."""
        shape = f"{self.layers} layers, width {self.width}"
        return shape if self.trained == 1 else f"{shape}, {self.trained:.0%} of the training"


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of one run."""

    networks: tuple[Network, ...]
    """From the least to the most capable."""
    architecture: Literal["llama", "gpt2"] = "llama"
    per_step: tuple[int, ...] = (1, 2, 3, 4, 6)
    """Operators per step in training."""
    fewest: int = 1
    """Operators of the smallest expressions in training."""
    tested: tuple[int, ...] = (4, 6, 8, 12)
    """Operators of the expressions in the test; the largest is also the largest in training."""
    train_steps: int = 2000
    batch: int = 32
    learning_rate: float = 2e-3
    final_rate: float = 0.1
    growth: float = 0.4
    """Share of training over which the expressions grow to full size; 0 for full size from the start."""
    test_problems: int = 200
    """Per number of operators."""
    start_steps: int = 60
    """Optimiser steps that teach a preference for the longest or the shortest chains before reinforcement."""
    start_share: float = 0.7
    """Share of the preferred length among them."""
    rl_operators: int = 12
    rl_steps: int = 80
    rl_problems: int = 16
    """Per step."""
    rl_samples: int = 8
    """Chains per problem and step."""
    rl_rate: float = 5e-5


SCALES: dict[str, Scale] = {
    "tiny": Scale(
        networks=(Network(2, 2, 96, trained=0.6), Network(2, 2, 96)),
        per_step=(1, 2, 4),
        tested=(2, 4),
        train_steps=800,
        test_problems=100,
        start_steps=30,
        rl_operators=4,
        rl_steps=30,
    ),
    "cpu-small": Scale(
        networks=(Network(2, 2, 128, trained=0.4), Network(2, 2, 128)),
        per_step=(1, 2, 3, 4),
        tested=(4, 6, 8),
        train_steps=2500,
        rl_operators=8,
    ),
    "paper": Scale(
        networks=tuple(Network(size, size, 64 * size) for size in (4, 5, 6, 7, 8, 9)),
        architecture="gpt2",
        per_step=tuple(range(1, 13)),
        fewest=12,
        tested=(16, 24, 32, 48, 64, 80),
        train_steps=25_000,
        batch=256,
        learning_rate=1e-4,
        growth=0.0,
        test_problems=100,
        start_steps=500,
        rl_operators=48,
        rl_steps=500,
        rl_problems=64,
        rl_rate=1e-5,
    ),
}

PAPER = Paper(
    name="cot-length",
    title="When More is Less: Understanding Chain-of-Thought Length in LLMs",
    reference="2502.07266",
    claim=(
        "Accuracy is an inverted U of the number of reasoning steps; the best number rises with the task's size and falls with the "
        "model's capability, and reinforcement learning moves a model towards it."
    ),
    differs=(
        "The space between symbols is no token, and the vocabulary has 28 tokens instead of 31: half the length, nothing lost.",
        "Examples are fresh at every step; the authors draw 18,000 per t and repeat them.",
        "Below the paper's scale the decoder is a Llama and the expressions grow during training. In trials of minutes (one seed, "
        "two layers, width 128, up to 3 operators) a GPT-2 solved 29 % of single additions where the Llama solved all.",
        "No dropout. In the authors' code the model keeps GPT-2's 0.1, because the setting that should turn it off is ignored.",
        "Below the paper's scale capability is length of training at one size, so what is found there says nothing of model size; "
        "the authors change layers, heads and width together.",
        "The sizes of cpu-small were chosen after two trials of one seed each with up to 12 operators and up to 6 a step: in one "
        "(1,600 steps) an inner length was best, in the other (2,000 steps) no length was right on more than .16 of the largest "
        "expressions, so that nothing could be compared.",
        "The authors publish no code of their reinforcement learning. Here it is a group-relative policy gradient on the answer "
        "alone, one update per batch, advantages not scaled by the group's spread and the loss summed over a chain's tokens: the "
        "mean per chain would itself push towards a length.",
        "Curves hold only the t that divide T, so that all steps of a chain are equally large.",
    ),
    refuted_if=(
        "the best length does not rise with the number of operators or does not fall with capability, the best of the inner lengths "
        "is worse than one of the ends, or reinforcement moves to lengths at which the model was less accurate."
    ),
    arms=(
        Arm("t forced", "every network of every size, with the control token given: the curves"),
        Arm("long start", "the largest network taught to prefer one operator a step, then reinforced on right answers"),
        Arm(
            "short start",
            "the same, taught to prefer the most operators a step: does length rise where longer is better?",
            True,
        ),
        Arm("random reward", "the long start, reinforced by coin flips as often right as its answers", control=True),
    ),
    expectations=(
        Expectation(
            "best_accuracy",
            "the task is learned: accuracy at the best length, largest T and network",
            "fraction",
            LEARNED,
            LEARNED,
            "premise",
        ),
        Expectation(
            "room",
            "and not fully: the best length's accuracy differs from the worst's",
            "difference of fractions",
            0.1,
            0.1,
            "premise",
        ),
        Expectation(
            "inverted_u",
            "at the largest T an inner length beats both ends (length and network chosen on one half of the problems, judged on the "
            "other)",
            "difference of fractions",
            0.02,
            0.0,
        ),
        Expectation(
            "peak_with_operators",
            "the best number of steps rises with the number of operators",
            "slope, log N on log T; 1 where t stays the same",
            0.1,
            0.0,
        ),
        Expectation("peak_with_capability", "the less capable network needs more steps", "log2 ratio of best N", 0.1, 0.0),
        Expectation(
            "rl_choice_gain",
            "reinforcement chooses lengths at which the model had been more accurate, over both starts",
            "difference of fractions",
            0.02,
            0.0,
        ),
        Expectation(
            "rl_accuracy_gain", "accuracy of the long start rises", "difference of fractions", 0.02, 0.0, "observation"
        ),
        Expectation("rl_shorter", "the long start's chains become shorter", "log2 ratio of mean N", 0.1, 0.0, "observation"),
        Expectation("rl_longer", "the short start's chains become longer", "log2 ratio of mean N", 0.1, 0.0, "observation"),
        Expectation(
            "rl_shorter_random",
            "random rewards shorten the long start's chains",
            "log2 ratio of mean N",
            0.1,
            0.0,
            "observation",
        ),
        Expectation(
            "operators_with_operators", "steps get coarser with the task", "slope, log best t on log T", 0.1, 0.0, "observation"
        ),
        Expectation(
            "theory_fit", "the theory's curve explains the largest network's accuracies", "R2", 0.8, 0.5, "observation"
        ),
    ),
    quoted=(
        Quoted("N* at C = 200, (T, M) = (16, 4), (32, 4), (64, 4), (32, 16)", "13, 19, 30, 5 steps", "computed"),
        Quoted("best number of steps on MATH, Qwen2.5 of 1.5B and of 72B", "14 and 4", "second-hand"),
        Quoted("settings of the paper's reinforcement learning", "not published as code", "unverified"),
    ),
    settings=(
        Setting("networks", "code: size s has s layers, s heads, width 64 s; ours below: s = 2, trained briefly and fully"),
        Setting("architecture", "code: GPT-2; ours below: Llama, which learned sooner in one trial"),
        Setting("per_step", "code: t from 1 to 12; ours below: up to 4"),
        Setting("fewest", "code: T from 12; ours below: from 1"),
        Setting("tested", "code: T up to 80; ours below: up to 8"),
        Setting("train_steps", "code: 25,000; ours below: what two cores do in minutes"),
        Setting("batch", "code: 256; ours below: more and smaller steps"),
        Setting(
            "learning_rate, final_rate",
            "code: 1e-4 falling to 1e-5 as a cosine, weight decay 0.05; ours below: 2e-3 falling to a tenth",
        ),
        Setting("growth", "ours: the expressions grow over the first part of training"),
        Setting("test_problems", "code: 100 per T, greedy, last digit"),
        Setting("start_steps, start_share", "ours: a model trained on all t alike has no length of its own to start from"),
        Setting("rl_operators", "ours: one T, so that there is one best length"),
        Setting("rl_steps, rl_problems, rl_samples", "ours: the paper's are not published"),
        Setting("rl_rate", "ours: at 2e-4 the tiny model chose better lengths and yet lost accuracy (one seed)"),
    ),
)


# Data and models


def _example(rng: random.Random, operators: int, per_step: Sequence[int], weights: Sequence[float] | None = None) -> Any:
    """Return ids and labels of one example whose t is drawn by `weights` from those that fit."""
    from soundness.training.data import IGNORED

    expression = world.draw(rng, operators)
    fitting = [place for place, count in enumerate(per_step) if count <= operators]
    chosen = rng.choices(fitting, [weights[place] for place in fitting] if weights else None)[0]
    asked, answered = encode(world.question(expression)), encode(world.chain(expression, per_step[chosen]))
    return [*asked, *answered], [IGNORED] * len(asked) + answered


def encode(tokens: Sequence[str]) -> list[int]:
    """Return the ids of tokens."""
    return [IDS[token] for token in tokens]


def decode(ids: Sequence[int]) -> list[str]:
    """Return the tokens of ids."""
    return [world.VOCABULARY[place] for place in ids]


def _train(scale: Scale, network: Network, seed: int, told: Told) -> Any:
    """Return a network trained on all t alike; step i's examples depend on the string "cot-length/{seed}/{i}" alone."""
    from soundness.training.tiny_decoders import build_decoder, train_ids

    largest, num_steps = max(scale.tested), round(network.trained * scale.train_steps)
    model = build_decoder(
        len(IDS),
        layers=network.layers,
        heads=network.heads,
        width=network.width,
        positions=8 * largest + 8,  # question 2 T + 2; at one operator a step 6 T + 3
        architecture=scale.architecture,
        seed=seed,
    )

    def batch(step: int) -> Any:
        rng = random.Random(f"cot-length/{seed}/{step}")
        done = 1.0 if scale.growth == 0 else min(step / (scale.growth * num_steps), 1.0)
        grown = round(scale.fewest + done * (largest - scale.fewest))
        return [_example(rng, rng.randint(scale.fewest, grown), scale.per_step) for _ in range(scale.batch)]

    train_ids(
        model,
        batch,
        num_steps=num_steps,
        learning_rate=scale.learning_rate,
        final_rate=scale.final_rate,
        seed=seed,
        on_step=lambda step: told(f"training {network.name}", step.step, step.num_steps),
    )
    return model


# Curves


def _problems(scale: Scale, operators: int, seed: int) -> list[world.Expression]:
    return [world.item(i, f"test/{operators}/{seed}", operators, operators) for i in range(scale.test_problems)]


def _grid(scale: Scale, operators: int) -> list[int]:
    """Return the t on the curve of T: those that divide it, the longest chains first."""
    return [count for count in scale.per_step if operators % count == 0]


def _forced(model: Any, expressions: Sequence[world.Expression], per_step: int) -> dict[str, Any]:
    """Return what the model does with t forced: per problem whether it is right, and how its steps go wrong."""
    control = world.control(per_step)
    room = max(len(world.chain(one, per_step)) for one in expressions) + 4
    chains = _write(model, [encode([*world.question(one), control]) for one in expressions], room)
    read = [world.read([control, *decode(ids)]) for ids in chains]
    found = misread = miscounted = 0
    for expression, reading in zip(expressions, read, strict=True):
        carried = expression.start
        for place, (written, result) in enumerate(reading.steps):
            true = world.Expression(carried, expression.leaves[place * per_step : (place + 1) * per_step])
            found += 1
            if not true.leaves or list(written) != world.written(true):
                misread += 1
                break
            miscounted += result != world.value(true)
            carried = result
    return {
        "right": [int(reading.answer == world.value(one)) for one, reading in zip(expressions, read, strict=True)],
        "steps": found,
        "misread": misread,
        "miscounted": miscounted,
    }


def _measure(model: Any, scale: Scale, operators: int, seed: int) -> dict[str, Any]:
    """Return the curve of one T: the numbers of steps, and what the model does at each."""
    expressions, grid = _problems(scale, operators, seed), _grid(scale, operators)
    points = [_forced(model, expressions, count) for count in grid]
    return {"operators": operators, "lengths": [operators // count for count in grid], "points": points}


def best_length(lengths: Sequence[int], right: np.ndarray, seed: int = 0, num_resamples: int = 400) -> dict[str, float]:
    """Return the mean and the 95 % interval of log2 of the best number of steps over resampled problems.

    `right` is (lengths, problems), 0 or 1. The mean over resamples moves smoothly where two lengths are nearly as good; ties share.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(right.shape[1], size=(num_resamples, right.shape[1]))
    means = right[:, chosen].mean(-1)  # (lengths, resamples)
    best = means == means.max(0)
    logs = (best * np.log2(np.asarray(lengths, dtype=float))[:, None]).sum(0) / best.sum(0)
    low, high = np.quantile(logs, [0.025, 0.975])
    return {"log2": float(logs.mean()), "low": float(low), "high": float(high)}


def interior_margin(curves: Sequence[np.ndarray]) -> float | None:
    """Return by how much the best inner length beats the better end, or None where no curve has an inner length.

    `curves` are (lengths, problems) of 0 and 1, lengths in order. Curve and length are chosen on every other problem and judged on
    the rest, then the halves change places: chance cannot choose its own winner.

    >>> import numpy as np
    >>> interior_margin([np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 0, 0]])])
    0.5
    """
    curves = [curve for curve in curves if len(curve) > 2]
    if not curves:
        return None
    margins = []
    for half in (0, 1):
        chosen = [curve[:, half::2].mean(1) for curve in curves]
        judged = [curve[:, 1 - half :: 2].mean(1) for curve in curves]
        peaks = [1 + int(np.argmax(means[1:-1])) for means in chosen]
        leads = [means[peak] - max(means[0], means[-1]) for means, peak in zip(chosen, peaks, strict=True)]
        curve = int(np.argmax(leads))
        margins.append(judged[curve][peaks[curve]] - max(judged[curve][0], judged[curve][-1]))
    return float(np.mean(margins))


def slope(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return the least-squares slope, or None below two different x.

    >>> slope([1, 2, 3], [2, 4, 6])
    2.0
    """
    return round(float(np.polyfit(x, y, 1)[0]), 9) if len(set(x)) > 1 else None


# Theory


@dataclass(frozen=True, slots=True)
class Theory:
    """A(N) = a [(1 - T/C) (1 - T/(N M))]^N, fitted to a network's curves; luck is added to it."""

    scale: float
    """a, the accuracy of the best chain without errors."""
    capability: float
    """M, in operators: t/M is the chance that a step of t operators goes wrong."""
    capacity: float
    """C, in operators: T/C is the chance that a step of an expression with T operators is misread."""
    explained: float | None
    """Share of the accuracies' variance that is explained; None where they do not vary."""

    def accuracy(self, operators: int, steps: float) -> float:
        """Return the expected accuracy, luck included."""
        kept = (1 - operators / self.capacity) * max(1 - operators / (steps * self.capability), 0.0)
        return float(LUCK + (1 - LUCK) * self.scale * kept**steps)


def best_steps(operators: int, capability: float, capacity: float) -> float:
    """Return N* = (T/M) Z/(Z + 1) with Z = W_-1(-(1 - T/C)/e), the theory's best number of steps (2502.07266).

    >>> [round(best_steps(*one, 200)) for one in ((16, 4), (32, 4), (64, 4), (32, 16))]
    [13, 19, 30, 5]
    """
    from scipy.special import lambertw

    assert operators < capacity
    z = float(lambertw(-(1 - operators / capacity) / math.e, k=-1).real)
    return operators / capability * z / (z + 1)


def fit_theory(points: Sequence[tuple[int, int, float]]) -> Theory | None:
    """Return the theory with the smallest squared error over (T, N, accuracy), or None below four points."""
    from scipy.optimize import least_squares

    if len(points) < 4:
        return None
    largest = max(operators for operators, _, _ in points)
    coarsest = max(operators / steps for operators, steps, _ in points)

    def theory(values: Sequence[float]) -> Theory:
        return Theory(values[0], math.exp(values[1]), math.exp(values[2]), None)

    def errors(values: Sequence[float]) -> list[float]:
        return [theory(values).accuracy(operators, steps) - found for operators, steps, found in points]

    fits = [
        least_squares(
            errors,
            (0.9, math.log(capability), math.log(capacity)),
            bounds=((0, math.log(0.5), math.log(1.01 * largest)), (1.0000001, math.log(1e5), math.log(1e6))),
        )
        for capability in (1.5 * coarsest, 8 * coarsest)
        for capacity in (4 * largest, 100 * largest)
    ]
    best = min(fits, key=lambda one: one.cost)
    spread = float(np.var([found for _, _, found in points]) * len(points))
    fitted = theory(best.x)
    return Theory(fitted.scale, fitted.capability, fitted.capacity, 1 - 2 * float(best.cost) / spread if spread > 0 else None)


# Reinforcement


def advantages(rewards: Sequence[float], group: int) -> list[float]:
    """Return each reward less the mean of its group.

    >>> advantages([1, 0, 0, 1, 1, 1], 3)
    [0.667, -0.333, -0.333, 0.0, 0.0, 0.0]
    """
    found = np.asarray(rewards, dtype=float).reshape(-1, group)
    return [round(float(one), 3) for one in (found - found.mean(1, keepdims=True)).ravel()]


def _prefer(scale: Scale, model: Any, per_step: int, seed: int) -> None:
    """Teach `model`, in place, to prefer a t on the problems that reinforcement uses."""
    from soundness.training.tiny_decoders import train_ids

    fitting = _grid(scale, scale.rl_operators)
    others = (1 - scale.start_share) / (len(fitting) - 1)
    weights = [scale.start_share if count == per_step else others for count in fitting]

    def batch(step: int) -> Any:
        rng = random.Random(f"cot-length/start/{seed}/{step}")
        return [_example(rng, scale.rl_operators, fitting, weights) for _ in range(scale.batch)]

    train_ids(model, batch, num_steps=scale.start_steps, learning_rate=scale.learning_rate * scale.final_rate, seed=seed)


def _mass(model: Any, expressions: Sequence[world.Expression], per_step: Sequence[int]) -> list[float]:
    """Return the probability of each t in `per_step` as the first token, mean over problems; all other tokens are left out."""
    import torch

    ids = torch.tensor([encode(world.question(one)) for one in expressions], device=model.device)
    with torch.inference_mode():
        scores = model(input_ids=ids).logits[:, -1]
    found = torch.softmax(scores[:, [IDS[world.control(count)] for count in per_step]].cpu().double(), -1).mean(0)
    return [float(one) for one in found]


def _free_accuracy(model: Any, expressions: Sequence[world.Expression], seed: int) -> float:
    """Return the share of right answers among chains drawn at temperature 1 with a t of the model's own, one per problem."""
    return float(np.mean(_rewards(expressions, _draw(model, expressions, seed))))


def _draw(model: Any, expressions: Sequence[world.Expression], seed: int) -> list[list[int]]:
    room = max(len(world.chain(one, 1)) for one in expressions) + 4
    return _write(model, [encode(world.question(one)) for one in expressions], room, temperature=1.0, seed=seed)


def _write(model: Any, prefixes: Sequence[Sequence[int]], room: int, **how: Any) -> list[list[int]]:
    """Return what follows each prefix; the end token is the last where the chain ended within `room` tokens."""
    from soundness.training.tiny_decoders import complete

    return [ids if len(ids) == room else [*ids, IDS[world.END]] for ids in complete(model, prefixes, max_tokens=room, **how)]


def _rewards(expressions: Sequence[world.Expression], chains: Sequence[Sequence[int]]) -> list[float]:
    """Return 1 for each chain that ends with the right answer, else 0."""
    read = (world.read(decode(ids)) for ids in chains)
    return [float(one.answer == world.value(asked)) for asked, one in zip(expressions, read, strict=True)]


def _reinforce(
    scale: Scale, model: Any, seed: int, paid: Literal["answer", "random"], tell: Callable[[int, int], None]
) -> list[float]:
    """Reinforce `model` in place and return each step's share of right answers.

    One on-policy update per batch, where GRPO's ratio is 1 and its clipping never acts, so that a plain policy gradient is left.
    """
    import torch

    from soundness.training.data import IGNORED
    from soundness.training.tiny_decoders import collate

    optimiser = torch.optim.AdamW(model.parameters(), lr=scale.rl_rate, betas=(0.9, 0.98), weight_decay=0.0)
    history = []
    for step in range(scale.rl_steps):
        first = step * scale.rl_problems
        drawn = (world.item(first + i, f"rl/{seed}", scale.rl_operators, scale.rl_operators) for i in range(scale.rl_problems))
        expressions = [one for one in drawn for _ in range(scale.rl_samples)]
        chains = _draw(model, expressions, seed=1 + step + 100_000 * seed)
        rewards = _rewards(expressions, chains)
        history.append(float(np.mean(rewards)))
        if paid == "random":
            coin = random.Random(f"cot-length/coin/{seed}/{step}")
            rewards = [float(coin.random() < history[-1]) for _ in rewards]
        gains = advantages(rewards, scale.rl_samples)
        if any(gains):
            asked = [encode(world.question(one)) for one in expressions]
            batch = [([*q, *ids], [*[IGNORED] * len(q), *ids]) for q, ids in zip(asked, chains, strict=True)]
            inputs = {name: tensor.to(model.device) for name, tensor in collate(batch).items()}
            logits = model(input_ids=inputs["input_ids"]).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), inputs["labels"][:, 1:], reduction="none")
            (losses.sum(1) * torch.tensor(gains, device=model.device)).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        tell(step + 1, scale.rl_steps)
    return history


def _arm(
    scale: Scale, model: Any, start: int, seed: int, paid: Literal["answer", "random"], told: Told, name: str
) -> dict[str, Any]:
    """Return what became of one start: the mass over t, mean length and accuracy before and after."""
    from copy import deepcopy

    per_step = _grid(scale, scale.rl_operators)
    expressions = _problems(scale, scale.rl_operators, seed)
    begun = deepcopy(model)
    _prefer(scale, begun, start, seed)
    curve = [float(np.mean(_forced(begun, expressions, count)["right"])) for count in per_step]
    before: dict[str, Any] = {"mass": _mass(begun, expressions, per_step), "accuracy": _free_accuracy(begun, expressions, seed)}
    history = _reinforce(scale, begun, seed, paid, lambda done, total: told(f"reinforcing, {name}", done, total))
    after: dict[str, Any] = {"mass": _mass(begun, expressions, per_step), "accuracy": _free_accuracy(begun, expressions, seed)}
    for one in (before, after):
        one["length"] = sum(share * scale.rl_operators / count for share, count in zip(one["mass"], per_step, strict=True))
    moved = [late - early for late, early in zip(after["mass"], before["mass"], strict=True)]
    return {
        "name": name,
        "per_step": per_step,
        "forced": curve,
        "before": before,
        "after": after,
        "choice_gain": sum(change * right for change, right in zip(moved, curve, strict=True)),
        "history": history,
    }


# The run


def run(scale: Scale, seed: int, out: Path, told: Told) -> dict[str, Any]:
    """Return everything measured with one training seed."""
    networks: list[dict[str, Any]] = []
    model: Any = None
    for network in scale.networks:
        model = _train(scale, network, seed, told)
        told(f"testing {network.name}", 0, 1)
        curves = [_measure(model, scale, operators, seed) for operators in scale.tested]
        networks.append({"name": network.name, "parameters": model.num_parameters(), "curves": curves})
    longest, shortest = _grid(scale, scale.rl_operators)[0], _grid(scale, scale.rl_operators)[-1]
    arms = [
        _arm(scale, model, longest, seed, "answer", told, "long start"),
        _arm(scale, model, shortest, seed, "answer", told, "short start"),
        _arm(scale, model, longest, seed, "random", told, "random reward"),
    ]
    return summary(networks, arms)


def summary(networks: Sequence[Mapping[str, Any]], arms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures, and the curves with means in the place of single problems.

    Args:
        networks: From the least to the most capable: name, parameters, and curves of (operators, lengths, points).
        arms: The long start, the short start, and the random reward.
    """
    kept: list[dict[str, Any]] = []
    peaks: list[dict[int, float]] = []
    tops: list[np.ndarray] = []
    for network in networks:
        curves = [_curve(one) for one in network["curves"]]
        theory = fit_theory([(c["operators"], n, a) for c in curves for n, a in zip(c["lengths"], c["accuracy"], strict=True)])
        if theory is not None and theory.explained is not None and theory.explained > 0.5:
            for curve in curves:
                curve["theory"] = [theory.accuracy(curve["operators"], steps) for steps in curve["lengths"]]
                curve["theory_best"] = best_steps(curve["operators"], theory.capability, theory.capacity)
        kept.append({"name": network["name"], "parameters": network["parameters"], "curves": curves, "theory": _plain(theory)})
        peaks.append({curve["operators"]: curve["best"]["log2"] for curve in curves if curve["best"] is not None})
        tops.append(np.array([point["right"] for point in network["curves"][-1]["points"]]))
    rises = [slope([math.log2(operators) for operators in one], list(one.values())) for one in peaks]
    rise = mean_known(rises)
    common = [operators for operators in peaks[0] if operators in peaks[-1]] if len(peaks) > 1 else []
    accuracy = kept[-1]["curves"][-1]["accuracy"]
    long, short, coin = arms
    figures = {
        "best_accuracy": max(accuracy),
        "room": max(accuracy) - min(accuracy),
        "inverted_u": interior_margin(tops),
        "peak_with_operators": rise,
        "peak_with_capability": mean_known([peaks[0][operators] - peaks[-1][operators] for operators in common]),
        "rl_choice_gain": (long["choice_gain"] + short["choice_gain"]) / 2,
        "rl_accuracy_gain": long["after"]["accuracy"] - long["before"]["accuracy"],
        "rl_shorter": math.log2(long["before"]["length"] / long["after"]["length"]),
        "rl_longer": math.log2(short["after"]["length"] / short["before"]["length"]),
        "rl_shorter_random": math.log2(coin["before"]["length"] / coin["after"]["length"]),
        "operators_with_operators": None if rise is None else 1 - rise,
        "theory_fit": kept[-1]["theory"]["explained"] if kept[-1]["theory"] else None,
    }
    skipped = []
    if figures["peak_with_capability"] is None:
        skipped.append(
            "What capability does to the best length is not known: no number of operators is solved at its best length in at least "
            f"{LEARNED} of the tries by the least and by the most capable network alike."
        )
    if rise is None:
        skipped.append(
            "What the number of operators does to the best length is not known: no network solves two sizes at their best lengths in "
            f"at least {LEARNED} of the tries."
        )
    return {"figures": figures, "networks": kept, "arms": list(arms), "skipped": skipped}


def _curve(curve: Mapping[str, Any]) -> dict[str, Any]:
    points, lengths = curve["points"], curve["lengths"]
    accuracy = [float(np.mean(point["right"])) for point in points]
    return {
        "operators": curve["operators"],
        "lengths": lengths,
        "accuracy": accuracy,
        "misread": [_share(point["misread"], point["steps"]) for point in points],
        "miscounted": [_share(point["miscounted"], point["steps"]) for point in points],
        "best": best_length(lengths, np.array([point["right"] for point in points])) if max(accuracy) >= LEARNED else None,
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _plain(theory: Theory | None) -> dict[str, float | None] | None:
    if theory is None:
        return None
    return {"a": theory.scale, "M": theory.capability, "C": theory.capacity, "explained": theory.explained}


# What a reader sees


def tables(seeds: Sequence[Mapping[str, Any]]) -> Sequence[Table]:
    """Return the curves, where steps go wrong, the theory beside the found best lengths, and what reinforcement did."""
    curves: list[tuple[str, ...]] = []
    faults: list[tuple[str, ...]] = []
    best: list[tuple[str, ...]] = []
    fitted: list[tuple[str, ...]] = []
    learned: list[tuple[str, ...]] = []
    for network, same in _together(seeds, "networks"):
        theories = [one["theory"] or {} for one in same]
        fitted.append(
            (network["name"], *(_show(mean_known([one.get(key) for one in theories])) for key in ("a", "M", "C", "explained")))
        )
        for curve, alike in _together(same, "curves"):
            place = (network["name"], str(curve["operators"]))
            accuracy = [mean_known([one["accuracy"][i] for one in alike]) for i in range(len(curve["lengths"]))]
            curves.append((*place, ", ".join(f"{n}: {_show(a)}" for n, a in zip(curve["lengths"], accuracy, strict=True))))
            for i, steps in enumerate(curve["lengths"]):
                shares = (_show(mean_known([one[kind][i] for one in alike]), 3) for kind in ("misread", "miscounted"))
                faults.append((*place, str(steps), str(curve["operators"] // steps), *shares))
            found = mean_known([one["best"] and one["best"]["log2"] for one in alike])
            theory = mean_known([one.get("theory_best") for one in alike])
            best.append((*place, _show(None if found is None else 2**found, 1), _show(theory, 1)))
    for arm, alike in _together(seeds, "arms"):
        for when in ("before", "after"):
            mass = [mean_known([one[when]["mass"][i] for one in alike]) for i in range(len(arm["per_step"]))]
            learned.append(
                (
                    arm["name"],
                    when,
                    ", ".join(f"{t}: {_show(share)}" for t, share in zip(arm["per_step"], mass, strict=True)),
                    _show(mean_known([one[when]["length"] for one in alike]), 1),
                    _show(mean_known([one[when]["accuracy"] for one in alike])),
                )
            )
    return (
        Table("Accuracy by number of steps, mean over seeds", ("network", "T", "steps N: accuracy"), tuple(curves)),
        Table("The theory fitted", ("network", "a", "M", "C", "R2"), tuple(fitted)),
        Table("Best number of steps", ("network", "T", "found (geometric mean)", "by the fitted theory"), tuple(best)),
        Table("Reinforcement", ("arm", "", "t: probability", "mean steps", "accuracy"), tuple(learned)),
        Table(
            "Where a step goes wrong first", ("network", "T", "N", "t", "not the next operators", "wrong value"), tuple(faults)
        ),
    )


def _together(seeds: Sequence[Mapping[str, Any]], name: str) -> list[tuple[Any, list[Any]]]:
    """Return each entry of the first seed's list `name` with the same entry of every seed."""
    return [(one, [seed[name][place] for seed in seeds]) for place, one in enumerate(seeds[0][name])]


def _show(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def pictures(seeds: Sequence[Mapping[str, Any]]) -> Mapping[str, dict[str, Any]]:
    """Return accuracy against the number of steps per network, and the mass over t before and after reinforcement."""
    points = [
        {"network": network["name"], "T": curve["operators"], "N": steps, "accuracy": found, "seed": number}
        for number, seed in enumerate(seeds)
        for network in seed["networks"]
        for curve in network["curves"]
        for steps, found in zip(curve["lengths"], curve["accuracy"], strict=True)
    ]
    mass = [
        {"arm": arm["name"], "t": str(count), "when": when, "probability": share}
        for seed in seeds
        for arm in seed["arms"]
        for when in ("before", "after")
        for count, share in zip(arm["per_step"], arm[when]["mass"], strict=True)
    ]
    steps = {
        "field": "N",
        "type": "quantitative",
        "scale": {"type": "log", "base": 2},
        "axis": {"values": sorted({one["N"] for one in points}), "format": "d", "grid": False},
        "title": "number of steps N",
    }
    colour = {"field": "T", "type": "ordinal", "title": "operators T", "scale": {"scheme": "viridis"}}
    y = {"field": "accuracy", "type": "quantitative", "scale": {"domain": [0, 1]}, "title": "accuracy"}
    return {
        "curves": {
            "$schema": VEGA_LITE,
            "data": {"values": points},
            "facet": {
                "field": "network",
                "type": "nominal",
                "title": None,
                "sort": [one["name"] for one in seeds[0]["networks"]],
            },
            "spec": {
                "width": 240,
                "height": 200,
                "layer": [
                    {"mark": "line", "encoding": {"x": steps, "y": {**y, "aggregate": "mean"}, "color": colour}},
                    {"mark": {"type": "point", "filled": True, "size": 22}, "encoding": {"x": steps, "y": y, "color": colour}},
                ],
            },
        },
        "reinforcement": {
            "$schema": VEGA_LITE,
            "data": {"values": mass},
            "facet": {"field": "arm", "type": "nominal", "title": None, "sort": [one["name"] for one in seeds[0]["arms"]]},
            "spec": {
                "width": 160,
                "height": 180,
                "mark": "bar",
                "encoding": {
                    "x": {
                        "field": "t",
                        "type": "ordinal",
                        "title": "operators a step t",
                        "sort": None,
                        "axis": {"labelAngle": 0},
                    },
                    "xOffset": {"field": "when", "sort": ["before", "after"]},
                    "y": {
                        "field": "probability",
                        "title": "probability",
                        "type": "quantitative",
                        "aggregate": "mean",
                        "scale": {"domain": [0, 1]},
                    },
                    "color": {"field": "when", "type": "nominal", "title": None, "sort": ["before", "after"]},
                },
            },
        },
    }
