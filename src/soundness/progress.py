"""What is told while work goes on."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "silent"]

Progress = Callable[[str, int, int], None]
"""Told (what is being done, how much of it is done, how much there is)."""


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""
