"""What every training method can be told, and what a method says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from soundness.errors import MissingPackage, ModelError, SettingError
from soundness.options import AtLeastOne, Positive, options

__all__ = ["ADAPTATIONS", "LEARNING_RATES", "About", "Adaptation", "Settings", "adapter_config", "check_vllm"]

Adaptation = Literal["lora", "full", "bias", "prompt"]

ADAPTATIONS: dict[Adaptation, str] = {
    "lora": "a low-rank adapter on every linear layer but the output",
    "full": "every weight",
    "bias": "one vector per layer, added to what the layer gives to the next (2505.18706)",
    "prompt": "a soft prompt: virtual tokens in front of every text",
}
"""Adaptation -> what is trained."""

LEARNING_RATES: dict[Adaptation, float] = {"lora": 2e-4, "full": 2e-5, "bias": 1e-2, "prompt": 1e-2}
"""Peak rates of supervised training, by what is trained."""

# The last linear layer of a block, by the names that families give it: what it puts out is added to the residual stream as it is.
_BLOCK_OUTPUTS = ("down_proj", "dense_4h_to_h", "fc2", "fc_out", "w2")


@dataclass(frozen=True, slots=True)
class About:
    """A method in words."""

    name: str
    """Its name."""
    title: str
    """What it is, in one line."""
    papers: tuple[str, ...]
    """Where it comes from."""
    needs: str
    """What the task must have."""
    cost: str
    """What it costs beside plain fine-tuning."""
    when: str
    """When to use it."""
    differs: tuple[str, ...] = ()
    """Where this differs from the papers."""


@options
class Settings:
    """What every method can be told."""

    epochs: Positive = 3.0
    """Passes over the examples."""
    max_steps: AtLeastOne | None = None
    """Optimiser steps, whatever the epochs; None for the epochs alone."""
    learning_rate: Positive | None = None
    """Peak rate; None for the method's own, or one by what is trained."""
    batch_size: AtLeastOne = 8
    """Examples (for methods that sample: completions) per optimiser step, over all processes."""
    accumulate: AtLeastOne = 1
    """In how many parts a step's batch is computed; changes memory, not results."""
    adaptation: Adaptation = "lora"
    """What is trained."""
    lora_rank: AtLeastOne = 16
    """Rank of the adapter (its alpha is twice the rank)."""
    prompt_tokens: AtLeastOne = 16
    """Length of a soft prompt."""
    max_length: AtLeastOne | None = 1024
    """Longest example in tokens, or None for what the model can read. Longer ones are refused, never cut."""
    seed: int = 0
    """Of everything random."""
    dtype: Literal["float32", "bfloat16"] | None = None
    """float32 or bfloat16; None: bfloat16 where the device computes it fast and the model is not tiny."""
    device: Literal["cpu", "cuda", "mps"] | None = None
    """cpu, cuda or mps; None for the best there is. One GPU of several is picked by CUDA_VISIBLE_DEVICES."""
    report_to: str = "none"
    """Any tracker that transformers knows (trackio, wandb, tensorboard), or none."""
    save_every: AtLeastOne = 100
    """Optimiser steps between checkpoints, from which a killed run goes on."""
    keep_every: AtLeastOne | None = None
    """Optimiser steps between copies of the model that stay in `steps/N` of the result; None for none."""
    overwrite: bool = False
    """Replace an earlier training result, and drop the checkpoints of an unfinished run with other settings."""
    trainer: Mapping[str, Any] = field(default_factory=dict)
    """Options handed to the trainer's own configuration as they are, such as use_vllm."""

    def __post_init__(self) -> None:
        if self.batch_size % self.accumulate:
            raise SettingError(f"a batch of {self.batch_size} cannot be computed in {self.accumulate} equal parts")
        if self.device not in (None, "cpu"):
            from soundness.models.transformers import pick_device

            if pick_device(None).type != self.device:
                raise SettingError(f"there is no {self.device} device here; leave device out, or use cpu")


def adapter_config(settings: Settings, network: Any) -> Any:
    """Return the PEFT configuration that `settings` ask for, or None for full tuning.

    Raises ModelError where `bias` finds no layer output that it knows by name.
    """
    from peft import BeftConfig, LoraConfig, PromptTuningConfig

    if settings.adaptation == "full":
        return None
    if settings.adaptation == "prompt":
        return PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=settings.prompt_tokens)
    if settings.adaptation == "bias":
        names = {name.rpartition(".")[2] for name, _ in network.named_modules()}
        outputs = [name for name in _BLOCK_OUTPUTS if name in names]
        if not outputs:
            raise ModelError(
                f"bias-only training knows no layer output in this model (it looks for {', '.join(_BLOCK_OUTPUTS)}); use LoRA"
            )
        return BeftConfig(task_type="CAUSAL_LM", target_modules=outputs[:1])
    rank = settings.lora_rank
    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")


def check_vllm(settings: Settings) -> None:
    """Raise MissingPackage or SettingError where the trainer's options ask for vLLM (`use_vllm`) and it cannot be had."""
    if not settings.trainer.get("use_vllm"):
        return
    if find_spec("vllm") is None:
        raise MissingPackage("vllm", "drawing completions with vLLM (use_vllm, which can be left out)", "'trl[vllm]'")
    if settings.adaptation not in ("lora", "full"):
        raise SettingError(
            f"vLLM gets the weights with the adapter merged into them, and what adaptation={settings.adaptation} trains cannot be "
            "merged: use lora or full, or leave use_vllm out"
        )
