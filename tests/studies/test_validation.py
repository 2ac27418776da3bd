from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from soundness.comparison.verdict import INFORMATION, RELIANCE
from soundness.errors import SettingError
from soundness.report.validation import PICTURES, validation_markdown
from soundness.studies.first_error import labelled_chains
from soundness.studies.validation import SHAPES, WORLDS, auroc, auroc_interval, coverage_of, validate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("validation")
    validate(out, scale="small", workers=1, labelled=False)
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    return read


def test_the_dial_is_read(found: dict) -> None:  # type: ignore[type-arg]
    measures = found["dial"]["measures"]
    assert set(measures) == {*INFORMATION, *RELIANCE, "info_gain_over_shuffle"}
    for name, row in measures.items():
        assert row["monotone"], name
        assert row["mean"][-1] == pytest.approx(0, abs=0.02), f"{name} of a model that ignores its chain"
        assert row["bias"] < 0.2, name
    words = found["dial"]["words"]
    assert set(words["1.0"]) == {"hollowed"} and "hollowed" not in words["0.0"]


def test_what_a_measure_is_short_of_is_said_by_world(found: dict) -> None:  # type: ignore[type-arg]
    rows = found["auroc_dial_0.3_by_measure"]
    for name, row in rows.items():
        assert set(row["by_world"]) == set(row["telling"]) == set(WORLDS), name
        assert row["paired"] == pytest.approx(np.mean(list(row["by_world"].values())))
    assert rows["swap_reliance"]["telling"] == {world: 1.0 for world in WORLDS}
    # Two steps of a look-up lead to the same answer in their other order on most problems; four of a sum seldom do.
    shuffled = rows["info_gain_over_shuffle"]["telling"]
    assert shuffled["lookup"] < 0.3 < shuffled["chain-sum"]
    short = {"paired": 0.95, "unpaired": 0.9, "by_world": {"lookup": 0.91}, "telling": {"lookup": 0.12}}
    page = validation_markdown({**found, "auroc_dial_0.3_by_measure": {**rows, "info_gain_over_shuffle": short}})
    assert "`info_gain_over_shuffle` (0.950; lookup 0.910, where it differs from 0 on 12% of the problems)" in page


def test_broken_models_are_never_sound_and_needless_chains_no_loss(found: dict) -> None:  # type: ignore[type-arg]
    assert found["broken_called_sound"] == 0 and found["needless_called_hollowed"] == 0
    assert set(found["planted_pairs"]["computes -> ignores"]) == {"hollowed"}


def test_chance_seldom_raises_an_alarm(found: dict) -> None:  # type: ignore[type-arg]
    assert found["false_alarm_verdict"] <= 0.05 and found["false_alarm_metrics"] <= 0.05
    assert found["false_alarms"]["metrics_tested"] > 500


def test_the_tables_hold_the_figures_and_the_pictures_are_drawn(folder: Path, found: dict) -> None:  # type: ignore[type-arg]
    page = (folder / "validation.md").read_text(encoding="utf-8")
    assert page == validation_markdown(found)
    assert f"{found['false_alarm_verdict']:.2%}" in page and "Skipped: not asked for." in page
    for picture in PICTURES:
        assert (folder / picture).read_text(encoding="utf-8").startswith("<svg")


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_has_the_mean_it_says(shape: str) -> None:
    draw, truth = SHAPES[shape]
    values = draw(np.random.default_rng(0), (200, 2000))
    assert values.mean() == pytest.approx(truth, abs=4 * values.std() / values.size**0.5)


def test_intervals_cover() -> None:
    assert 0.93 <= coverage_of("normal", 50, 600, seed=0, resamples=999) <= 0.97
    assert coverage_of("some fall far", 200, 400, seed=0, resamples=999) >= 0.92
    # The dial of this check itself: intervals around another mean hold nothing.
    shifted = {**SHAPES, "normal": (SHAPES["normal"][0], 3.0)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundness.studies.validation.SHAPES", shifted)
        assert coverage_of("normal", 50, 100, seed=0, resamples=199) == 0


def test_auroc() -> None:
    assert auroc([1, 1], [0, 0]) == 1.0 and auroc([0.0], [1.0]) == 0.0 and auroc([1, 1], [1]) == 0.5
    assert auroc_interval([([1.0], [])], seed=0) is None
    found = auroc_interval([([2.0], [1.0]), ([1.5], [1.0, 3.0])], seed=0)
    assert found is not None and found[0] == pytest.approx(4 / 6)
    assert found[1] <= found[0] <= found[2]


def test_absent_data_are_skipped_with_what_to_do(tmp_path: Path) -> None:
    skipped = labelled_chains(tmp_path, "smollm2", 3, seed=0, on_progress=lambda what, done, total: None)
    assert "bbh_mistake.jsonl" in skipped["skipped"] and "--data" in skipped["skipped"]


def test_labelled_steps_are_found_by_a_scorer_that_knows(tmp_path: Path) -> None:
    # A scripted scorer computes: the step that goes wrong is the one that takes the answer away.
    from soundness.tasks.base import load_task

    task = load_task("chain-sum:operators=3", limit=12)
    rows = []
    for i, problem in enumerate(task.problems):
        steps = list(problem.steps or ())
        mark = None
        if i % 2:
            mark = 1
            left, _, result = steps[1].rpartition(" ")
            steps[1] = f"{left} {(int(result) + 3) % 10}"
        rows.append(
            {"id": problem.id, "question": task.message(problem), "answer": problem.answer, "steps": steps, "choices": None}
        )
        if mark is not None:
            rows[-1]["mistake_index"] = mark
    for name in ("bbh_mistake", "processbench"):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    found = labelled_chains(tmp_path, "scripted:computes", 12, seed=0, on_progress=lambda what, done, total: None)
    about = found["bbh_mistake"]
    assert about["chains"] == 12 and about["wrong_steps"] == 6
    assert 0 <= about["auroc_gain"][1] <= about["auroc_gain"][0] <= about["auroc_gain"][2] <= 1


def test_an_unknown_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="small or full"):
        validate(tmp_path, scale="huge")
