"""Paraphrased, perturbed, random and renamed steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.answers.numbers import find_numbers
from soundness.errors import SettingError
from soundness.interventions import NoEdit
from soundness.interventions.base import CorruptedStep, Supplies
from soundness.interventions.name_mistake import change_entity, entity_steps
from soundness.interventions.paraphrase import paraphrase
from soundness.interventions.perturb import SHIFTS, perturb
from soundness.interventions.plan import EDITS, edit_body, kinds_of
from soundness.interventions.proposer import RULES
from soundness.interventions.random_text import random_text
from soundness.interventions.written_mistake import steps_to_corrupt
from soundness.records import Edit

TEXT = "3 + 4 = 7\n7 - 2 = 5\n5 + 6 = 1\n"


def test_paraphrase_keeps_the_ids_of_all_other_steps(tools) -> None:
    chain = tools.chain(TEXT, answer="1")
    edit = paraphrase(chain, 1, 2, [None, "7 minus 2 equals 5\n", None], tools.pieces(chain.ids), tools.encode, tools.decode)
    assert isinstance(edit, Edit) and edit.step == 1
    assert tools.decode(edit.ids) == "3 + 4 = 7\n7 minus 2 equals 5\n5 + 6 = 1\n"
    assert edit.ids[: chain.steps[1].start] == chain.before(1) and edit.ids[-10:] == chain.step_ids(2)
    nothing = paraphrase(chain, 0, 3, [None] * 3, tools.pieces(chain.ids), tools.encode, tools.decode)
    assert isinstance(nothing, NoEdit)
    with pytest.raises(SettingError):
        paraphrase(chain, 2, 4, [None] * 3, tools.pieces(chain.ids), tools.encode, tools.decode)


@given(seed=st.integers(0, 999))
def test_perturb_shifts_all_numbers_of_a_step_alike(tools, seed: int) -> None:
    chain = tools.chain(TEXT, answer="1")
    for step in range(3):
        edit = perturb(chain, step, tools.pieces(chain.ids), tools.encode, tools.decode, seed=seed)
        before, after = (find_numbers(text) for text in (edit.before, edit.after))
        shifts = {two.value - one.value for one, two in zip(before, after, strict=True)}
        assert len(shifts) == 1 and shifts <= set(SHIFTS)
        assert all(number.value >= 0 for number in after)
        assert tools.decode(edit.ids) == TEXT[: chain.steps[step].start] + edit.after


def test_perturb_keeps_the_form_of_numbers_and_drops_steps_without_any(tools) -> None:
    chain = tools.chain("He pays $1,199.50 now.\nThen he leaves.\n")
    edit = perturb(chain, 0, tools.pieces(chain.ids), tools.encode, tools.decode, seed=0)
    assert edit.after.startswith("He pays $1,") and edit.after.endswith(".50 now.\n") and edit.after != edit.before
    dropped = perturb(chain, 1, tools.pieces(chain.ids), tools.encode, tools.decode, seed=0)
    assert dropped.after == "" and dropped.ids == chain.before(1)


def test_random_text_is_as_long_and_seeded_by_problem(tools) -> None:
    one, two = tools.chain(TEXT), tools.chain(TEXT, problem_id="other")
    words = tools.encode("a b c d e f g h")
    edits = [random_text(chain, words, tools.decode, seed=0) for chain in (one, one, two)]
    assert all(len(edit.ids) == len(one.ids) and set(edit.ids) <= set(words) for edit in edits)
    assert edits[0] == edits[1] != edits[2]
    assert isinstance(random_text(one, [], tools.decode, seed=0), NoEdit)


POOLS = (("Belu", "Keto", "Belunor"), ("slate", "jade", "chalk"))


def test_a_name_is_exchanged_for_one_of_its_type(tools) -> None:
    chain = tools.chain("The home of Ann is Belunor.\nThe stone of Belunor is slate.\n", answer="slate")
    pieces = tools.pieces(chain.ids)
    assert entity_steps(chain, pieces, POOLS) == (0,)  # the second step's result is the answer itself
    assert entity_steps(chain, pieces, POOLS, "operand") == (1,)
    edit = change_entity(chain, 0, pieces, tools.encode, tools.decode, POOLS, seed=0, keep_tail=True)
    assert isinstance(edit, Edit) and edit.after in ("The home of Ann is Belu.\n", "The home of Ann is Keto.\n")
    assert tools.decode(edit.ids) == edit.after + "The stone of Belunor is slate.\n"
    dropped = change_entity(chain, 0, pieces, tools.encode, tools.decode, POOLS, seed=0, keep_tail=False)
    assert tools.decode(dropped.ids) == edit.after
    alone = change_entity(chain, 0, pieces, tools.encode, tools.decode, (("Belunor",),), seed=0, keep_tail=True)
    assert alone == NoEdit("mistake_splice", "no other name of this type")


def test_every_kind_is_made_from_one_body(tools) -> None:
    chain = tools.chain(TEXT, answer="1")
    rewrites = {name: [rule(text) for text in tools.steps(chain)] for name, rule in RULES.items()}
    mistakes = {1: CorruptedStep("7 - 2 = 4\n"), 0: CorruptedStep("3 + 4 = 9\n")}
    donor = tools.chain("x", problem_id="d")
    supplies = Supplies(
        tools.pieces(chain.ids),
        tools.encode,
        tools.decode,
        donor=donor,
        words=chain.ids,
        rewrites=rewrites,
        mistakes=mistakes,
    )
    edits = edit_body(chain, list(EDITS.values()), supplies)
    assert set(edits) == set(EDITS)
    for kind, made in edits.items():
        assert made and all(isinstance(edit, Edit) and edit.kind == kind for edit in made), kind
    for kind in (kind for kind in EDITS.values() if kind.regenerate):  # these stop where the writer shall go on
        for edit in edits[kind.name]:
            assert len(tools.decode(edit.ids).rstrip("\n").split("\n")) == (edit.step or 0) + 1, kind.name


def test_no_step_no_edit(tools) -> None:
    edits = edit_body(tools.chain(""), list(EDITS.values()), Supplies([], tools.encode, tools.decode))
    assert len(edits) == len(EDITS) and all(isinstance(edit, NoEdit) for made in edits.values() for edit in made)


def test_a_written_mistake_stands_where_the_step_stood(tools) -> None:
    chain = tools.chain("It rains.\nSo it is wet.\nAll slip.\n", answer="slip")
    chain = replace(chain, step_texts=tools.steps(chain))
    assert set(steps_to_corrupt(chain, None, seed=0)) == {0, 1}, "the last step states the answer"
    assert steps_to_corrupt(chain, None, seed=0) == steps_to_corrupt(chain, None, seed=0)
    mistakes = {1: CorruptedStep("So it is dry.\n"), 0: CorruptedStep(None, "the proposer changed nothing")}
    supplies = Supplies(tools.pieces(chain.ids), tools.encode, tools.decode, mistakes=mistakes)
    kinds = ("mistake_written", "mistake_written_regenerate", "intact_written_regenerate")
    made = edit_body(chain, kinds_of(kinds), supplies)
    refused, spliced = made["mistake_written"]
    assert refused == NoEdit("mistake_written", "the proposer changed nothing")
    assert tools.decode(spliced.ids) == "It rains.\nSo it is dry.\nAll slip.\n" and spliced.step == 1
    assert tools.decode(made["mistake_written_regenerate"][1].ids) == "It rains.\nSo it is dry.\n"
    assert [tools.decode(edit.ids) for edit in made["intact_written_regenerate"]] == ["It rains.\nSo it is wet.\n"]


def test_without_a_model_to_write_mistakes_that_is_the_reason(tools) -> None:
    chain = tools.chain(TEXT, answer="1")
    supplies = Supplies(tools.pieces(chain.ids), tools.encode, tools.decode)
    made = edit_body(chain, kinds_of(["mistake_written"]), supplies)
    assert [edit.reason for edit in made["mistake_written"]] == ["no model to write mistakes: give one with --proposer"]
