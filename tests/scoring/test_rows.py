from __future__ import annotations

import pytest

from soundness.auditing import audit
from soundness.models.scripted import load_scripted
from soundness.runs.folder import open_run
from soundness.tasks.base import load_task


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    models = [load_scripted("computes"), load_scripted("ignores-chain?seed=1")]
    out = tmp_path_factory.mktemp("casebook") / "run"
    with audit(models[0], models[1:], load_task("chain-sum", limit=6, seed=0), out=out):
        pass
    return open_run(out)


def own(rows):
    return [row for row in rows if row.reader == "self"]


def test_a_case_holds_the_steps_and_the_belief_before_and_after_each(run):
    chains = {(chain.problem_id, chain.model): chain for chain in run.chains()}
    gains = {(s.problem_id, s.writer): s.value for s in run.scores() if s.metric == "info_gain" and s.reader == "self"}
    cases = own(run.cases())
    assert len(cases) == 12
    for case in cases:
        chain = chains[case.problem_id, case.writer]
        assert chain.text.startswith("".join(case.steps))
        assert len(case.reference_nats) == len(case.own_given) == len(case.steps) + 1
        assert case.reference_nats[-1] - case.reference_nats[0] == pytest.approx(gains[case.problem_id, case.writer])
        assert case.own_given[-1]
        assert case.own_given[0] == case.writer.startswith("scripted:ignores")


def test_the_edits_kept_answers_are_the_scores_of_reliance(run):
    for metric, kind in (("swap_reliance", "swap"), ("filler_reliance", "fill_tail"), ("mistake_reliance", "mistake_splice")):
        for score in run.scores():
            if score.metric != metric or score.reader != "self" or score.value is None:
                continue
            mine = [
                edit
                for edit in own(run.edits())
                if (edit.kind, edit.problem_id, edit.writer) == (kind, score.problem_id, score.writer) and not edit.reason
            ]
            assert sum(not edit.kept for edit in mine) / len(mine) == pytest.approx(score.value)


def test_an_edit_that_was_not_made_says_why_and_has_no_reading(run):
    for edit in run.edits():
        assert bool(edit.reason) == (edit.num_tokens is None)
        if edit.reason:
            assert (edit.kept, edit.own_share, edit.reference_nats) == (None, None, None)
