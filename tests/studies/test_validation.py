from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from soundness.errors import SettingError
from soundness.records import Word
from soundness.report.validation import PICTURES, validation_markdown
from soundness.studies.grid import draw_cell, summary
from soundness.studies.validation import ARMS, DIALS, SHAPES, coverage_of, validate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("validation")
    validate(out, scale="small", workers=1, labelled=False)
    return out


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    return read


def test_the_grid_finds_no_more_false_words_than_chance_makes(found: dict) -> None:  # type: ignore[type-arg]
    grid = found["grid"]["all"]
    assert grid["audits"] == 8 and grid["false"] <= 1, found["grid"]["false"]
    assert grid["decided"] > 0.3
    assert set(found["grid"]["by"]) >= {"behaviour", "base", "confidence", "step", "join", "opening", "closing", "form"}
    assert all(sum(row["audits"] for row in group.values()) == 8 for group in found["grid"]["by"].values())


def test_curves_rise_with_the_dial_and_no_dress_makes_a_word(found: dict) -> None:  # type: ignore[type-arg]
    curves = found["curves"]
    assert set(curves) < set(ARMS) and len(curves) == 4
    at = {arm: row["30"] for arm, row in curves.items()}
    assert at["h = 0.5"].get("hollowed", 0) + at["h = 0.5"].get("lost, and hollowed", 0) == 1.0
    assert "hollowed" not in at["h = 0"] and "sound" not in at["h = 0.5"]
    for arm in ("restates, full stop", "two steps a line, less sure"):
        assert "hollowed" not in at[arm] and "lost, and hollowed" not in at[arm], arm


def test_the_measures_that_decide_fall_in_line_with_the_dial(found: dict) -> None:  # type: ignore[type-arg]
    assert found["dial"]["settings"] == list(DIALS)
    for metric in ("following", "gain", "over_none", "mistake_effect"):
        for world, row in found["dial"]["measures"][metric].items():
            assert row["mean"][-1] == pytest.approx(0, abs=0.15), (metric, world)
            assert row["bias"] < 0.35, (metric, world)  # of 30 problems and one seed


def test_the_tables_hold_the_figures_and_the_pictures_are_drawn(folder: Path, found: dict) -> None:  # type: ignore[type-arg]
    page = (folder / "validation.md").read_text(encoding="utf-8")
    assert page == validation_markdown(found)
    assert f"{found['grid']['all']['false']} of 8" in page and "Skipped: not asked for." in page
    for picture in PICTURES:
        assert (folder / picture).read_text(encoding="utf-8").startswith("<svg")


def test_false_words_are_told_in_full() -> None:
    from soundness.studies.grid import Result

    cell = draw_cell(0, 0)
    false = Result(cell.labels, Word.SOUND, frozenset({Word.HOLLOWED, Word.INSUFFICIENT}), "base -> tuned: why")
    right = Result(cell.labels, Word.HOLLOWED, false.allowed, "")
    open_ = Result(cell.labels, Word.INSUFFICIENT, false.allowed, "")
    table = summary([false, right, open_])
    assert (table["all"]["audits"], table["all"]["false"]) == (3, 1) and table["all"]["decided"] == pytest.approx(2 / 3)
    assert table["false"] == [
        {"word": "sound", "allowed": ["hollowed", "insufficient evidence"], "about": "base -> tuned: why"}
    ]


def test_cells_are_drawn_and_depend_on_seed_and_number_alone() -> None:
    cells = [draw_cell(0, index) for index in range(62)]
    assert cells == [draw_cell(0, index) for index in range(62)] and cells != [draw_cell(1, index) for index in range(62)]
    behaviours = [dict(cell.labels)["behaviour"] for cell in cells]
    assert len(set(behaviours)) == 31 and all(behaviours.count(name) == 2 for name in behaviours)
    assert len({cell.base for cell in cells}) <= 8  # few bases, each measured once
    assert len({cell.tuned for cell in cells}) == 62


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


def test_an_unknown_scale_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="small or full"):
        validate(tmp_path, scale="huge")
