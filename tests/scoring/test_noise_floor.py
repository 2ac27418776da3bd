from __future__ import annotations

from pathlib import Path

import pytest

from soundness.auditing import audit
from soundness.runs.folder import Run
from soundness.statistics.noise import read_floor
from soundness.tasks.base import load_task

BASE, TUNED = "scripted:computes?slip=0.3", "scripted:ignores-chain?slip=0.3&seed=1"


def run(folder: Path, **options: object) -> Run:
    return audit(BASE, TUNED, load_task("chain-sum", limit=30), out=folder, metrics=["early_answering"], **options)  # type: ignore[arg-type]


def test_greedy_the_floor_is_the_arithmetics_and_scripted_models_have_none(tmp_path: Path) -> None:
    found = run(tmp_path / "run").document["noise_floor"]
    assert found["how"] == "24 of the base's chains read again in other batches"
    floor = read_floor(found["estimates"])
    assert floor["early_answering", "self"].n == 24
    assert all((one.value, one.low, one.high) == (0.0, None, None) for one in floor.values())


@pytest.mark.parametrize(("samples", "how"), [(1, "another seed"), (4, "odd samples against its even ones")])
def test_sampled_the_floor_is_that_of_the_draws(tmp_path: Path, samples: int, how: str) -> None:
    made = run(tmp_path / "run", temperature=0.8, samples=samples)
    found = made.document["noise_floor"]
    assert how in found["how"]
    accuracy = read_floor(found["estimates"])["accuracy", "-"]
    assert accuracy.n == 30 and accuracy.low is not None and accuracy.high is not None
    assert accuracy.low < 0.1 and accuracy.high > -0.1 and accuracy.high > accuracy.low
    again = run(tmp_path / "run", temperature=0.8, samples=samples)
    assert again.document["noise_floor"] == found


def test_without_a_floor_nothing_more_is_asked(tmp_path: Path) -> None:
    without, with_it = run(tmp_path / "a", noise_floor=False), run(tmp_path / "b")
    assert without.document["noise_floor"]["estimates"] == []
    assert without.comparisons == with_it.comparisons
    tested = [comparison for comparison in without.comparisons if comparison.p is not None]
    assert len(tested) > 10
    assert all(c.p_adjusted is not None and c.p is not None and c.p_adjusted >= c.p for c in tested)
