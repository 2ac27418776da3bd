"""A module under training as a model that can be sampled and read, without a store and without a trace left behind.

While it is asked, every part of the module is in evaluation mode and its own sampling defaults are put aside; afterwards both are
as they were. Draws come from keys, never from torch's generator, so that training goes on as if nobody had looked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from transformers import GenerationConfig

from soundness.models.transformers import TransformersModel, _Shared

__all__ = ["LiveModel"]


class _Live(_Shared):
    """The module as it is now, its adapters switched on or, `frozen`, off."""

    def __init__(self, module: Any, tokenizer: Any, *, frozen: bool) -> None:
        self.module = module
        self.base = module.get_base_model() if hasattr(module, "get_base_model") else module
        self.tokenizer = tokenizer
        self.device = next(module.parameters()).device
        self.dtype = next(module.parameters()).dtype
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
            with self.module.disable_adapter() if self.frozen else nullcontext():
                yield self.module
        finally:
            self.base.generation_config = defaults
            for part in training:
                part.training = True


class LiveModel(TransformersModel):
    """`module` as a `soundness.models.base.Model`; with `frozen`, its base: the same weights with every adapter off."""

    def __init__(self, module: Any, tokenizer: Any, *, name: str = "in training", frozen: bool = False) -> None:
        if frozen and not hasattr(module, "disable_adapter"):
            raise AssertionError("only a module with adapters holds its base")
        super().__init__(_Live(module, tokenizer, frozen=frozen), name)
        if (
            getattr(module, "active_peft_config", None) is not None
            and module.active_peft_config.is_prompt_learning
            and not frozen
        ):
            self._works = "plain"  # virtual tokens stand in front; only whole passes know of them
