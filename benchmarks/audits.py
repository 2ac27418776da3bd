"""Whole audits: how long reading takes beside sampling, and what a run's whole forest costs beside plain passes."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.reading import ROUNDS, plain_passes, seconds
from soundness.auditing import audit
from soundness.models.load import load_model
from soundness.models.transformers import TransformersModel
from soundness.probes.forest import build
from soundness.records import Probe, Reading

GROUPS: dict[str, list[str]] = {
    "information gain, early answering": ["info_gain", "early_answering"],
    "and reliance: filler, swap, mistakes, asked answers": [
        "forced_accuracy",
        "filler",
        "swap",
        "mistake",
        "mistake_regenerated",
    ],
}
"""Groups of measures; each is added to the ones before in the same run folder, so that chains are sampled once."""


class Listener:
    """A model that remembers what it was asked to read."""

    def __init__(self, model: TransformersModel) -> None:
        self.model = model
        self.asked: list[Probe] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        """Return the model's readings."""
        self.asked += probes
        return self.model.read(probes)


def neighbour(folder: Path) -> str:
    """Return the specification of smollm2 with a small random LoRA adapter: a second model that writes other chains."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from soundness.models.load import resolve_source

    torch.manual_seed(0)
    module = AutoModelForCausalLM.from_pretrained(resolve_source("smollm2"), dtype=torch.bfloat16)
    tuned = get_peft_model(
        module, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    )
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            weight.data.mul_(0.02)
    tuned.save_pretrained(folder)
    return f"smollm2+{folder}"


def measure(task: str, limit: int = 24, max_tokens: int = 256) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return (a row per group of metrics with seconds of sampling and of all, the whole forest of the last run beside plain passes)."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base = load_model("smollm2")
        tuned = load_model(neighbour(folder / "adapter"))
        assert isinstance(base, TransformersModel) and isinstance(tuned, TransformersModel)
        listeners = [Listener(base), Listener(tuned)]
        sampling = whole = 0.0
        for name, metrics in GROUPS.items():
            run = audit(
                listeners[0],  # type: ignore[arg-type]
                [listeners[1]],  # type: ignore[list-item]
                task,
                out=folder / "run",
                limit=limit,
                max_tokens=max_tokens,
                metrics=metrics,
                profile="quick",
                noise_floor=False,
            )
            timings = run.document["timings"]
            sampling += sum(value for phase, value in timings.items() if phase.startswith("sampling"))
            whole += sum(timings.values())
            rows.append({"metrics": name, "sampling": sampling, "all": whole, "ratio": whole / sampling, "problems": limit})
        probes = listeners[0].asked
        forest = build(probes)
        passes = plain_passes(base, forest)
        base.read(probes)
        packed, plain = [], []
        for _ in range(ROUNDS):
            packed.append(seconds(lambda: base.read(probes)))
            plain.append(seconds(passes))
    return rows, {
        "probes": len(probes),
        "tokens": forest.num_tokens,
        "tokens_apart": forest.num_plain_tokens,
        "packed": statistics.median(packed),
        "plain": statistics.median(plain),
        "ratio": statistics.median(a / b for a, b in zip(packed, plain, strict=True)),
    }
