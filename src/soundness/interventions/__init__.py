"""What if the chain were different: pure edits of a chain's token ids.

Legend, for every file here: `pieces` is one string per id of the chain (`model.pieces(chain.ids)`), `encode` turns a fragment
of text into ids, `decode` ids into text. What an edit leaves alone keeps its generated ids; only new text is encoded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from soundness.errors import SettingError
from soundness.records import Chain

__all__ = ["NO_STEPS", "Decode", "Encode", "NoEdit", "check_step"]

NO_STEPS = "no steps before the answer"

Encode = Callable[[str], Sequence[int]]
"""Text to ids, nothing added."""

Decode = Callable[[Sequence[int]], str]
"""Ids to text."""


@dataclass(frozen=True, slots=True)
class NoEdit:
    """An intervention that this chain does not allow."""

    kind: str
    """Name of the intervention."""
    reason: str
    """Why it cannot be made, in a few words."""


def check_step(chain: Chain, step: int, limit: int) -> None:
    """Raise `SettingError` unless `0 <= step < limit`."""
    if not 0 <= step < limit:
        raise SettingError(
            f"step {step} of the chain for problem {chain.problem_id!r} was asked for, and its {len(chain.steps)} steps "
            f"allow 0 to {limit - 1}"
        )
