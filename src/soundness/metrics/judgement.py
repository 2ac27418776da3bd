"""What was found out about one step's claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Judgement"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether one step states a true fact."""

    step: int
    """Index of the step."""
    word: Literal["true", "false", "none", "missing"]
    """`none` where the step states no fact, `missing` where the judge gave nothing that could be read."""
    raw: str = ""
    """What the judge wrote, untouched; empty where no judge was needed."""
    evidence: tuple[str, ...] = ()
    """What it was held against."""
