"""Runs that are taken up again: nothing is computed twice, more may be asked, and the end is that of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from soundness.auditing import audit, rounds
from soundness.errors import RunError
from soundness.metrics.base import Metric, MetricGroup, Reader, Value
from soundness.runs.folder import Run, open_run

BASE, TUNED, OTHER = "scripted:computes?slip=0.3", "scripted:ignores-chain?slip=0.3&seed=1", "scripted:computes?slip=0.2&seed=4"


def run(out: Path, **changes: Any) -> Run:
    options = {
        "tuned": [TUNED],
        "task": "chain-sum",
        "limit": 6,
        "metrics": ["info_gain"],
        "noise_floor": False,
        "batch_size": 4,
    }
    return audit(BASE, out=out, **{**options, **changes})


def results(path: Path) -> dict[str, Any]:
    opened = open_run(path)
    return {
        "comparisons": (path / "comparisons.json").read_text(),
        "verdicts": opened.verdicts,
        "scores": opened.scores(),
        "chains": opened.chains(),
        "problems": opened.problems(),
    }


def test_a_finished_run_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("computed again")

    for name in ("sample_chains", "score_chains"):
        monkeypatch.setattr(rounds, name, never)
    again = run(tmp_path / "run")
    assert again.finished and again.verdicts == open_run(tmp_path / "run").verdicts
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before
    with pytest.raises(AssertionError, match="computed again"):
        run(tmp_path / "run", metrics=["early_answering"])
    assert open_run(tmp_path / "run").finished  # what was there is there


def test_more_problems_and_more_models_end_as_one_run_that_had_them_from_the_start(tmp_path: Path) -> None:
    run(tmp_path / "grown", limit=4)
    written = open_run(tmp_path / "grown").store.counts()["generations"]
    run(tmp_path / "grown", limit=8)
    run(tmp_path / "grown", limit=8, tuned=[TUNED, OTHER])
    run(tmp_path / "whole", limit=8, tuned=[TUNED, OTHER])
    assert results(tmp_path / "grown") == results(tmp_path / "whole")
    assert open_run(tmp_path / "grown").store.counts()["generations"] > written
    with pytest.raises(RunError, match="num_problems is 8 there, 6 now"):
        run(tmp_path / "grown", limit=6, tuned=[TUNED, OTHER])
    with pytest.raises(RunError, match="absent now.*can be added to a folder and not left out"):
        run(tmp_path / "grown", limit=8, tuned=[TUNED])
    with pytest.raises(RunError, match="task_fingerprint"):
        run(tmp_path / "grown", limit=9, tuned=[TUNED, OTHER], task="chain-sum:operators=6")


def test_base_and_tuned_do_not_change_places(tmp_path: Path) -> None:
    run(tmp_path / "run")
    with pytest.raises(RunError, match='base is "scripted:computes'):
        audit(TUNED, [BASE], "chain-sum", out=tmp_path / "run", limit=6, metrics=["info_gain"], noise_floor=False, batch_size=4)


def test_a_damaged_folder_is_computed_again_from_its_traces(tmp_path: Path) -> None:
    run(tmp_path / "run")
    before = results(tmp_path / "run")
    (tmp_path / "run" / "comparisons.json").write_text("[]")
    (tmp_path / "run" / "scores.parquet").write_bytes(b"PAR1")
    assert len(open_run(tmp_path / "run").changes()) == 2
    run(tmp_path / "run")
    assert results(tmp_path / "run") == before and open_run(tmp_path / "run").changes() == []


class Hedges(MetricGroup):
    """A user's own group, whose code may change between two runs."""

    name = "hedges"
    metrics = (Metric(name="hedges", unit="words", direction="none", description="Hedging words."),)
    readers = (Reader.NOBODY,)
    count = 1.0

    def values(self, case: Any, read: Any) -> tuple[Value, ...]:
        return (Value("hedges", self.count),)


def test_what_a_user_wrote_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Hedges()
    run(tmp_path / "run", metrics=[group])
    monkeypatch.setattr(Hedges, "count", 2.0)
    again = run(tmp_path / "run", metrics=[group])
    assert again.comparison("hedges").tuned_estimate.value == 2.0
