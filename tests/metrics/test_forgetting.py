from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from soundness.chains.sample import sample_chains
from soundness.metrics.base import Job, Measured
from soundness.metrics.forgetting import Forgetting, Transfer
from soundness.models.base import Model
from soundness.models.cached import CachedModel
from soundness.models.scripted import ScriptedModel
from soundness.models.store import Store
from soundness.records import Chain, Problem
from soundness.tasks.base import Task, load_task
from soundness.tasks.panel import PanelTask

TASK = Task("one", (Problem("p", "Say it.", "a"),))


def job(store: Store, models: dict[str, Model], chains: Sequence[Chain] = (), **options: object) -> Job:
    recorded = {name: CachedModel(model, store) for name, model in models.items()}
    return Job(recorded, "base", TASK, chains, max_tokens=512, seed=0, splitter="auto", **options)  # type: ignore[arg-type]


def says(text: str) -> Callable[[str, str], str]:
    return lambda question, written: text[len(written) :] if text.startswith(written) else ""


def test_forward_kl_by_hand(tmp_path: Path) -> None:
    """The base writes "ab"; the tuned model wants "ax": one token agrees, one is missed, per token half of the log ratio."""
    base, tuned = ScriptedModel(says("ab"), name="base"), ScriptedModel(says("ax"), name="tuned")
    chains = sample_chains(base, TASK, writer="base")
    with Store(tmp_path / "store.sqlite") as store:
        scores = list(Forgetting().ask(job(store, {"base": base, "tuned": tuned}, chains)))
    ratio = math.log(0.99) - math.log(0.01 / 256)
    found = {(score.writer, score.metric): score.value for score in scores}
    assert found["base", "forward_kl"] == found["base", "forward_kl_chain"] == 0.0
    assert found["tuned", "forward_kl_chain"] == pytest.approx(ratio)
    assert found["tuned", "forward_kl"] == pytest.approx(ratio / 2)


def test_another_vocabulary_is_missing_and_not_zero(tmp_path: Path) -> None:
    class Other(ScriptedModel):
        @property
        def vocabulary(self) -> str:
            return "other"

    base, tuned = ScriptedModel(says("ab"), name="base"), Other(says("ab"), name="tuned")
    with Store(tmp_path / "store.sqlite") as store:
        chains = sample_chains(base, TASK, writer="base")
        scores = list(Forgetting().ask(job(store, {"base": base, "tuned": tuned}, chains)))
    assert [score.reason for score in scores if score.writer == "tuned"] == ["another vocabulary than the base's"] * 2


def test_panel_counts_by_task(tmp_path: Path) -> None:
    from soundness.models.scripted import load_scripted

    panel = (PanelTask("sums", load_task("chain-sum", limit=4)), PanelTask("say", Task("say", (*TASK.problems,))))
    models = {"base": load_scripted("computes"), "tuned": load_scripted("computes?slip=1")}
    with Store(tmp_path / "store.sqlite") as store:
        scores = list(Transfer().ask(job(store, models, other_tasks=panel)))
    curve = Transfer().curve(Measured(("base", "tuned"), scores, (), {}, 0, ("sums", "say")))
    assert curve is not None
    sums, say = curve["panel"]
    assert (sums["task"], sums["base_estimate"]["value"], sums["tuned_estimate"]["value"]) == ("sums", 1.0, 0.0)
    assert sums["difference"]["value"] == -1.0 and sums["difference"]["n"] == 4
    assert say["base_estimate"]["value"] == 0.0  # no sum: it writes nothing, which solves nothing
    assert {score.problem_id.split("/")[0] for score in scores} == {"sums", "say"}
