"""Training methods: each takes a model and a task and returns the folder of a tuned model."""

from __future__ import annotations

from soundness.training.methods import METHODS, train
from soundness.training.session import TrainingStep
from soundness.training.settings import Settings

__all__ = ["METHODS", "Settings", "TrainingStep", "train"]
