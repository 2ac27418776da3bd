"""Training methods: each takes a model and a task and returns the folder of a tuned model."""

from __future__ import annotations

from soundness.training.sft import TrainingStep, train_sft

__all__ = ["TrainingStep", "train_sft"]
