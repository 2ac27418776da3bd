"""Rotary positions that depend on how long the whole text is: `longrope` (Phi-3, Phi-4-mini) and `dynamic` NTK scaling.

transformers chooses their frequencies by the largest position in a call. A call that holds texts on both sides of the limit reads
the shorter ones with the factors of the longest: nats off, and nothing says so. Here texts are grouped by the frequencies that
they have alone, and while a group is read every call is told the length that the group stands for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

__all__ = ["Rotary"]

_LONG = ("longrope", "su")  # `su` is what Phi-3's first configurations called it
_DYNAMIC = ("dynamic", "ntk")


class Rotary:
    """How a module's rotary frequencies depend on the length of a text, in tokens."""

    def __init__(self, module: Any) -> None:
        config = module.config.get_text_config()
        self.limit: int | None = None
        """Longest text with the ordinary frequencies; None where frequencies do not depend on length."""
        self._grows = False
        for kind, limit in _scalings(config):
            if any(name in kind for name in _LONG + _DYNAMIC):
                self.limit = limit if self.limit is None else min(self.limit, limit)
                self._grows |= any(name in kind for name in _DYNAMIC)
        self._modules = [m for m in module.modules() if "rotary" in type(m).__name__.lower()] if self.limit is not None else []

    def group(self, length: int) -> int:
        """Return a length whose frequencies a text of `length` tokens has; texts with equal ones may share a call."""
        if self.limit is None or length <= self.limit:
            return 1
        return length if self._grows else self.limit + 1

    @contextmanager
    def fixed(self, length: int) -> Iterator[None]:
        """Give every call the frequencies of a text of `length` tokens, whatever positions it holds."""
        with ExitStack() as hooks:
            for rotary in self._modules:
                _forget(rotary)
                hooks.callback(rotary.register_forward_pre_hook(_told(length), with_kwargs=True).remove)
                hooks.callback(rotary.register_forward_hook(_untold).remove)
            try:
                yield
            finally:
                for rotary in self._modules:
                    _forget(rotary)


def _scalings(config: Any) -> Iterator[tuple[str, int]]:
    """Yield (kind, longest text with ordinary frequencies) of each rotary scaling that a configuration names."""
    given = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    tables = [given] if not all(isinstance(value, dict) for value in given.values()) else list(given.values())
    for table in tables:
        kind = str(table.get("rope_type") or table.get("type") or "default")
        made_for = getattr(config, "max_position_embeddings", None)
        if any(name in kind for name in _LONG):
            made_for = table.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", made_for
            )
        if isinstance(made_for, int):
            yield kind, made_for


def _told(length: int) -> Any:
    """Return a hook that puts the last position of a text of `length` tokens behind the positions of a call."""

    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if "position_ids" in kwargs:
            return args, {**kwargs, "position_ids": _behind(kwargs["position_ids"], length)}
        return (args[0], _behind(args[1], length), *args[2:]), kwargs

    return hook


def _behind(positions: torch.Tensor, length: int) -> torch.Tensor:
    return torch.cat([positions, positions.new_full((*positions.shape[:-1], 1), length - 1)], dim=-1)


def _untold(module: Any, args: Any, output: Any) -> Any:
    """Take the last position out again: rotary modules return cosines and sines, or one complex tensor, (..., positions, width)."""
    if isinstance(output, torch.Tensor):
        return output[..., :-1, :]
    return tuple(part[..., :-1, :] for part in output)


def _forget(rotary: Any) -> None:
    """Undo what earlier calls left: `dynamic` frequencies stay those of the longest text until a short one is seen."""
    buffers = [name for name, _ in rotary.named_buffers() if name.endswith("original_inv_freq")]
    for name in buffers:
        prefix = name.removesuffix("original_inv_freq")
        original = getattr(rotary, name)
        rotary.register_buffer(f"{prefix}inv_freq", original.clone(), persistent=False)
        if hasattr(rotary, f"{prefix}max_seq_len_cached"):
            setattr(rotary, f"{prefix}max_seq_len_cached", rotary.original_max_seq_len)
