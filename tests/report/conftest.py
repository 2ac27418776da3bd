from __future__ import annotations

import pytest

from soundness.audit import audit
from soundness.models.scripted import load_scripted
from soundness.tasks.base import load_task

BASE = "computes?slip=0.2"
TUNED = ("computes?slip=0.05&seed=1", "ignores-chain?slip=0.05&seed=1")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """An audit of two tuned models: one still computes, one ignores its chain."""
    models = [load_scripted(name) for name in (BASE, *TUNED)]
    with audit(
        models[0],
        models[1:],
        load_task("chain-sum", limit=24, seed=0),
        out=tmp_path_factory.mktemp("report") / "run",
        metrics=["info_gain", "early_answering", "filler", "swap", "mistake", "forced_accuracy"],
    ) as made:
        pass
    return made


@pytest.fixture(scope="session")
def sampled_run(tmp_path_factory):
    """An audit with four samples a problem."""
    models = [load_scripted(name) for name in ("computes?slip=0.3", "ignores-chain?slip=0.1&seed=1")]
    with audit(
        models[0],
        models[1:],
        load_task("chain-sum", limit=12, seed=0),
        out=tmp_path_factory.mktemp("sampled") / "run",
        samples=4,
        metrics=["info_gain"],
    ) as made:
        pass
    return made
