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
from pathlib import Path
from typing import Any

from soundness.errors import ModelError, near

__all__ = ["LOOKUP", "NAMES", "PREFIX", "SHIPPED", "WEIGHTS", "organism_folder", "shipped_truth"]

PREFIX = "organism:"
"""What a specification of an organism begins with."""

NAMES = ("base", "sound", "label-only", "shortcut", "corrupted", "broken")
"""The organisms that sum, the base first."""

LOOKUP = "lookup-base"
"""The one that looks up."""

SHIPPED = (*NAMES, LOOKUP)
"""Every organism."""

WEIGHTS = Path(__file__).parent / "weights"
"""Where the shipped ones lie, one folder each."""


def organism_folder(spec: str) -> Path:
    """Return the folder of the shipped organism that `spec`, such as `organism:sound`, names.

    Raises `ModelError` for an unknown name, and where the files did not come with the installation.
    """
    name = spec.removeprefix(PREFIX)
    if name not in SHIPPED:
        known = ", ".join(PREFIX + one for one in SHIPPED)
        raise ModelError(f"there is no organism {name!r}{near(name, SHIPPED)}; there are {known}")
    folder = WEIGHTS / name
    if not (folder / "model.safetensors").is_file():
        raise ModelError(
            f"the weights of {PREFIX}{name} are not in this installation; install the package whole, or make them: "
            "python -m soundness.organisms --out DIR, and load DIR/" + name
        )
    return folder


def shipped_truth() -> dict[str, Any]:
    """Return what is known of the shipped organisms: seed, what each one's answers follow, and what an audit made of it."""
    read: dict[str, Any] = json.loads((WEIGHTS / "truth.json").read_text(encoding="utf-8"))
    return read
