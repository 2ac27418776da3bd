"""Which edits of one chain's reasoning an audit makes, and how many of each."""

from __future__ import annotations

import random
from collections.abc import Sequence

from soundness.interventions import Decode, Encode, NoEdit
from soundness.interventions.fill import fill_tail, fill_whole, filler_lengths
from soundness.interventions.mistake import eligible_steps, mistake
from soundness.interventions.shuffle import shuffle
from soundness.interventions.swap import swap
from soundness.records import Chain, Edit

__all__ = ["KINDS", "edit_body"]

KINDS = ("swap", "shuffle", "fill_tail", "fill_whole", "mistake_splice", "mistake_regenerate")
"""Every kind of edit that `edit_body` knows."""

# Each further point costs a tail to read (or to write): means over a few evenly spread points are as good a mean over problems.
_FILL_POINTS = 4
_SPLICED_MISTAKES = 3
_REGENERATED_MISTAKES = 2


def edit_body(
    body: Chain, pieces: Sequence[str], donor: Chain | None, encode: Encode, decode: Decode, *, seed: int, kinds: Sequence[str]
) -> dict[str, tuple[Edit | NoEdit, ...]]:
    """Return the edits of `body` by kind; a kind that this body does not allow holds a `NoEdit` with the reason.

    `mistake_regenerate` edits end with the spoiled step: the rest is for the writer to write.
    """
    edits: dict[str, tuple[Edit | NoEdit, ...]] = {}
    if not body.steps:
        return {kind: (NoEdit(kind, "no steps before the answer"),) for kind in kinds}
    if "swap" in kinds:
        edits["swap"] = (
            NoEdit("swap", "no other problem's chain with another answer") if donor is None else swap(body, donor),
        )
    if "shuffle" in kinds:
        edits["shuffle"] = (shuffle(body, pieces, encode, seed=seed),)
    if "fill_tail" in kinds:
        points = sorted({round(i * len(body.steps) / _FILL_POINTS) for i in range(_FILL_POINTS)})
        edits["fill_tail"] = tuple(fill_tail(body, point, pieces, encode, decode) for point in points)
    if "fill_whole" in kinds:
        lengths = [length for length in filler_lengths(len(body.ids), most=_FILL_POINTS + 1) if length]
        edits["fill_whole"] = tuple(fill_whole(body, encode, decode, length=length) for length in lengths)
    for kind, most in (("mistake_splice", _SPLICED_MISTAKES), ("mistake_regenerate", _REGENERATED_MISTAKES)):
        if kind in kinds:
            steps = eligible_steps(body, pieces)
            chosen = random.Random(f"{kind}/{seed}/{body.problem_id}/{body.sample}").sample(steps, min(most, len(steps)))
            keep_tail = kind == "mistake_splice"
            edits[kind] = tuple(
                mistake(body, step, pieces, encode, decode, seed=seed, keep_tail=keep_tail) for step in sorted(chosen)
            ) or (NoEdit(kind, "no number to change before the answer is stated"),)
    return edits
