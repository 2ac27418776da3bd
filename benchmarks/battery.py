"""The full battery: what reading all its probes costs beside one plain forward pass over as many tokens, per scorer.

Twelve chains are sampled once, greedily; every family's probes are planned as an audit plans them, by each kind of reader, and
nothing is read but for the clock. Chains that the writer would go on with after an edit are left out: writing them is sampling,
and they are read like the others.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.reading import plain_passes, seconds
from soundness.chains.sample import sample_chains
from soundness.metrics import PROFILES
from soundness.metrics.choosing import choose
from soundness.models.cached import CachedModel
from soundness.models.transformers import TransformersModel
from soundness.probes.forest import build
from soundness.records import Probe, Reading
from soundness.scoring.score import Helpers, Sampling, score_chains
from soundness.tasks.base import load_task

ROUNDS = 2
READERS = {"self": "self", "base, of a tuned model's chains": "base", "tuned, of the base's chains": "tuned:tuned"}
"""In words -> who reads."""


class Planner(CachedModel):
    """A model that writes, and notes what it is asked to read instead of reading it."""

    asked: list[Probe]

    def read_groups(self, groups: Sequence[Sequence[Probe]], *, on_progress: Any = None) -> dict[Probe, Reading]:
        """Return blank readings: the scores made of them are thrown away."""
        self.asked = list(dict.fromkeys(probe for group in groups for probe in group))
        return {probe: Reading((-1.0,) * len(probe.continuation), (False,) * len(probe.continuation)) for probe in self.asked}


def plan(model: TransformersModel, file: str, limit: int, max_tokens: int) -> dict[str, list[Probe]]:
    """Return reader -> every probe of the full battery over `limit` sampled chains."""
    task = load_task(file, limit=limit)
    groups = [group for group in choose(list(PROFILES["full"])) if group.name != "transfer"]
    planner = Planner(model)
    chains = sample_chains(planner, task, max_tokens=max_tokens)
    asked = {}
    for name, reader in READERS.items():
        sampling = Sampling(max_tokens=max_tokens)
        score_chains(chains, task, groups, planner, reader=reader, sampling=sampling, helpers=Helpers(rewrites=False))
        asked[name] = planner.asked
    return asked


def measure(model: TransformersModel, file: str, limit: int = 12, max_tokens: int = 256) -> list[dict[str, Any]]:
    """Return one row per reader: probes, tokens, tokens of one pass per probe, median seconds and ratio of interleaved rounds."""
    rows = []
    for name, probes in plan(model, file, limit, max_tokens).items():
        forest = build(probes)
        plain = plain_passes(model, forest)
        model.read(probes[:8])
        packed, simple = [], []
        for _ in range(ROUNDS):
            packed.append(seconds(lambda: model.read(probes)))  # noqa: B023 - called at once
            simple.append(seconds(plain))
        rows.append(
            {
                "reader": name,
                "chains": limit,
                "probes": len(probes),
                "tokens": forest.num_tokens,
                "tokens_apart": forest.num_plain_tokens,
                "packed": statistics.median(packed),
                "plain": statistics.median(simple),
                "ratio": statistics.median(a / b for a, b in zip(packed, simple, strict=True)),
            }
        )
    return rows
