from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from soundness.chains.sample import sample_chains
from soundness.examination import Examination, Helpers, Sampling, examine
from soundness.metrics import FAMILIES
from soundness.models.base import Model
from soundness.models.scripted import load_scripted
from soundness.runs.recorded import Recorded
from soundness.runs.store import Store
from soundness.tasks.base import Task, load_task

Planted = Callable[..., Examination]


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """Return what a planted model makes of its own chains, for the families named."""
    count = iter(range(1000))

    def run(
        model: str | Model,
        task: str | Task,
        families: Sequence[str],
        *,
        limit: int = 6,
        samples: int = 1,
        temperature: float = 0.0,
        helpers: Helpers | None = None,
    ) -> Examination:
        writer = load_scripted(model) if isinstance(model, str) else model
        loaded = load_task(task, limit=limit) if isinstance(task, str) else task
        with Store(tmp_path / f"store{next(count)}.sqlite") as store:
            scribe = Recorded(writer, store)
            sampling = Sampling(temperature=temperature)
            chains = sample_chains(writer, loaded, samples=samples, temperature=temperature, generate=scribe.generate)
            chosen = [FAMILIES[name] for name in families]
            return examine(chains, loaded, chosen, scribe, role="self", sampling=sampling, helpers=helpers)

    return run


@pytest.fixture
def values() -> Callable[[Examination, str], list[float | None]]:
    """Return every value of one metric, in order."""
    return lambda found, metric: [score.value for score in found.scores if score.metric == metric]
