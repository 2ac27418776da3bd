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

from soundness.models.modules import SharedModule
from soundness.models.transformers import TransformersModel

__all__ = ["ModelInTraining"]


class _Live(SharedModule):
    """The module as it is now, its adapters switched on or, `frozen`, off."""

    def __init__(self, module: Any, tokenizer: Any, *, frozen: bool, dtype: torch.dtype | None) -> None:
        first = next(module.parameters())
        base = module.get_base_model() if frozen and hasattr(module, "get_base_model") else module
        # Tokens in front of the text are no part of the base.
        super().__init__(base, tokenizer, device=first.device, dtype=dtype or first.dtype)
        self.frozen = frozen

    def adapter_config(self, adapter: str | None) -> Any:
        """Return the configuration of the adapter in training, or None where there is none or it is off."""
        return None if self.frozen else getattr(self.module, "active_peft_config", None)

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """Give the module in evaluation mode, to one caller at a time."""
        with self.lock, self._without_defaults():
            training = [part for part in self.module.modules() if part.training]
            self.module.eval()
            try:
                with _adapters_off(self.module) if self.frozen else nullcontext():
                    yield self.module
            finally:
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
