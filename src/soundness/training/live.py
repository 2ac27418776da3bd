"""A module under training as a model that can be sampled and read, without a store and without a trace left behind.

While it is asked, every part of the module is in evaluation mode and its own sampling defaults are put aside; afterwards both are
as they were. Draws come from keys, never from torch's generator, so that training goes on as if nobody had looked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from transformers import GenerationConfig

from soundness.models.cached import Progress, Recorded
from soundness.models.transformers import TransformersModel, _Shared
from soundness.records import Generation, Probe, Reading

__all__ = ["Direct", "LiveModel"]


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


class Direct(Recorded):
    """A model whose words and readings are kept by nobody: its weights are others in a moment."""

    def __init__(self, model: Any, batch_size: int = 16) -> None:
        super().__init__(model, None, batch_size)  # type: ignore[arg-type]

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | None = None,
    ) -> list[Generation]:
        """Return one continuation per prefix, as one batch."""
        made: list[Generation] = self.model.generate(
            prefixes, max_tokens=max_tokens, temperature=temperature, top_p=top_p, keys=keys, until=until
        )
        return made

    def read(self, groups: Sequence[Sequence[Probe]], *, on_progress: Progress | None = None) -> dict[Probe, Reading]:
        """Return what the model believes of every probe in `groups`, each distinct probe read once."""
        readings: dict[Probe, Reading] = {}
        for start in range(0, len(groups), self.cases_at_once):
            batch = groups[start : start + self.cases_at_once]
            wanted = list(dict.fromkeys(probe for group in batch for probe in group if probe not in readings))
            readings.update(zip(wanted, self.model.read(wanted) if wanted else [], strict=True))
            if on_progress is not None:
                on_progress(min(start + self.cases_at_once, len(groups)), len(groups))
        return readings
