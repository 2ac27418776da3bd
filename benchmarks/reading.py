"""Reading probes: soundness, lm-evaluation-harness and one plain forward pass, side by side in one process.

The same probes (every prefix of one chain, several endings) go through `model.read`, through `HFLM._loglikelihood_tokens` of
lm-evaluation-harness on the same module (batch size 8, its own batching and sorting), and as many tokens as the forest has go
through one plain causal pass with logits at as many places. The three take turns, so that a machine whose speed drifts drifts
for all of them; medians are reported.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from soundness.models.packed import gather
from soundness.models.transformers import TransformersModel
from soundness.probes.forest import Forest, build
from soundness.records import Probe

ROUNDS = 5


@dataclass(frozen=True)
class Shape:
    """One chain and what is asked about it."""

    prompt: int
    steps: int
    step: int
    endings: int
    ending: int
    target_lm_eval: float | None = None
    target_plain: float | None = None

    def probes(self, seed: int = 0) -> list[Probe]:
        """Return (steps + 1) x endings probes on random tokens."""
        rng = np.random.default_rng(seed)
        text = rng.integers(10, 40_000, size=self.prompt + self.steps * self.step).tolist()
        endings = [tuple(rng.integers(10, 40_000, size=self.ending).tolist()) for _ in range(self.endings)]
        return [Probe(tuple(text[: self.prompt + i * self.step]), end) for i in range(self.steps + 1) for end in endings]


SHAPES = (
    Shape(100, 8, 20, 1, 3, target_plain=1.05),
    Shape(100, 8, 20, 4, 3, target_lm_eval=13, target_plain=1.05),
    Shape(200, 16, 20, 4, 3, target_lm_eval=24, target_plain=1.05),
    Shape(200, 32, 20, 1, 3, target_plain=1.05),
    Shape(200, 100, 30, 1, 4, target_plain=1.15),
)
LM_EVAL_LIMIT = 60_000  # tokens that lm-eval would read; beyond it one round takes minutes and tells nothing new


def seconds(function: Callable[[], object]) -> float:
    """Return how long one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def plain_pass(model: TransformersModel, num_tokens: int, num_places: int) -> Callable[[], object]:
    """Return one plain causal pass over `num_tokens` tokens that scores `num_places` of them."""
    rng = np.random.default_rng(1)
    ids = torch.from_numpy(rng.integers(10, 40_000, size=(1, num_tokens))).to(model.device)
    places = torch.from_numpy(np.sort(rng.choice(num_tokens, size=num_places, replace=False))).to(model.device)

    def run() -> object:
        with torch.inference_mode():
            logits = model.module(input_ids=ids, use_cache=False, logits_to_keep=places).logits[0]
            return gather(logits, np.arange(len(logits)), np.zeros(len(logits), dtype=np.int64))

    return run


def plain_passes(model: TransformersModel, forest: Forest, size: int = 4096) -> Callable[[], object]:
    """Return plain passes over as many tokens as `forest` has, `size` at a time, that score as large a share of them.

    A plain pass holds as many tokens as a packed one does at most, so that neither pays for attention over all of them.
    """
    tokens = forest.num_tokens
    sizes = [size] * (tokens // size) + ([tokens % size] if tokens % size else [])
    share = len(forest.scored_places) / tokens
    passes = [plain_pass(model, each, max(1, round(each * share))) for each in sizes]
    return lambda: [one() for one in passes]


def lm_eval_reader(model: TransformersModel, probes: list[Probe]) -> Callable[[], list[tuple[float, bool]]]:
    """Return the same probes through lm-evaluation-harness on the same module."""
    from lm_eval.models.huggingface import HFLM

    harness = HFLM(pretrained=model.module, tokenizer=model.tokenizer, batch_size=8)
    requests = [(("", ""), list(probe.prefix), list(probe.continuation)) for probe in probes]
    return lambda: harness._loglikelihood_tokens(requests, disable_tqdm=True)


def measure(model: TransformersModel) -> list[dict[str, float | str | None]]:
    """Return one row per shape: tokens, median seconds, ratios."""
    rows = []
    for shape in SHAPES:
        probes = shape.probes()
        forest = build(probes)
        plain = plain_pass(model, forest.num_tokens, len(forest.scored_places))
        harness = lm_eval_reader(model, probes) if forest.num_plain_tokens <= LM_EVAL_LIMIT else None
        runs: dict[str, list[float]] = {"packed": [], "plain": [], "lm_eval": []}
        model.read(probes), plain()
        if harness is not None:
            theirs = [nats for nats, _ in harness()]
            ours = [reading.nats for reading in model.read(probes)]
            difference = float(np.mean(np.abs(np.array(theirs) - np.array(ours))))
        for _ in range(ROUNDS):
            runs["packed"].append(seconds(partial(model.read, probes)))
            runs["plain"].append(seconds(plain))
            if harness is not None:
                runs["lm_eval"].append(seconds(harness))
        packed, one = statistics.median(runs["packed"]), statistics.median(runs["plain"])
        theirs_seconds = statistics.median(runs["lm_eval"]) if harness else None
        rows.append(
            {
                "shape": f"{shape.prompt} / {shape.steps} x {shape.step} / {shape.endings} x {shape.ending}",
                "tokens": forest.num_tokens,
                "tokens_apart": forest.num_plain_tokens,
                "packed": packed,
                "plain": one,
                "lm_eval": theirs_seconds,
                "over_plain": statistics.median(a / b for a, b in zip(runs["packed"], runs["plain"], strict=True)),
                "under_lm_eval": theirs_seconds / packed if theirs_seconds else None,
                "target_plain": shape.target_plain,
                "target_lm_eval": shape.target_lm_eval,
                "mean_difference": difference if harness is not None else None,
            }
        )
    return rows


def growth(model: TransformersModel) -> tuple[list[tuple[int, float]], float]:
    """Return (steps, median seconds) from 8 to 128 steps of 20 tokens, and the exponent fitted to it."""
    points = []
    for steps in (8, 16, 32, 64, 128):
        probes = Shape(100, steps, 20, 1, 3).probes()
        model.read(probes)
        points.append((steps, statistics.median(seconds(partial(model.read, probes)) for _ in range(ROUNDS))))
    slope = np.polyfit(np.log([n for n, _ in points]), np.log([s for _, s in points]), 1)[0]
    return points, float(slope)


def peak_memory(num_tokens: int = 4000) -> float:
    """Return how many GB a process's peak grows while smollm2 in bfloat16 reads a forest of about `num_tokens` tokens.

    A process of its own is asked, because a peak never comes down again.
    """
    program = (
        "from pathlib import Path; from benchmarks.reading import Shape; from soundness.models.load import load_model\n"
        "def kib(name): return next(int(x.split()[1]) for x in Path('/proc/self/status').read_text().splitlines() if x.startswith(name))\n"
        "model = load_model('smollm2', dtype='bfloat16'); model.read(Shape(20, 2, 5, 1, 2).probes())\n"
        "Path('/proc/self/clear_refs').write_text('5'); before = kib('VmRSS')\n"  # 5: the peak starts anew from here
        f"model.read(Shape(200, {(num_tokens - 200) // 38}, 30, 2, 4).probes()); print((kib('VmHWM') - before) / 2**20)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(found.stdout.split()[-1])
