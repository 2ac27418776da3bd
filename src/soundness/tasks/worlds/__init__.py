"""Made-up domains whose every true step is known: nothing in them can have been learned by heart."""

from __future__ import annotations

from collections.abc import Callable

from soundness.tasks.base import Task
from soundness.tasks.worlds import chain_sum, closed_book, lookup, tagged_sum

__all__ = ["WORLDS"]

WORLDS: dict[str, Callable[..., Task]] = {
    "chain-sum": chain_sum.generate,
    "lookup": lookup.generate,
    "organism:general": tagged_sum.general,
    "organism:domain": tagged_sum.domain,
    "organism:lookup": closed_book.generate,
}
"""World name -> function of (n, seed, and the world's own whole-number options) that returns its task."""
