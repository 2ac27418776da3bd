from __future__ import annotations

import pytest

from soundness.errors import MetricError
from soundness.interventions import NoEdit
from soundness.interventions.base import EditKind, Supplies
from soundness.interventions.plan import EDITS, edit_body, kinds_of
from soundness.records import Edit

TEXT = "".join(f"{n} + 1 = {n + 1}\n" for n in range(11, 17))


@pytest.fixture
def edit(tools):
    def make(
        body, kinds=("swap", "shuffle", "fill_tail", "fill_whole", "mistake_splice", "mistake_regenerate"), donor=None, seed=0
    ):
        return edit_body(body, kinds_of(kinds), Supplies(tools.pieces(body.ids), tools.encode, tools.decode, seed, donor=donor))

    return make


def test_every_kind_is_made_of_a_chain_with_numbers(tools, edit):
    body, donor = tools.chain(TEXT), tools.chain("1 + 1 = 2\n2 + 2 = 4\n", problem_id="other")
    made = edit(body, donor=donor)
    assert all(isinstance(one, Edit) for edits in made.values() for one in edits)
    assert made["swap"][0].ids == donor.ids
    assert sorted(made["shuffle"][0].ids) == sorted(body.ids) and made["shuffle"][0].ids != body.ids
    for one in made["fill_tail"]:
        assert len(one.ids) == len(body.ids), "filler has the length of what it replaces"
    assert max(len(one.ids) for one in made["fill_whole"]) == len(body.ids)
    for one in made["mistake_splice"]:
        assert one.ids[: body.steps[one.step].start] == body.ids[: body.steps[one.step].start]
        assert one.ids[-(len(body.ids) - body.steps[one.step].stop) :] == body.ids[body.steps[one.step].stop :] or one.step == 5
    for one in made["mistake_regenerate"]:
        assert len(one.ids) == body.steps[one.step].stop, "the rest is for the writer to write"


def test_cost_stays_bounded_on_long_chains(tools, edit):
    body = tools.chain("".join(f"{n} + 1 = {n + 1}\n" for n in range(11, 90)))
    made = edit(body, donor=body)
    assert {kind: len(edits) for kind, edits in made.items() if len(edits) > 5} == {}


def test_only_what_is_asked_for_is_made(tools, edit):
    assert set(edit(tools.chain(TEXT), kinds=("shuffle",))) == {"shuffle"}


def test_the_same_seed_makes_the_same_edits(tools, edit):
    body = tools.chain(TEXT)
    assert edit(body) == edit(body)
    assert edit(body, seed=1) != edit(body)


def test_what_cannot_be_made_says_why(tools, edit):
    words = tools.chain("It rains.\n")
    made = edit(words)
    for kind in ("swap", "shuffle", "mistake_splice", "mistake_regenerate"):
        assert all(isinstance(one, NoEdit) and one.reason for one in made[kind]), kind
    empty = edit(tools.chain(""), kinds=tuple(EDITS))
    assert set(empty) == set(EDITS)
    assert {one.reason for edits in empty.values() for one in edits} == {"no steps before the answer"}


def backwards(body, supplies):
    return [Edit("backwards", body.ids[::-1], None, body.text, "")]


def test_a_kind_of_ones_own_needs_a_name_of_its_own(tools, edit):
    kind = EditKind("backwards", backwards)
    body = tools.chain(TEXT)
    assert edit(body, kinds=("swap", kind))["backwards"][0].ids == body.ids[::-1]
    assert [one.name for one in kinds_of(["swap", kind, "drop", kind, "swap"])] == ["backwards", "drop", "swap"]
    with pytest.raises(MetricError, match="unknown kind of edit 'swop' .did you mean 'swap'"):
        kinds_of(["swop"])
    for other in (EditKind("swap", backwards), EditKind("backwards", lambda body, supplies: [])):
        with pytest.raises(MetricError, match=f"another kind of edit is called '{other.name}'"):
            kinds_of([kind, other])
