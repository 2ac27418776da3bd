"""Put random text in place of a chain: as long, of the same words, and about nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from soundness.interventions import Decode, NoEdit
from soundness.interventions.base import EditKind, Supplies, Supply
from soundness.records import Chain, Edit

__all__ = ["RANDOM_TEXT", "random_text"]


def random_text(chain: Chain, words: Sequence[int], decode: Decode, *, seed: int) -> Edit | NoEdit:
    """Return as many random ids of `words` (ids of the writer's other chains) as the chain has.

    The draw depends on seed, problem id and sample alone. `NoEdit` where there are no words to draw from.
    """
    if not words:
        return NoEdit("random_text", "no other chain to draw words from")
    rng = random.Random(f"random_text/{seed}/{chain.problem_id}/{chain.sample}")
    ids = tuple(rng.choice(words) for _ in chain.ids)
    return Edit("random_text", ids, None, chain.text, decode(ids), f"{len(ids)} random tokens; seed {seed}")


def _make(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    return [random_text(body, supplies.words, supplies.decode, seed=supplies.seed)]


RANDOM_TEXT = EditKind("random_text", _make, frozenset({Supply.WORDS}))
"""Random words in place of the whole chain."""
