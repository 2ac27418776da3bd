"""Reading a forest of probes in packed passes: each token attends to its ancestors, each token is computed once.

transformers lets a model's attention be swapped by name. While a pass runs, the model's own layers (projections, rotary
positions, norms, adapters) work as always on one sequence that holds all tokens, with the depth of a token as its position; only
the question who attends to whom is answered here, block by block, so that a long trunk runs through the causal kernel and short
answers share one small mask.

Legend. B batch (always 1), H query heads, G key heads, N tokens of the pass, M tokens seen (kept + own), D head width.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AttentionInterface

from soundness.probes.forest import Forest, Pass, plan_passes

__all__ = ["CannotPack", "read_packed"]

_NAME = "soundness_forest"
_HARMLESS = {
    "position_ids",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "cache_position",
    "return_dict",
    "is_causal",
}
_state = threading.local()
_configs: WeakKeyDictionary[Any, dict[int, Any]] = WeakKeyDictionary()  # walking a model's modules takes a millisecond


class CannotPack(Exception):
    """This model cannot be read this way: nobody can tell its attention who attends to whom, or it keeps no cache."""


class _Active:
    """One running pass: its blocks on the device, and the keys and values that pass on to the next."""

    def __init__(self, forest: Forest, one: Pass, device: torch.device, kept: dict[int, tuple[torch.Tensor, torch.Tensor]]):
        seen = one.seen()
        self.blocks = one.blocks
        self.kept = kept
        self.num_kept = len(one.kept)
        self.keep = torch.from_numpy(one.keep).to(device) if len(one.keep) else None
        self.passed_on: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.enter_M = torch.from_numpy(forest.enter[seen]).to(device)
        self.end_M = torch.from_numpy(forest.end[seen]).to(device)
        self.depth_M = torch.from_numpy(forest.depth[seen]).to(device)
        self._masks: dict[tuple[int, int | None], torch.Tensor | None] = {}

    def mask(self, index: int, window: int | None, dtype: torch.dtype) -> torch.Tensor | None:
        """Return the additive mask of block `index`, (queries, keys), or None where the causal kernel needs none."""
        key = (index, window)
        if key not in self._masks:
            block = self.blocks[index]
            if block.causal and (window is None or block.stop - block.start <= window):
                self._masks[key] = None
            else:
                query = slice(block.start + self.num_kept, block.stop + self.num_kept)
                enter, end, depth = (self.select(t, block.keys, 0) for t in (self.enter_M, self.end_M, self.depth_M))
                below = self.enter_M[query, None]
                visible = (enter <= below) & (below < end)
                if window is not None:
                    visible &= depth > self.depth_M[query, None] - window
                self._masks[key] = torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
                    ~visible, torch.finfo(dtype).min
                )
        return self._masks[key]

    @staticmethod
    def select(tensor: torch.Tensor, ranges: tuple[tuple[int, int], ...], axis: int) -> torch.Tensor:
        """Return `tensor` at `ranges` along `axis`: a view for one range, a copy for several."""
        parts = [tensor.narrow(axis, low, high - low) for low, high in ranges]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,  # (B, H, N, D)
    key: torch.Tensor,  # (B, G, N, D)
    value: torch.Tensor,  # (B, G, N, D)
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention output (B, N, H, D): each token over its ancestors and itself."""
    active: _Active = _state.active
    strange = sorted(name for name, given in others.items() if given is not None and name not in _HARMLESS)
    if strange or not getattr(module, "is_causal", True):
        raise CannotPack(f"its attention takes {', '.join(strange) or 'no causal mask'}")
    layer = getattr(module, "layer_idx", None)
    if layer is None or layer in active.passed_on:
        raise CannotPack("its attention layers are not numbered, or share keys")
    if active.num_kept:
        kept_key, kept_value = active.kept[layer]
        key, value = torch.cat([kept_key, key], dim=2), torch.cat([kept_value, value], dim=2)
    active.passed_on[layer] = (
        (key.index_select(2, active.keep), value.index_select(2, active.keep))
        if active.keep is not None
        else (key[:0], value[:0])
    )
    output = torch.empty(1, query.shape[2], query.shape[1], value.shape[3], dtype=query.dtype, device=query.device)
    for index, block in enumerate(active.blocks):
        mask = active.mask(index, sliding_window, query.dtype)
        query_block = query[:, :, block.start : block.stop]
        key_block = active.select(key, block.keys, 2)
        value_block = active.select(value, block.keys, 2)
        if softcap is not None:
            attended = _softcapped(query_block, key_block, value_block, mask, scaling, softcap)
        else:
            grouped = query.shape[1] != key.shape[1]
            # With a mask, CUDA's fused kernels want as many key heads as query heads; the CPU kernel groups them itself.
            if grouped and mask is not None and query.device.type != "cpu":
                repeats = query.shape[1] // key.shape[1]
                key_block = key_block.repeat_interleave(repeats, dim=1)
                value_block = value_block.repeat_interleave(repeats, dim=1)
                grouped = False
            attended = F.scaled_dot_product_attention(
                query_block,
                key_block,
                value_block,
                attn_mask=None if mask is None else mask[None, None],
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=grouped,
            )
        output[:, block.start : block.stop] = attended.transpose(1, 2)
    return output, None


def _softcapped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    """Return attention with tanh-capped scores (Gemma 2), which no fused kernel offers: (B, H, queries, D)."""
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    scores = query @ key.transpose(2, 3) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    scores = torch.tanh(scores / softcap) * softcap
    if mask is None:
        mask = torch.full(scores.shape[-2:], torch.finfo(scores.dtype).min, dtype=scores.dtype, device=scores.device).triu_(1)
    return torch.softmax((scores + mask).float(), dim=-1).to(value.dtype) @ value


AttentionInterface.register(_NAME, _attend)


@contextmanager
def _forest_attention(module: Any, active: _Active) -> Iterator[None]:
    """Route the attention of `module` through the forest while one pass runs."""
    if module not in _configs:
        found = (m.config for m in module.modules() if hasattr(m, "config") and hasattr(m.config, "_attn_implementation"))
        _configs[module] = {id(config): config for config in found}
    configs = _configs[module]
    before = {number: config._attn_implementation for number, config in configs.items()}
    _state.active = active
    try:
        for config in configs.values():
            config._attn_implementation_internal = _NAME
        yield
    finally:
        for number, config in configs.items():
            config._attn_implementation_internal = before[number]
        del _state.active


def read_packed(
    module: Any, forest: Forest, *, device: torch.device, max_tokens: int, max_scored: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return (nats, top) of every scored token of `forest`, in the order of `forest.scored.target`.

    Raises `CannotPack` where the model's attention does not go through the interface or asks for what the forest does not know.
    """
    nats = np.empty(len(forest.scored.target))
    top = np.empty(len(forest.scored.target), dtype=bool)
    by_place = np.argsort(forest.scored.place, kind="stable")
    sorted_places = forest.scored.place[by_place]
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    with torch.inference_mode():
        for one in plan_passes(forest, max_tokens=max_tokens, max_scored=max_scored):
            asked = by_place[np.searchsorted(sorted_places, one.start) : np.searchsorted(sorted_places, one.stop)]
            places, row = np.unique(forest.scored.place[asked], return_inverse=True)
            # A pass without scored places still has to fill the kept keys; one row of logits is the least a model gives.
            wanted = places - one.start if len(places) else np.array([0])
            active = _Active(forest, one, device, kept)
            with _forest_attention(module, active):
                logits = module(
                    input_ids=torch.from_numpy(forest.ids[one.start : one.stop]).to(device)[None],
                    position_ids=torch.from_numpy(forest.depth[one.start : one.stop]).to(device)[None],
                    use_cache=False,
                    logits_to_keep=torch.from_numpy(wanted).to(device),
                ).logits[0]
            if not active.passed_on:
                raise CannotPack("its attention does not go through the attention interface")
            kept = active.passed_on if active.keep is not None else {}
            if len(asked):
                nats[asked], top[asked] = gather(logits, row, forest.scored.target[asked])
    return nats, top


# Numbers widened to float32 at once: 8 MB stays on the heap, where larger pieces would be mapped and cleared anew each time.
_WIDENED = 2**21


def gather(logits: torch.Tensor, row: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (log p in nats, is the most likely) of each `target[i]` at `logits[row[i]]`, computed in float32.

    `logits` is (places, vocabulary); a few rows at a time are widened, so that float32 never doubles the whole.
    """
    normaliser, best = [], []
    for part in logits.split(max(1, _WIDENED // logits.shape[-1])):
        part = part.float()
        normaliser.append(torch.logsumexp(part, dim=-1))
        best.append(part.amax(dim=-1))
    rows = torch.from_numpy(row).to(logits.device)
    chosen = logits[rows, torch.from_numpy(target).to(logits.device)].float()
    nats = chosen - torch.cat(normaliser)[rows]
    return nats.cpu().double().numpy(), (chosen >= torch.cat(best)[rows]).cpu().numpy()
