from __future__ import annotations

import inspect
import json
from dataclasses import fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

import soundness.papers
from soundness.cli import app
from soundness.errors import RunError, SettingError
from soundness.papers.base import overall
from soundness.papers.catalogue import REPRODUCTIONS, findings, load_reproduction, load_scale, read_result, shipped

FRAME = {"base", "catalogue", "page", "running", "terminal"}


def test_every_module_is_listed_and_every_result_belongs_to_one():
    folder = Path(soundness.papers.__file__).parent
    modules = {f"soundness.papers.{path.stem}" for path in folder.glob("[!_]*.py")} - {
        f"soundness.papers.{one}" for one in FRAME
    }
    assert modules == set(REPRODUCTIONS.values())
    assert {path.stem for path in (folder / "results").glob("*.json")} <= set(REPRODUCTIONS)


@pytest.mark.parametrize("name", REPRODUCTIONS)
def test_a_reproduction_is_complete(name):
    module = load_reproduction(name)
    paper = module.PAPER
    assert paper.name == name
    assert set(module.SCALES) == {"tiny", "cpu-small", "paper"}
    assert list(inspect.signature(module.run).parameters) == ["scale", "seed", "out", "told"]
    figures = [one.figure for one in paper.expectations]
    assert len(set(figures)) == len(figures)
    assert any(one.role == "claim" for one in paper.expectations)
    assert any(one.control for one in paper.arms)
    assert paper.quoted and paper.differs and paper.refuted_if
    sized = {one.name for one in fields(module.SCALES["tiny"])} - {"data"}
    sourced = {name for one in paper.settings for name in one.name.split(", ")}
    assert not sized - sourced, "a size that does not say where it comes from"


@pytest.mark.parametrize("name", [one for one in REPRODUCTIONS if shipped(one)])
def test_a_shipped_result_fits_the_code(name):
    module, result = load_reproduction(name), shipped(name)
    assert result.revision == module.PAPER.revision
    assert len(result.seeds) >= 3
    found, state = findings(module.PAPER, result)
    assert state is overall(found)
    sizes = {key: value for key, value in result.sizes.items() if key != "data"}
    assert set(sizes) == {one.name for one in fields(load_scale(module, result.scale))} - {"data"}


def test_unknown_names_and_broken_results_are_said(toy):
    with pytest.raises(SettingError, match="did you mean 'toy'"):
        load_reproduction("toys")
    with pytest.raises(RunError, match="not the result of a reproduction"):
        read_result('{"name": "toy"}')


def test_the_command_lists_and_runs(toy, tmp_path):
    runner = CliRunner()
    listed = runner.invoke(app, ["reproduce", "--json"])
    assert [row["name"] for row in json.loads(listed.stdout)] == ["toy"]
    assert "not run here" in runner.invoke(app, ["reproduce"]).stdout
    ran = runner.invoke(app, ["reproduce", "all", "--out", str(tmp_path), "--quiet"])
    assert ran.exit_code == 0, ran.output
    assert "Confirmed at this scale" in ran.stdout and "left out: toys.jsonl" in ran.stdout
    again = runner.invoke(app, ["reproduce", "toy", "--out", str(tmp_path), "--json"])
    assert read_result(again.stdout).seeds == read_result((tmp_path / "toy/tiny/results.json").read_text()).seeds
    assert toy.CALLS == [0, 1, 2]
