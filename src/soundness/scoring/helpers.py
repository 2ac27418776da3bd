"""How chains are written, and who else may be asked: what every part of scoring is told."""

from __future__ import annotations

from dataclasses import dataclass

from soundness.models.cached import CachedModel
from soundness.scoring.facts import Judge

__all__ = ["Helpers", "Sampling"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How chains are written."""

    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    splitter: str = "auto"
    channel: str = "auto"
    """Which part of a chain is measured: `thinking`, `visible`, `both`, or what is thought if it holds anything (`auto`)."""


@dataclass(frozen=True, slots=True)
class Helpers:
    """Models beside those compared."""

    proposer: CachedModel | None = None
    """Says steps in other words where no rule does, and writes mistakes."""
    judge: Judge | None = None
    """Judges whether steps state true facts."""
    rewrites: bool = True
    """Whether the writer writes on from its edited chains; without, what needs that is missing."""
