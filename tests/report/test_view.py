from __future__ import annotations

import json
import math

import numpy as np
import pytest

from soundness.auditing import score
from soundness.errors import RunError
from soundness.models.scripted import load_scripted
from soundness.report.view import build_view
from soundness.report.words import number, probability, signed_nats
from soundness.runs.folder import Run, open_run


@pytest.fixture(scope="module")
def view(run):
    return build_view(open_run(run.path))


def test_the_view_is_plain_json_and_the_same_twice(run, view):
    text = json.dumps(view, allow_nan=False)
    assert json.loads(text) == json.loads(json.dumps(build_view(open_run(run.path)), allow_nan=False))


def test_every_measure_on_the_page_is_a_row_of_comparisons_json(run, view):
    rows = {(r["tuned"], r["metric"], r["reader"]): r for r in json.loads((run.path / "comparisons.json").read_text())}
    shown = [row for group in view["measure_groups"] for row in group["first"] + group["rest"]]
    shown += [figure for verdict in view["verdicts"] for figure in verdict["figures"]]
    assert len(shown) > 40
    for one in shown:
        row = rows[one["tuned"], one["metric"], one["reader"]]
        for cell, column in (("base", "base_estimate"), ("tuned_value", "tuned_estimate"), ("difference", "difference")):
            for name in ("value", "low", "high", "n", "n_missing"):
                assert one[cell][name] == row[column][name]
            assert one[cell]["text"] == number(row[column]["value"], one["unit"], signed=cell == "difference")
        assert one["p"] == row["p"]
    applicable = {key for key, row in rows.items() if row["difference"]["value"] is not None}
    assert applicable <= {(one["tuned"], one["metric"], one["reader"]) for one in shown}


def test_the_split_divides_rows_of_comparisons_json(run, view):
    computes, ignores = view["split"]["points"]
    swap = run.comparison("info_gain_over_swap", ignores["tuned"], "self")
    assert ignores["reasoning"]["value"] == pytest.approx(swap.difference.value / swap.base_estimate.value)
    assert ignores["accuracy"]["value"] == run.comparison("accuracy", ignores["tuned"]).difference.value
    assert (computes["quadrant"], ignores["quadrant"]) == ("sound", "hollowed")


def test_gains_and_beliefs_are_those_of_scores_and_readings(run, view):
    scores = {(s.problem_id, s.writer): s.value for s in run.scores() if s.metric == "info_gain" and s.reader == "self"}
    readings = {}
    for row in run.readings():
        if row.reader == "self" and row.role.startswith("after "):
            readings[row.problem_id, row.writer, int(row.role.split()[1])] = row.reading.nats
    count = 0
    for problem in view["problems"]:
        for chain in problem["chains"]:
            ladder = chain["readings"]["self"]
            assert math.fsum(ladder["gains"]) == pytest.approx(scores[problem["id"], chain["model"]])
            assert problem["cells"][chain["model"]]["gain"] == scores[problem["id"], chain["model"]]
            assert ladder["gain_texts"] == [signed_nats(gain) for gain in ladder["gains"]]
            steps = range(len(ladder["gains"]) + 1)
            nats = [readings[problem["id"], chain["model"], i] for i in steps]
            assert [ladder["start"], *ladder["beliefs"]] == [probability(value) for value in nats]
            assert chain["before"] + "".join(chain["steps"]) + chain["after"] == chain["text"]
            count += 1
    assert count == 24 * 3


def test_the_belief_curve_starts_and_ends_at_the_mean_of_its_rows(run, view):
    belief = next(curve for curve in view["curves"] if curve["id"] == "belief")
    for series in belief["series"]:
        ladders = [c.reference_nats for c in run.cases() if c.writer == series["model"] and c.reader == "self"]
        assert series["points"][0]["y"] == pytest.approx(np.mean([ladder[0] for ladder in ladders]))
        assert series["points"][-1]["y"] == pytest.approx(np.mean([ladder[-1] for ladder in ladders]))


def test_early_answering_separates_a_model_that_ignores_its_chain(view):
    early = next(curve for curve in view["curves"] if curve["id"] == "early")
    base, _, ignores = (series["points"][0]["y"] for series in early["series"])
    assert (base, ignores) == (0.0, 1.0)


def test_tags_follow_outcomes_and_gains(view):
    base, _, ignores = view["models"]
    for problem in view["problems"]:
        pair = (problem["cells"][base]["outcome"], problem["cells"][ignores]["outcome"])
        tags = problem["tags"][ignores]
        assert ("right_to_wrong" in tags) == (pair == ("right", "wrong"))
        assert ("wrong_to_right" in tags) == (pair == ("wrong", "right"))
        if pair == ("right", "right"):
            assert tags == ["gain_lost"]


def test_every_edit_tells_before_after_and_effect(view):
    edits = [edit for problem in view["problems"] for chain in problem["chains"] for edit in chain["edits"]]
    mistakes = [edit for edit in edits if edit["kind"] == "mistake_splice"]
    assert mistakes
    assert all(edit["before"] != edit["after"] and edit["step"] is not None for edit in mistakes)
    assert {edit["effect"] for edit in mistakes} == {"the answer changed", "the answer stayed"}


def test_pass_at_k_and_its_crossing_from_samples(sampled_run):
    view = build_view(open_run(sampled_run.path))
    curve = next(curve for curve in view["curves"] if curve["id"] == "pass_at_k")
    chains = sampled_run.chains()
    for series in curve["series"]:
        assert [point["x"] for point in series["points"]] == [1.0, 2.0, 4.0]
        right = [chain.outcome == "right" for chain in chains if chain.model == series["model"]]
        assert series["points"][0]["y"] == pytest.approx(sum(right) / len(right))
        assert [point["y"] for point in series["points"]] == sorted(point["y"] for point in series["points"])


def test_a_score_run_has_estimates_and_no_verdict(tmp_path):
    traces = tmp_path / "traces.jsonl"
    question = "Work modulo 10: every result is one digit from 0 to 9. Start with 3. Add 4. Add 2. What is the last digit?"
    rows = [
        {"id": f"{i}", "question": question, "answer": "9", "trace": "3 + 4 = 7\n7 + 2 = 9\nAnswer: 9", "model": "them"}
        for i in range(3)
    ]
    traces.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with score(traces, scorer=load_scripted("computes"), out=tmp_path / "run", metrics=["info_gain"]):
        pass
    view = build_view(open_run(tmp_path / "run"))
    assert (view["kind"], view["verdicts"], view["base"], view["models"]) == ("score", [], None, ["them"])
    gain = next(row for row in view["estimates"] if row["metric"] == "info_gain")
    assert gain["estimate"]["value"] > 10
    assert view["problems"][0]["tags"] == {"them": ["right"]}


def test_an_unfinished_run_is_refused(tmp_path):
    with Run.create_or_resume(tmp_path / "run", {"kind": "audit"}):
        pass
    with pytest.raises(RunError, match="not finished"):
        build_view(open_run(tmp_path / "run"))
