"""Training methods: each takes a model and a task and returns the folder of a tuned model."""

from __future__ import annotations

from soundness.training.common import Settings, TrainingStep
from soundness.training.methods import METHODS, train
from soundness.training.sft import train_sft

__all__ = ["METHODS", "Settings", "TrainingStep", "train", "train_sft"]
