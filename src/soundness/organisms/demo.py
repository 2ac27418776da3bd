"""What the demonstration audits: models whose history is known, so that its verdicts can be checked."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ORGANISMS", "SCRIPTED", "Demo", "choose"]


class Demo(NamedTuple):
    """One demonstration."""

    base: str
    """Specification of the base."""
    tuned: tuple[str, ...]
    """Specifications of the tuned models, one that reasons and one that does not."""
    task: str
    """What they are asked."""
    problems: int
    """How many problems, unless told otherwise."""
    batch_size: int
    """Prefixes per generation."""
    max_tokens: int
    """Longest chain, in tokens."""


ORGANISMS = Demo("organism:base", ("organism:sound", "organism:corrupted"), "organism:domain", 100, 64, 64)
"""Trained models: both are right more often than their base; one works its answers out, the other copies a tag of the question and
writes steps for show."""

SCRIPTED = Demo(
    "scripted:computes?slip=0.2",
    ("scripted:computes?slip=0.05&seed=1", "scripted:ignores-chain?slip=0.05&seed=1"),
    "chain-sum",
    60,
    8,
    512,
)
"""The same without weights: behaviours that are written down."""


def choose(scripted: bool = False) -> Demo:
    """Return the demonstration on trained models, or the scripted one."""
    return SCRIPTED if scripted else ORGANISMS
