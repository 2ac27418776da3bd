"""What we ask: problems from files, data sets and made-up worlds, and how answers are graded."""

from __future__ import annotations

from soundness.tasks.base import Task, load_task

__all__ = ["Task", "load_task"]
