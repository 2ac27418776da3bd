"""A module under training as a model that can be sampled and read, without a store and without a trace left behind.

While it is asked, every part of the module is in evaluation mode and its own sampling defaults are put aside; afterwards both are
as they were. Draws come from keys, never from torch's generator, so that training goes on as if nobody had looked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import GenerationConfig

from soundness.models.transformers import TransformersModel, _Shared

__all__ = ["ModelInTraining"]


class _Live(_Shared):
    """The module as it is now, its adapters switched on or, `frozen`, off."""

    def __init__(self, module: Any, tokenizer: Any, *, frozen: bool, dtype: torch.dtype | None) -> None:
        self.base = module.get_base_model() if hasattr(module, "get_base_model") else module
        self.module = self.base if frozen else module  # tokens in front of the text are no part of the base
        self.tokenizer = tokenizer
        self.device = next(module.parameters()).device
        self.dtype = dtype or next(module.parameters()).dtype
        self.adapters: list[str] = []
        self.frozen = frozen
        stops = self.base.generation_config.eos_token_id
        self.stops = [] if stops is None else [stops] if isinstance(stops, int) else list(stops)
        if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in self.stops:
            self.stops.append(tokenizer.eos_token_id)

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """Give the module in evaluation mode."""
        training = [part for part in self.module.modules() if part.training]
        defaults = self.base.generation_config
        self.module.eval()
        self.base.generation_config = GenerationConfig()
        try:
            with _adapters_off(self.module) if self.frozen else nullcontext():
                yield self.module
        finally:
            self.base.generation_config = defaults
            for part in training:
                part.training = True


@contextmanager
def _adapters_off(module: Any) -> Iterator[None]:
    """Switch off whatever adapters have been put on the layers of `module`."""
    layers = [part for part in module.modules() if isinstance(part, BaseTunerLayer) and not part.disable_adapters]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


class ModelInTraining(TransformersModel):
    """`module` as a `soundness.models.base.Model`; with `frozen`, its base: the same weights with every adapter off.

    `dtype` is what products are computed in where that is another one than the weights' (automatic mixed precision).
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        *,
        name: str = "the model in training",
        frozen: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(_Live(module, tokenizer, frozen=frozen, dtype=dtype), name)
        adapter = getattr(module, "active_peft_config", None)
        if adapter is not None and adapter.is_prompt_learning and not frozen:
            self._works = "plain"  # virtual tokens stand in front; only whole passes know of them
