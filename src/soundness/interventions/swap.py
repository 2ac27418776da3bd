"""Put another problem's chain in place of a chain: a null that is fluent, on task and beside the point."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice

from soundness.chains.steps import answer_key
from soundness.errors import SettingError
from soundness.interventions import NoEdit
from soundness.interventions.base import EditKind, Supplies, Supply
from soundness.records import Chain, Edit

__all__ = ["SWAP", "donors", "swap"]

NEAREST = 5
"""The donor is drawn from this many candidates nearest in length."""

_RANKS = 1 << 64

Ranked = tuple[int, Chain]


def _rank(seed: int, chain: Chain) -> int:
    """Return the chain's place in a random order fixed by the seed, from 0 to 2**64 - 1."""
    key = f"swap/{seed}/{chain.problem_id}/{chain.sample}".encode()
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def _answers(chain: Chain, answers: Mapping[str, str | None]) -> frozenset[str]:
    """Return the normalised answers that bear on a chain: its problem's reference and its own."""
    known = (answers.get(chain.problem_id), chain.answer)
    return frozenset(answer_key(answer) for answer in known if answer is not None)


def _by_distance(chain: Chain, rank: int, buckets: Mapping[int, Sequence[Ranked]], lengths: Sequence[int]) -> Iterator[Chain]:
    """Yield all chains, nearest in length first; those equally near in an order that differs from chain to chain."""
    own = len(chain.ids)
    right = bisect_left(lengths, own)
    left = right - 1
    while left >= 0 or right < len(lengths):
        below = own - lengths[left] if left >= 0 else None
        above = lengths[right] - own if right < len(lengths) else None
        near = []
        if above is not None and (below is None or above <= below):
            near.append(buckets[lengths[right]])
            right += 1
        if below is not None and (above is None or below <= above):
            near.append(buckets[lengths[left]])
            left -= 1
        if len(near) == 1:  # already in order of rank: go round once, starting behind our own
            bucket = near[0]
            start = bisect_left(bucket, rank, key=lambda item: item[0])
            yield from (bucket[(start + place) % len(bucket)][1] for place in range(len(bucket)))
        else:
            together = [item for bucket in near for item in bucket]
            yield from (item[1] for item in sorted(together, key=lambda item: (item[0] - rank) % _RANKS))


def donors(chains: Sequence[Chain], *, seed: int, answers: Mapping[str, str | None]) -> dict[tuple[str, int], Chain | None]:
    """Return for each chain, by (problem id, sample), the chain of another problem that may stand in for it.

    `chains` are those of one writer; `answers` maps problem ids to reference answers. A donor is drawn from the `NEAREST`
    chains closest in tokens that belong to another problem, are not empty, and whose reference and own answer both differ from
    this chain's two. None where there is no such chain, or where a chain has neither answer, so that nothing says what would
    differ. Depends on the set of chains and the seed, not on their order. Raises `SettingError` where two chains share problem
    and sample.
    """
    ranked = sorted(((_rank(seed, chain), chain) for chain in chains), key=lambda item: (item[0], item[1].problem_id))
    known = {(chain.problem_id, chain.sample): _answers(chain, answers) for chain in chains}
    if len(known) != len(chains):
        raise SettingError(
            f"one chain per problem and sample is needed, and {len(chains)} chains have {len(known)} of these: "
            "pass the chains of one writer at a time"
        )
    buckets: dict[int, list[Ranked]] = {}
    for item in ranked:
        if item[1].ids and known[item[1].problem_id, item[1].sample]:
            buckets.setdefault(len(item[1].ids), []).append(item)
    lengths = sorted(buckets)

    found: dict[tuple[str, int], Chain | None] = {}
    for chain in chains:
        key = (chain.problem_id, chain.sample)
        own = known[key]
        fitting = (
            other
            for other in _by_distance(chain, _rank(seed, chain), buckets, lengths)
            if own and other.problem_id != chain.problem_id and own.isdisjoint(known[other.problem_id, other.sample])
        )
        near = list(islice(fitting, NEAREST))
        rng = random.Random(f"swap/{seed}/{chain.problem_id}/{chain.sample}")
        found[key] = rng.choice(near) if near else None
    return found


def swap(chain: Chain, donor: Chain) -> Edit:
    """Return the donor's chain in place of `chain`. Both must be written in one vocabulary."""
    return Edit(
        kind="swap",
        ids=donor.ids,
        step=None,
        before=chain.text,
        after=donor.text,
        note=f"chain of problem {donor.problem_id!r}, sample {donor.sample}: {len(donor.ids)} tokens for {len(chain.ids)}",
    )


def _make(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    if supplies.donor is None:
        return [NoEdit("swap", "no other problem's chain with another answer")]
    return [swap(body, supplies.donor)]


SWAP = EditKind("swap", _make, frozenset({Supply.DONOR}))
"""Another problem's chain in place of this one."""
