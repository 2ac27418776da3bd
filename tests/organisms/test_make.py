from __future__ import annotations

import json
from pathlib import Path

import pytest

from soundness.errors import ModelError, SettingError
from soundness.organisms import NAMES, SHIPPED
from soundness.organisms.make import make_organisms


def test_a_few_steps_make_all_files_and_admit_what_they_are_not(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(ModelError, match="not what they were meant to be"):
        make_organisms(tmp_path, seed=3, problems=4, scale=0.002, on_progress=lambda what, done, total: said.append(what))
    found = json.loads((tmp_path / "truth.json").read_text())
    assert any(line.startswith("base was to follow chain") for line in found["shortfalls"])
    for name in NAMES:
        assert (tmp_path / name / "model.safetensors").is_file()
        assert found["organisms"][name]["truth"]["problems"] == 4
    assert "training corrupted" in said
    weights = {(tmp_path / name / "model.safetensors").read_bytes() for name in SHIPPED}
    assert len(weights) == len(SHIPPED)


def test_a_name_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="did you mean 'shortcut'"):
        make_organisms(tmp_path, only=["short-cut"])
    with pytest.raises(SettingError, match="tuned from the base"):
        make_organisms(tmp_path, only=["sound"])
