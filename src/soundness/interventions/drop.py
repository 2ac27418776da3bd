"""Leave one step out: was it needed, with all that follows still there?"""

from __future__ import annotations

from collections.abc import Sequence

from soundness.interventions import NoEdit, check_step
from soundness.records import Chain, Edit

__all__ = ["drop"]


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
