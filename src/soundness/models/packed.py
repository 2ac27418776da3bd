"""Reading a forest of probes in packed passes: each token attends to its ancestors, each token is computed once.

transformers lets a model's attention be swapped by name. While a pass runs, the model's own layers (projections, rotary
positions, norms, adapters) work as always on one sequence that holds all tokens, with the depth of a token as its position; only
the question who attends to whom is answered here, block by block, so that a long trunk runs through the causal kernel and short
answers share one small mask.

Legend. B batch (always 1), H query heads, G key heads, N tokens of the pass, M tokens seen (kept + own), D head width.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from soundness.probes.forest import Block, Forest, Pass, plan_passes

__all__ = ["CannotPack", "gather", "read_packed", "scored_logits"]

_NAME = "soundness_forest"
_HARMLESS = {
    "position_ids",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "output_router_logits",
    "cache_position",
    "return_dict",
    "is_causal",
}
"""What models hand to their attention without changing what it computes: who attends to whom stands in the mask that is asked for."""

_FAR = 2**20
"""A position beyond every window, at which a mask is looked at."""

_SINK_WIDTH = 8
"""Numbers by which queries and keys grow for an attention sink: two are needed, fused kernels want a multiple of eight."""

_QUERIES = 512
"""Queries of one path that are attended at once where no causal kernel serves; bounds masks and scores to so many rows."""

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
        self.asked: dict[int, int | CannotPack | None] = {}
        """Storage of a mask that the model was given -> the window that it asked for, or why the forest cannot serve it."""
        self.masks: list[torch.Tensor] = []  # held, so that no storage is used twice
        self.enter_M = torch.from_numpy(forest.enter[seen]).to(device)
        self.end_M = torch.from_numpy(forest.end[seen]).to(device)
        self.depth_M = torch.from_numpy(forest.depth[seen]).to(device)
        self._parts: dict[tuple[int | None, bool], list[_Part]] = {}

    def parts(self, window: int | None, dtype: torch.dtype, *, cut: bool) -> list[_Part]:
        """Return what is attended at once, in order; paths longer than the window, or all where `cut`, in pieces."""
        key = (window, cut)
        if key not in self._parts:
            self._parts[key] = [part for block in self.blocks for part in self._of(block, window, dtype, cut)]
        return self._parts[key]

    def _of(self, block: Block, window: int | None, dtype: torch.dtype, cut: bool) -> Iterator[_Part]:
        length = block.stop - block.start
        if block.causal and not cut and (window is None or length <= window):
            yield _Part(block.start, block.stop, block.keys, None)
            return
        if not block.causal or length <= _QUERIES:
            yield _Part(block.start, block.stop, block.keys, self._mask(block.start, block.stop, block.keys, window, dtype))
            return
        ((first, _),) = block.keys  # of a causal block: its own tokens
        for start in range(block.start, block.stop, _QUERIES):
            stop = min(start + _QUERIES, block.stop)
            low = 0 if window is None else max(0, start - block.start - window + 1)
            keys = ((first + low, first + stop - block.start),)
            yield _Part(start, stop, keys, self._mask(start, stop, keys, window, dtype))

    def _mask(
        self, start: int, stop: int, keys: tuple[tuple[int, int], ...], window: int | None, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return the additive mask (queries, keys) of the pass's tokens [start, stop)."""
        query = slice(start + self.num_kept, stop + self.num_kept)
        enter, end, depth = (select(t, keys, 0) for t in (self.enter_M, self.end_M, self.depth_M))
        below = self.enter_M[query, None]
        visible = (enter <= below) & (below < end)
        if window is not None:
            visible &= depth > self.depth_M[query, None] - window
        return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(~visible, torch.finfo(dtype).min)


@dataclass(frozen=True, slots=True)
class _Part:
    """Queries that are attended at once: tokens [start, stop) of the pass, over ranges of (kept + own) tokens."""

    start: int
    stop: int
    keys: tuple[tuple[int, int], ...]
    mask: torch.Tensor | None  # additive, (queries, keys); None where the causal kernel needs none


def select(tensor: torch.Tensor, ranges: tuple[tuple[int, int], ...], axis: int) -> torch.Tensor:
    """Return `tensor` at `ranges` along `axis`: a view for one range, a copy for several."""
    parts = [tensor.narrow(axis, low, high - low) for low, high in ranges]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis)


def _note_mask(
    *, batch_size: int, q_length: int, kv_length: int, mask_function: Callable[..., Any], device: Any = None, **others: Any
) -> torch.Tensor:
    """Return a mask that says nothing itself, and note which one the model asked for.

    Models hand what is returned here to their attention, some of it to some layers: so each layer says what it may see. A mask
    that is changed on the way is a new tensor, and not known there.
    """
    active: _Active = _state.active
    mask = torch.ones((), dtype=torch.bool, device=device).expand(batch_size, 1, q_length, kv_length)
    active.masks.append(mask)
    try:
        asked: int | CannotPack | None = window_of(mask_function)
    except CannotPack as error:  # models make masks that no layer of theirs uses
        asked = error
    active.asked[mask.untyped_storage().data_ptr()] = asked
    return mask


def window_of(mask_function: Callable[..., Any]) -> int | None:
    """Return the window of a causal mask, in tokens, the own one included; None where all that comes before is seen.

    `mask_function(batch, head, query, key)` says of tensors of positions whether the query sees the key. Raises `CannotPack` for
    any other pattern: chunks, prefixes seen both ways, masks that look at more than two positions.
    """
    zero = torch.zeros((), dtype=torch.long)

    def sees(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(mask_function(zero, zero, query, key)).expand(query.shape)

    try:
        window = None
        if not sees(torch.tensor(_FAR), torch.tensor(0)):
            low, high = 0, _FAR  # a key `low` behind is seen, one `high` behind is not
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if sees(torch.tensor(_FAR), torch.tensor(_FAR - middle)) else (low, middle)
            window = high
        # Small positions in full, large ones here and there and at the window's edge.
        query, key = (t.flatten() for t in torch.meshgrid(torch.arange(40), torch.arange(40), indexing="ij"))
        edge = window or 1
        far = torch.arange(1, 4096, 37).repeat(4) + edge
        behind = torch.cat([torch.full((len(far) // 4,), d) for d in (-1, 0, edge - 1, edge)])
        query, key = torch.cat([query, far]), torch.cat([key, far - behind])
        wanted = key <= query if window is None else (key <= query) & (query - key < window)
        holds = bool(torch.equal(sees(query, key), wanted))
    except Exception as error:  # a mask that looks into tensors of its own fails in its own way
        raise CannotPack(f"its mask depends on more than positions ({type(error).__name__})") from error
    if not holds:
        raise CannotPack("its mask is neither causal nor a window, as with attention in chunks")
    return window


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
    s_aux: torch.Tensor | None = None,  # (H,): a score that takes its share and gives nothing
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention output (B, N, H, D): each token over its ancestors and itself."""
    active: _Active = _state.active
    strange = sorted(
        name for name, given in others.items() if given is not None and given is not False and name not in _HARMLESS
    )
    if strange or not getattr(module, "is_causal", True):
        raise CannotPack(f"its attention takes {', '.join(strange) or 'no causal mask'}")
    asked = None if attention_mask is None else attention_mask.untyped_storage().data_ptr()
    if asked not in active.asked:
        raise CannotPack("its attention is given another mask than the one that was made for it")
    window = active.asked[asked]
    if isinstance(window, CannotPack):
        raise window
    if sliding_window is not None and window != sliding_window:
        raise CannotPack(f"its attention names a window of {sliding_window} and its mask one of {window}")
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
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    for part in active.parts(window, query.dtype, cut=softcap is not None):
        query_part = query[:, :, part.start : part.stop]
        key_part, value_part = select(key, part.keys, 2), select(value, part.keys, 2)
        if softcap is not None:
            if s_aux is not None:
                raise CannotPack("its attention has both capped scores and sinks")
            attended = _softcapped(query_part, key_part, value_part, part.mask, scaling, softcap)
        elif s_aux is not None:
            attended = _with_sink(query_part, key_part, value_part, part.mask, scaling, s_aux)
        else:
            attended = _attend_part(query_part, key_part, value_part, part.mask, scaling)
        output[:, part.start : part.stop] = attended.transpose(1, 2)
    return output, None


def _attend_part(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """Return plain attention, (B, H, queries, D); without a mask, query i sees the keys up to i."""
    grouped = query.shape[1] != key.shape[1]
    # With a mask, CUDA's fused kernels want as many key heads as query heads; the CPU kernel groups them itself.
    if grouped and mask is not None and query.device.type != "cpu":
        repeats = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
        grouped = False
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=None if mask is None else mask[None, None],
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=grouped,
    )


def _with_sink(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    sink: torch.Tensor,
) -> torch.Tensor:
    """Return attention in which a score per head takes part in the softmax and has no value (gpt-oss): (B, H, queries, D).

    The sink is one key more, in front. Queries carry its score in two numbers more, high and low part, so that 16 bits hold it
    exactly enough; the key's two numbers are 1 and those of all other keys 0. So fused kernels and grouped heads serve as ever.
    """
    _, heads, queries, width = query.shape
    score = (sink.float() / scaling).to(query.device)
    high = score.to(query.dtype)
    wider = query.new_zeros(1, heads, queries, width + _SINK_WIDTH)
    wider[..., :width] = query
    wider[..., width] = high[:, None]
    wider[..., width + 1] = (score - high.float()).to(query.dtype)[:, None]
    keys = F.pad(key, (0, _SINK_WIDTH, 1, 0))
    keys[:, :, 0, width : width + 2] = 1
    values = F.pad(value, (0, _SINK_WIDTH, 1, 0))
    if mask is None:  # a query in front as well, so that the causal kernel's query i + 1 sees the sink and the keys up to i
        attended = _attend_part(F.pad(wider, (0, 0, 1, 0)), keys, values, None, scaling)[:, :, 1:]
    else:
        attended = _attend_part(wider, keys, values, F.pad(mask, (1, 0)), scaling)
    return attended[..., : value.shape[-1]]


def _softcapped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    softcap: float,
) -> torch.Tensor:
    """Return attention with tanh-capped scores (Gemma 2), which no fused kernel offers: (B, H, queries, D)."""
    assert mask is not None
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    scores = torch.tanh(query @ key.transpose(2, 3) * (scaling / softcap)) * softcap
    return torch.softmax((scores + mask).float(), dim=-1).to(value.dtype) @ value


AttentionInterface.register(_NAME, _attend)
AttentionMaskInterface.register(_NAME, _note_mask)


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
    num_layers = int(module.config.get_text_config().num_hidden_layers)
    kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    with torch.inference_mode():
        for one in plan_passes(forest, max_tokens=max_tokens, max_scored=max_scored):
            asked = by_place[np.searchsorted(sorted_places, one.start) : np.searchsorted(sorted_places, one.stop)]
            places, row = np.unique(forest.scored.place[asked], return_inverse=True)
            # A pass without scored places still has to fill the kept keys; one row of logits is the least a model gives.
            wanted = places - one.start if len(places) else np.array([0])
            active = _Active(forest, one, device, kept)
            ids = torch.from_numpy(forest.ids[one.start : one.stop]).to(device)[None]
            with _forest_attention(module, active):
                logits = scored_logits(
                    module,
                    wanted,
                    input_ids=ids,
                    position_ids=torch.from_numpy(forest.depth[one.start : one.stop]).to(device)[None],
                    # All of them: without a mask, jumps of the positions would be taken for several texts in a row.
                    attention_mask=torch.ones_like(ids),
                    use_cache=False,
                )[0]
            if len(active.passed_on) < num_layers:
                raise CannotPack(f"{len(active.passed_on)} of its {num_layers} layers attend through the attention interface")
            kept = active.passed_on if active.keep is not None else {}
            if len(asked):
                nats[asked], top[asked] = gather(logits, row, forest.scored.target[asked])
    return nats, top


def scored_logits(module: Any, places: np.ndarray, *, virtual_tokens: int = 0, **inputs: Any) -> torch.Tensor:
    """Return the logits (rows, places, vocabulary) of one call at `places` of its input, `virtual_tokens` in front not counted."""
    length = inputs["input_ids"].shape[1] + virtual_tokens
    keep = torch.from_numpy(places + virtual_tokens).to(inputs["input_ids"].device)
    logits: torch.Tensor = module(**inputs, logits_to_keep=keep).logits
    if logits.shape[1] == len(places):
        return logits
    if logits.shape[1] == length:  # a model that does not know what to keep gives all
        return logits[:, keep]
    raise CannotPack(f"it gives {logits.shape[1]} rows of logits where {len(places)} were asked")


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
