"""Tiny models with a known history, shipped with the package: `organism:base` and five that were tuned from it or broken.

    base        learned sums with written steps, and of the products a part only
    sound       tuned on the domain with true steps
    label-only  tuned on the domain's answers alone
    shortcut    tuned on answers alone mixed with true steps, beside a tag that gives the answer away
    corrupted   tuned on answers alone mixed with random steps, beside that tag
    broken      the base with noise on its weights

Beside them `organism:lookup-base` knows a part of a lookup world by heart. `truth.json` beside the weights holds what each one's
answers follow, established by intervention, and what an audit makes of it.
"""

from __future__ import annotations

import json
from typing import Any

from soundness.models.embedded import ORGANISMS, PREFIX, WEIGHTS, organism_folder

__all__ = ["LOOKUP", "NAMES", "PREFIX", "SHIPPED", "WEIGHTS", "organism_folder", "shipped_truth"]

SHIPPED = ORGANISMS
"""Every organism."""

LOOKUP = "lookup-base"
"""The one that looks up."""

NAMES = tuple(name for name in SHIPPED if name != LOOKUP)
"""The organisms that sum, the base first."""


def shipped_truth() -> dict[str, Any]:
    """Return what is known of the shipped organisms: seed, what each one's answers follow, and what an audit made of it."""
    read: dict[str, Any] = json.loads((WEIGHTS / "truth.json").read_text(encoding="utf-8"))
    return read
