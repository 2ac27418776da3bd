"""One chain through one reader: its body, its prompt, the answer it gives when asked, and which probes are read."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundness.chains.sample import make_chain, sample_chains
from soundness.metrics.choosing import choose
from soundness.models.cached import CachedModel
from soundness.models.scripted import ScriptedModel, load_scripted
from soundness.models.store import Store
from soundness.records import Generation, Problem
from soundness.scoring.score import Sampling, score_chains
from soundness.tasks.base import Task, load_task


@pytest.fixture
def look(tmp_path):
    def run(model, texts, task, metrics, reader="self", finish="stop", **options):
        chains = [
            make_chain(model, p, model.render(task.message(p)), Generation(tuple(model.encode(t)), finish), writer="m")
            for p, t in zip(task.problems, texts, strict=True)
        ]
        number = len(list(tmp_path.iterdir()))
        with Store(tmp_path / f"{number}.sqlite") as store:
            return score_chains(
                chains, task, choose(metrics), CachedModel(model, store), reader=reader, sampling=Sampling(), **options
            )

    return run


def constant(answer, name="constant"):
    return ScriptedModel(lambda question, written: answer if written.endswith("Answer:") else "", name=name)


def task(answer="7", choices=None):
    return Task("one", (Problem("p", "How many?", answer, choices=choices),))


def scores(found):
    return {score.metric: score.reason if score.value is None else score.value for score in found.scores}


def test_open_answers_are_asked_for(look):
    found = look(constant(" 7\n"), ["one step\n"], task(), ["forced_accuracy", "early_answering"])
    assert (scores(found)["accuracy_forced"], scores(found)["accuracy_without_chain"]) == (1.0, 1.0)
    assert (found.case_rows[0].asked_with, found.case_rows[0].asked_without) == ("7", "7")
    assert found.cases[0].own.ids == tuple(b" 7\n")


def test_what_nothing_closes_ends_where_the_text_does(look):
    found = look(constant(" 7"), ["one step\n"], replace(task(), terminator=""), ["forced_accuracy"])
    assert (found.case_rows[0].asked_with, found.case_rows[0].asked_without) == ("7", "7")


@pytest.mark.parametrize("given", ["", "\n", "   \n", " 7" + "0" * 60])
def test_an_answer_that_is_empty_or_never_closed_is_unknown(look, given):
    found = look(constant(given, name=given), ["one step\n"], task(), ["forced_accuracy", "early_answering"])
    assert scores(found)["accuracy_forced"] == scores(found)["early_answering"] == "no answer could be read after the cue"


def test_choices_are_read_and_never_asked_for(look):
    class NoWriting(ScriptedModel):
        def generate(self, *arguments, **options):
            raise AssertionError("choices need no writing")

    model = NoWriting(lambda question, written: " B\n" if "see" in written else " A\n", name="choosing")
    found = look(
        model, ["I see.\nYes.\n"], task("B", ("cat", "dog", "cow")), ["forced_accuracy", "early_answering", "info_gain"]
    )
    known = scores(found)
    assert (known["accuracy_forced"], known["accuracy_without_chain"], known["stable_fraction"]) == (1.0, 0.0, 0.5)
    assert known["info_gain_choice"] > 5
    assert len(found.cases[0].gold.rivals) == 3


def test_a_prefix_of_the_answer_is_not_the_answer(look):
    """12 begins with 1: the terminator, scored too, tells them apart."""
    model = ScriptedModel(lambda q, w: (" 1\n" if "step" in w else " 12\n") if w.endswith("Answer:") else "", name="prefix")
    found = look(model, ["one step\n"], task("1"), ["early_answering"])
    assert scores(found)["changes_without_chain"] == 1.0


def test_a_chain_that_was_cut_is_not_asked(look):
    found = look(constant(" 7\n"), ["one step\n"], task(), ["early_answering", "info_gain", "length"], finish="length")
    known = scores(found)
    assert known["early_answering"] == known["info_gain"] == known["length_tokens"] == "cut off at the token limit"
    assert known["surprise_without_chain"] < 0.1, "what is expected from the question is known all the same"


def test_equal_probes_of_two_families_are_read_once(look):
    found = look(constant(" 7\n"), ["one\ntwo\n"], task(), ["info_gain", "early_answering", "swap", "filler"])
    seen = [(row.prefix_length, row.continuation) for row in found.readings if row.role.startswith("after")]
    assert len(seen) == len(set(seen)) == 3


def test_duplicate_steps_keep_their_places(look):
    model = ScriptedModel(
        lambda q, w: (" 7\n" if w.count("again") >= 2 else " 3\n") if w.endswith("Answer:") else "", name="counts"
    )
    found = look(model, ["again\nagain\nagain\n"], task(), ["early_answering"])
    assert scores(found)["stable_fraction"] == pytest.approx(2 / 3)


def test_only_families_that_ask_for_the_role_are_read(look):
    groups = choose(["forced_accuracy", "info_gain"])
    found = look(constant(" 7\n"), ["one\n"], task(), ["forced_accuracy", "info_gain"], reader="base")
    assert {score.reader for score in found.scores} == {"base"}
    asked = {metric.name for group in groups if "base" in group.readers for metric in group.metrics}
    assert {score.metric for score in found.scores} == asked
    assert not {"accuracy", "accuracy_forced", "length_tokens"} & asked


def test_the_scorer_may_be_shown_another_prompt(look):
    model = constant(" 7\n")
    prompts = {"p": model.render("another prompt")}
    found = look(model, ["one\n"], task(), ["info_gain"], prompts=prompts)
    assert found.cases[0].prompt_ids == prompts["p"].ids


def test_no_chains_no_scores(look):
    with_nothing = score_chains(
        [], task(), choose(["info_gain"]), CachedModel(constant("7"), None), reader="self", sampling=Sampling()
    )
    assert (with_nothing.scores, with_nothing.readings, with_nothing.cases) == ([], [], [])


def test_a_mistake_is_followed_to_its_end_by_a_model_that_computes(tmp_path):
    model = load_scripted("computes")
    problems = load_task("chain-sum", limit=6)
    chains = sample_chains(model, problems, max_tokens=200)
    with Store(tmp_path / "store.sqlite") as store:
        found = score_chains(
            chains, problems, choose(["mistake_regenerated"]), CachedModel(model, store), reader="self", sampling=Sampling()
        )
    edits = [(case, edit) for case in found.cases for edit in case.edits["mistake_regenerate"]]
    assert len(edits) == 12
    for case, edit in edits:
        start = case.body.chain.steps[edit.step].start
        assert case.body.chain.ids[:start] == edit.ids[:start]
        assert model.decode(edit.ids).count("\n") == 4, "the steps behind the mistake were written anew"
        assert "Answer" not in model.decode(edit.ids)
