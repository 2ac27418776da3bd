"""Reading a forest without packed attention: branch by branch on copied caches, or probe by probe.

Slower and simpler than the packed reading; what models fall back to whose attention cannot be told who attends to whom, and what
the packed reading is tested against.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from soundness.models.packed import CannotPack, gather
from soundness.probes.forest import Forest

__all__ = ["read_cached", "read_plain"]


def read_cached(module: Any, forest: Forest, *, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Return (nats, top) of every scored token: each shared stretch is run once and its cache copied at every branching point.

    The cache is copied, never cropped, so that sliding windows and recurrent states stay right. Trap: a cache that is used twice
    without a copy silently grows. Raises `CannotPack` where the model returns no cache.
    """
    nats = np.empty(len(forest.scored.target))
    top = np.empty(len(forest.scored.target), dtype=bool)
    by_place = np.argsort(forest.scored.place, kind="stable")
    sorted_places = forest.scored.place[by_place]
    branches: dict[int, list[int]] = {}
    for number, path in enumerate(forest.paths):
        branches.setdefault(path.parent, []).append(number)

    def walk(number: int, cache: Any) -> None:
        path = forest.paths[number]
        by_attach: dict[int, list[int]] = {}
        for branch in branches.get(number, []):
            by_attach.setdefault(forest.paths[branch].attach + 1, []).append(branch)
        start = path.start
        for stop in sorted({*by_attach, path.stop}):
            asked = by_place[np.searchsorted(sorted_places, start) : np.searchsorted(sorted_places, stop)]
            places, row = np.unique(forest.scored.place[asked], return_inverse=True)
            wanted = places - start if len(places) else np.array([stop - start - 1])
            output = module(
                input_ids=torch.from_numpy(forest.ids[start:stop]).to(device)[None],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=torch.from_numpy(wanted).to(device),
            )
            cache = getattr(output, "past_key_values", None)
            if cache is None:
                raise CannotPack("it returns no cache of keys and values")
            if len(asked):
                nats[asked], top[asked] = gather(output.logits[0], row, forest.scored.target[asked])
            for branch in by_attach.get(stop, []):
                walk(branch, copy.deepcopy(cache))
            start = stop

    with torch.inference_mode():
        for root in branches[-1]:
            walk(root, None)
    return nats, top


def read_plain(
    module: Any, forest: Forest, *, device: torch.device, batch_size: int = 8, pad: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return (nats, top) of every scored token: one right-padded row per leaf of the forest, nothing shared.

    Every token of the forest lies above some leaf, so reading the leaves' whole texts reads every probe.
    """
    nats = np.empty(len(forest.scored.target))
    top = np.empty(len(forest.scored.target), dtype=bool)
    by_place = np.argsort(forest.scored.place, kind="stable")
    sorted_places = forest.scored.place[by_place]

    # The row of a path: the layout positions from its root to its last token. Every path ends in a leaf.
    rows: list[np.ndarray] = []
    for path in forest.paths:
        above = rows[path.parent] if path.parent >= 0 else np.empty(0, dtype=np.int64)
        length = int(forest.depth[path.start])
        rows.append(np.concatenate([above[:length], np.arange(path.start, path.stop)]))
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    with torch.inference_mode():
        for first in range(0, len(order), batch_size):
            batch = order[first : first + batch_size]
            longest = max(len(rows[number]) for number in batch)
            ids = np.full((len(batch), longest), pad, dtype=np.int64)
            mask = np.zeros((len(batch), longest), dtype=np.int64)
            for index, number in enumerate(batch):
                ids[index, : len(rows[number])] = forest.ids[rows[number]]
                mask[index, : len(rows[number])] = 1
            logits = module(
                input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(mask).to(device), use_cache=False
            ).logits
            added = logits.shape[1] - longest  # an adapter's virtual tokens stand in front
            for index, number in enumerate(batch):
                path = forest.paths[number]  # each path scores the places that are its own
                asked = by_place[np.searchsorted(sorted_places, path.start) : np.searchsorted(sorted_places, path.stop)]
                if len(asked):
                    place = forest.depth[forest.scored.place[asked]] + added
                    nats[asked], top[asked] = gather(logits[index], place, forest.scored.target[asked])
    return nats, top
