"""What the demonstration audits: models whose history is known, so that its verdicts can be checked."""

from __future__ import annotations

__all__ = ["BASE", "TASK", "TUNED"]

TASK = "chain-sum"
"""Sums and differences modulo ten, with written steps."""

BASE = "scripted:computes?slip=0.2"
"""Its answer follows from the steps that it writes, and one chain in five has a slip."""

TUNED = ("scripted:computes?slip=0.05&seed=1", "scripted:ignores-chain?slip=0.05&seed=1")
"""Both are right more often; the first still computes, the second answers from the question and writes steps for show."""
