"""Reading a forest without packed attention: branch by branch on copied caches, or probe by probe.

Slower and simpler than the packed reading; what models fall back to whose attention cannot be told who attends to whom, and what
the packed reading is tested against.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from soundness.models.packed import CannotPack, gather, scored_logits
from soundness.probes.forest import Forest

__all__ = ["read_cached", "read_plain"]

_LEAVES = 32
"""Branches without branches of their own that are read at once, each on its copy of the cache."""

_LOGITS = 2**26
"""Numbers of logits that exist at once: 256 MB in float32."""


class _Scores:
    """What has been read of a forest, and which places of it are still wanted."""

    def __init__(self, forest: Forest) -> None:
        self.forest = forest
        self.nats = np.empty(len(forest.scored.target))
        self.top = np.empty(len(forest.scored.target), dtype=bool)
        self._by_place = np.argsort(forest.scored.place, kind="stable")
        self._sorted = forest.scored.place[self._by_place]

    def asked(self, start: int, stop: int) -> np.ndarray:
        """Return the scored tokens whose layout place lies in [start, stop)."""
        return self._by_place[np.searchsorted(self._sorted, start) : np.searchsorted(self._sorted, stop)]

    def places(self, start: int, stop: int) -> np.ndarray:
        """Return the layout places in [start, stop) at which something is scored, ascending."""
        return np.unique(self.forest.scored.place[self.asked(start, stop)])

    def take(self, asked: np.ndarray, places: np.ndarray, logits: torch.Tensor) -> None:
        """Score `asked` by `logits`, (len(places), vocabulary), the logits at the ascending layout `places`."""
        row = np.searchsorted(places, self.forest.scored.place[asked])
        self.nats[asked], self.top[asked] = gather(logits, row, self.forest.scored.target[asked])


def read_cached(module: Any, forest: Forest, *, device: torch.device, pad: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return (nats, top) of every scored token: each shared stretch is run once and its cache copied at every branching point.

    Branches that end without branching are read together, right-padded, each row on its copy of the cache. Caches are copied,
    never cropped, so that sliding windows and recurrent states stay right. Trap: a cache that is used twice without a copy
    silently grows. Raises `CannotPack` where the model returns no cache.
    """
    scores = _Scores(forest)
    branches: dict[int, list[int]] = {}
    for number, path in enumerate(forest.paths):
        branches.setdefault(path.parent, []).append(number)

    def run(ids: np.ndarray, cache: Any, wanted: np.ndarray) -> tuple[torch.Tensor, Any]:
        """Return logits (rows, wanted, vocabulary) of rows of ids behind a cache, and the cache behind them."""
        keep = torch.from_numpy(wanted).to(device)
        output = module(input_ids=torch.from_numpy(ids).to(device), past_key_values=cache, use_cache=True, logits_to_keep=keep)
        behind = getattr(output, "past_key_values", None)
        if behind is None:
            raise CannotPack("it returns no cache of keys and values")
        logits = output.logits
        return (logits if logits.shape[1] == len(wanted) else logits[:, keep]), behind

    def walk(number: int, cache: Any) -> None:
        path = forest.paths[number]
        by_attach: dict[int, list[int]] = {}
        for branch in branches.get(number, []):
            by_attach.setdefault(forest.paths[branch].attach + 1, []).append(branch)
        start = path.start
        for stop in sorted({*by_attach, path.stop}):
            places = scores.places(start, stop)
            wanted = places - start if len(places) else np.array([stop - start - 1])
            logits, cache = run(forest.ids[None, start:stop], cache, wanted)
            if len(places):
                scores.take(scores.asked(start, stop), places, logits[0])
            leaves = [branch for branch in by_attach.get(stop, []) if branch not in branches]
            for first in range(0, len(leaves), _LEAVES):
                read_leaves(leaves[first : first + _LEAVES], cache)
            for branch in by_attach.get(stop, []):
                if branch in branches:
                    walk(branch, copy.deepcopy(cache))
            start = stop

    def read_leaves(leaves: list[int], cache: Any) -> None:
        paths = [forest.paths[number] for number in leaves]
        ids = np.full((len(paths), max(path.stop - path.start for path in paths)), pad, dtype=np.int64)
        for row, path in enumerate(paths):
            ids[row, : path.stop - path.start] = forest.ids[path.start : path.stop]
        wanted = np.unique(np.concatenate([scores.places(path.start, path.stop) - path.start for path in paths]))
        own = copy.deepcopy(cache)
        if len(paths) > 1:
            own.reorder_cache(torch.zeros(len(paths), dtype=torch.long, device=device))
        logits, _ = run(ids, own, wanted)
        for row, path in enumerate(paths):
            scores.take(scores.asked(path.start, path.stop), wanted + path.start, logits[row])

    with torch.inference_mode():
        for root in branches[-1]:
            walk(root, None)
    return scores.nats, scores.top


def read_plain(
    module: Any, forest: Forest, *, device: torch.device, batch_size: int = 8, pad: int = 0, virtual_tokens: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (nats, top) of every scored token: one right-padded row per leaf of the forest, nothing shared.

    Every token of the forest lies above some leaf, so reading the leaves' whole texts reads every probe. Logits are asked for
    where a row of the batch is scored; `virtual_tokens` are put in front of every row by the module itself.
    """
    scores = _Scores(forest)

    # The row of a path: the layout positions from its root to its last token. Every path ends in a leaf.
    rows: list[np.ndarray] = []
    for path in forest.paths:
        above = rows[path.parent] if path.parent >= 0 else np.empty(0, dtype=np.int64)
        length = int(forest.depth[path.start])
        rows.append(np.concatenate([above[:length], np.arange(path.start, path.stop)]))
    at_once = max(1, _LOGITS // _vocabulary(module))
    order = [number for number, path in enumerate(forest.paths) if len(scores.asked(path.start, path.stop))]
    order.sort(key=lambda number: len(rows[number]))
    with torch.inference_mode():
        first = 0
        while first < len(order):
            size = min(batch_size, len(order) - first)
            wanted = _depths(scores, order[first : first + size])
            while size > 1 and size * len(wanted) > at_once:
                size = (size + 1) // 2
                wanted = _depths(scores, order[first : first + size])
            batch = order[first : first + size]
            first += size
            ids = np.full((size, max(len(rows[number]) for number in batch)), pad, dtype=np.int64)
            mask = np.zeros_like(ids)
            for index, number in enumerate(batch):
                ids[index, : len(rows[number])] = forest.ids[rows[number]]
                mask[index, : len(rows[number])] = 1
            inputs = {
                "input_ids": torch.from_numpy(ids).to(device),
                "attention_mask": torch.from_numpy(mask).to(device),
                "use_cache": False,
            }
            # A single row with more scored places than logits may exist is run again for each part of them.
            for part in np.array_split(wanted, -(-len(wanted) * size // at_once)):
                logits = scored_logits(module, part, virtual_tokens=virtual_tokens, **inputs)
                for index, number in enumerate(batch):
                    path = forest.paths[number]  # each path scores the places that are its own
                    asked = scores.asked(path.start, path.stop)
                    here = forest.depth[forest.scored.place[asked]]
                    asked = asked[np.isin(here, part)]
                    if len(asked):
                        scores.take(asked, part + path.start - int(forest.depth[path.start]), logits[index])
    return scores.nats, scores.top


def _depths(scores: _Scores, numbers: list[int]) -> np.ndarray:
    """Return the depths at which paths score something of their own, ascending."""
    forest = scores.forest
    found = [forest.depth[scores.places(forest.paths[n].start, forest.paths[n].stop)] for n in numbers]
    return np.unique(np.concatenate(found))


def _vocabulary(module: Any) -> int:
    return int(module.config.get_text_config().vocab_size)
