"""Cut a chain short: what does the model believe before the rest is written?"""

from __future__ import annotations

from collections.abc import Sequence

from soundness.interventions import check_step
from soundness.records import Chain, Edit

__all__ = ["truncate"]


def truncate(chain: Chain, num_steps: int, pieces: Sequence[str]) -> Edit:
    """Return the chain's first `num_steps` steps, 0 to all of them.

    Raises `SettingError` where the chain has fewer.
    """
    check_step(chain, num_steps, len(chain.steps) + 1)
    kept = chain.before(num_steps)
    return Edit(
        kind="truncate",
        ids=kept,
        step=num_steps if 0 < num_steps < len(chain.steps) else None,
        before="".join(pieces[len(kept) :]),
        after="",
        note=f"{num_steps} of {len(chain.steps)} steps kept",
    )
