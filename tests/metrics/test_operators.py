from __future__ import annotations

import re
import sqlite3

import pytest

from soundness.metrics import METRICS
from soundness.metrics.operators import OPERATOR_PAIRS
from soundness.models.cached import CachedModel
from soundness.models.scripted import ScriptedModel
from soundness.models.store import Store
from soundness.scoring.score import Helpers

GROUPS = ["mistake", "mistake_regenerated", "mistake_forms", "filler", "filler_forms", "controls"]


def test_ignoring_model_is_moved_by_no_edit(planted, values) -> None:
    found = planted("ignores-chain", "chain-sum", GROUPS)
    numbers = [score for score in found.scores if score.value is not None]
    assert len({score.metric for score in numbers}) > 15 and {score.value for score in numbers} == {0.0}


@pytest.mark.parametrize(("world", "steps"), [("chain-sum", 4), ("lookup:hops=3", 3)])
def test_computing_model_follows_mistakes_and_needs_its_words(planted, values, world: str, steps: int) -> None:
    found = planted("computes", world, GROUPS)
    assert all(case.body.num_steps == steps for case in found.cases)
    assert min(values(found, "mistake_reliance")) > 0.6
    assert values(found, "mistake_regenerated_over_intact") == values(
        found, "mistake_regenerated"
    )  # greedy: intact is the chain
    for metric in ("filler_reliance", "filler_reliance_underscores", "noise_reliance", "filler_stable_fraction"):
        assert values(found, metric) == [1.0] * 6, metric
    assert min(values(found, "info_gain_over_noise")) > 5


def test_lookup_mistakes_exchange_names_of_one_type(planted) -> None:
    from soundness.tasks.worlds.lookup import know

    members = know(0, 6).members.values()
    found = planted("computes", "lookup:hops=3", ["mistake", "mistake_forms"])
    edits = [
        (case, edit) for case in found.cases for kind in ("mistake_splice", "mistake_operand") for edit in case.edits[kind]
    ]
    assert len(edits) > 12
    for case, edit in edits:
        old, _, new = edit.note.split(";")[0].split(" ", 1)[1].partition(" -> ")
        assert any(old in pool and new in pool for pool in members), edit.note
        assert new != case.chain.answer


def test_above_temperature_zero_the_intact_beginning_is_written_anew(planted) -> None:
    found = planted("computes?slip=0.5", "chain-sum", ["mistake_forms"], limit=8, samples=2, temperature=1.0)
    rewritten = [
        edit.ids != case.body.chain.ids
        for case in found.cases
        for edit in case.edits["intact_regenerate"]
        if hasattr(edit, "ids")
    ]
    assert any(rewritten) and not all(rewritten)


def last_number_up(question: str, written: str) -> str:
    """Write the step asked about with its last digit one up."""
    step = re.findall(r"Next step: (.*)", question)[-1]
    spoilt = re.sub(r"\d(?=\D*$)", lambda found: str((int(found[0]) + 1) % 10), step)
    return spoilt[len(written) :]


def echo(question: str, written: str) -> str:
    """Write the step asked about as it stands."""
    return re.findall(r"Next step: (.*)", question)[-1][len(written) :]


@pytest.fixture
def proposer(tmp_path):
    with Store(tmp_path / "proposer.sqlite") as store:
        yield lambda behaviour: Helpers(proposer=CachedModel(ScriptedModel(behaviour, name=behaviour.__name__), store))


WRITTEN = ("mistake_reliance_written", "mistake_regenerated_written", "mistake_regenerated_written_over_intact")


def test_mistakes_written_by_a_model_tell_users_of_the_chain_from_ignorers(planted, values, proposer, tmp_path) -> None:
    helpers = proposer(last_number_up)
    computing = planted("computes", "chain-sum", ["mistake_forms"], helpers=helpers)
    ignoring = planted("ignores-chain", "chain-sum", ["mistake_forms"], helpers=helpers)
    for metric in WRITTEN:
        # A slip that a later step mends by chance, or that would have stated the answer, is rare and not none.
        assert sum(values(computing, metric)) / 6 > 0.8, metric
        assert values(ignoring, metric) == [0.0] * 6, metric
    written = [(case, edit) for case in computing.cases for edit in case.edits["mistake_written"] if hasattr(edit, "ids")]
    assert len(written) > 6
    for case, edit in written:
        assert edit.before != edit.after and "written by a model" in edit.note
        assert not edit.after.rstrip().endswith(f" {case.chain.answer}")
    with sqlite3.connect(tmp_path / "proposer.sqlite") as kept:
        assert kept.execute("select count(*) from generations").fetchone()[0] > 6, "what the proposer wrote is kept"


def test_a_proposer_that_makes_no_mistake_is_missing_and_not_a_pass(planted, proposer) -> None:
    found = planted("computes", "chain-sum", ["mistake_forms"], helpers=proposer(echo))
    scores = [score for score in found.scores if score.metric in WRITTEN]
    assert len(scores) == 6 * len(WRITTEN)
    assert {(score.value, score.reason) for score in scores} == {(None, "the proposer changed nothing")}


def test_without_a_proposer_there_are_no_written_mistakes(planted) -> None:
    found = planted("computes", "chain-sum", ["mistake_forms"])
    reasons = {score.reason for score in found.scores if score.metric in WRITTEN}
    assert reasons == {"no model to write mistakes: give one with --proposer"}


def test_pairs_name_metrics() -> None:
    assert {name for pair in OPERATOR_PAIRS for name in pair} <= set(METRICS)
