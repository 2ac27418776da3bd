from __future__ import annotations

import pytest

from soundness.interventions import NoEdit
from soundness.metrics.reliance import Filler, Mistake, MistakeRegenerated, Swap
from soundness.records import Edit, Reading


def edit(kind, first, step=None):
    return Edit(kind, (first, 300), step, "", "")


@pytest.fixture
def read(cases):
    """After an edit that begins with 200 the answer stands, after 201 it falls by a nat and is another."""

    def look(probe):
        if 201 in probe.prefix:
            return Reading((-1.5,), (False,))
        return Reading((-0.5,), (True,))

    return look


@pytest.mark.parametrize(
    ("family", "kind", "flips", "margin"),
    [
        (Swap(), "swap", "swap_reliance", "swap_margin"),
        (Filler(), "fill_tail", "filler_reliance", "filler_margin"),
        (Mistake(), "mistake_splice", "mistake_reliance", "mistake_margin"),
    ],
)
def test_the_share_of_edits_that_change_the_answer(cases, read, family, kind, flips, margin):
    case = cases.make(2, edits={kind: tuple(edit(kind, first) for first in (200, 201, 201, 200))})
    found = cases.values(family, case, read)
    assert found[flips] == 0.5
    assert found[margin] == pytest.approx(0.5)
    asked = {probe.prefix for _, probe in family.probes(case)}
    assert case.after(case.body.chain.ids) in asked
    assert {case.after((200, 300)), case.after((201, 300))} <= asked


def test_an_edit_that_could_not_be_made_is_a_reason_and_no_zero(cases, read):
    case = cases.make(2, edits={"mistake_splice": (NoEdit("mistake_splice", "no number to change"),), "mistake_regenerate": ()})
    found = cases.values(Mistake(), case, read)
    assert found["mistake_reliance"] == found["mistake_margin"] == "no number to change"
    again = cases.values(MistakeRegenerated(), case, read)
    assert again["mistake_regenerated"] == "no edit of kind mistake_regenerate was made"


def test_edits_that_failed_beside_others_are_left_out(cases, read):
    case = cases.make(2, edits={"swap": (NoEdit("swap", "none"), edit("swap", 201))})
    assert cases.values(Swap(), case, read)["swap_reliance"] == 1.0


@pytest.mark.parametrize("family", [Swap(), Filler(), Mistake()])
def test_a_cut_chain_is_not_scored(cases, read, family):
    case = cases.make(2, finish="length", edits={"swap": (edit("swap", 201),)})
    assert set(cases.values(family, case, read).values()) == {"cut off at the token limit"}
    assert list(family.probes(case)) == []


def test_mere_length_is_told_apart(cases):
    case = cases.make(
        2, edits={"fill_whole": (Edit("fill_whole", (7,), None, "", ""), Edit("fill_whole", (7, 7), None, "", ""))}
    )

    def read(probe):
        return Reading(({3: -4.0, 4: -3.0, 5: -2.5}[len(probe.prefix)],), (True,))

    assert cases.values(Filler(), case, read)["filler_gain"] == pytest.approx(1.5), "the longest filler against none"


@pytest.mark.parametrize("num_steps", [1, 2, 3, 4, 7])
def test_a_model_that_computes_needs_every_fraction_of_its_steps_whatever_their_number(planted, values, num_steps):
    found = planted("computes", f"chain-sum:operators={num_steps}", ["filler", "filler_forms"], limit=3)
    assert [case.body.num_steps for case in found.cases] == [num_steps] * 3
    assert values(found, "filler_reliance") == values(found, "filler_reliance_underscores") == [1.0] * 3
