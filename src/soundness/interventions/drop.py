"""Leave one step out: was it needed, with all that follows still there?"""

from __future__ import annotations

from collections.abc import Sequence

from soundness.interventions import NoEdit, check_step
from soundness.interventions.base import EditKind, Supplies, spread
from soundness.records import Chain, Edit

__all__ = ["DROP", "drop"]

_MOST = 6
"""Steps left out, evenly spread: each costs a tail to read, and a mean over a few is as good a mean over problems."""


def drop(chain: Chain, step: int, pieces: Sequence[str]) -> Edit | NoEdit:
    """Return the chain without `step`, everything else kept; `NoEdit` where the chain has no steps.

    Raises `SettingError` for a step that is not there.
    """
    if not chain.steps:
        return NoEdit("drop", "the chain has no steps")
    check_step(chain, step, len(chain.steps))
    start, stop = chain.steps[step]
    return Edit(
        kind="drop",
        ids=chain.ids[:start] + chain.ids[stop:],
        step=step,
        before="".join(pieces[start:stop]),
        after="",
        note=f"step {step} of {len(chain.steps)}, {stop - start} tokens",
    )


def _make(body: Chain, supplies: Supplies) -> list[Edit | NoEdit]:
    return [drop(body, step, supplies.pieces) for step in spread(0, len(body.steps), _MOST)]


DROP = EditKind("drop", _make)
"""Single steps left out, up to six."""
