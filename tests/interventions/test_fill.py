from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.errors import SettingError
from soundness.interventions.base import Supplies
from soundness.interventions.fill import (
    FILL_TAIL,
    FILL_TAIL_UNDERSCORES,
    FILLERS,
    fill_tail,
    fill_whole,
    filler_ids,
    filler_lengths,
)

SUM = "3 + 4 = 7\n7 - 2 = 5\nAnswer: 5"


@given(st.integers(0, 60), st.integers(0, 60), st.sampled_from(list(FILLERS.values())))
def test_fillers_have_the_asked_length_and_nest(tools, shorter, longer, text):
    shorter, longer = sorted((shorter, longer))
    ids = filler_ids(tools.encode, longer, text)
    assert len(ids) == longer
    assert ids[:shorter] == filler_ids(tools.encode, shorter, text)
    assert tools.decode(ids) == (text * 60)[: len(tools.decode(ids))]


@given(st.integers(0, 3), st.sampled_from(list(FILLERS.values())))
def test_filling_a_tail_keeps_the_token_count_and_the_kept_ids(tools, keep, text):
    chain = tools.chain(SUM)
    edit = fill_tail(chain, keep, tools.pieces(chain.ids), tools.encode, tools.decode, text)
    kept = len(chain.before(keep))
    assert len(edit.ids) == len(chain.ids)
    assert edit.ids[:kept] == chain.ids[:kept]
    assert edit.ids[kept:] == filler_ids(tools.encode, len(chain.ids) - kept, text)
    assert edit.before == "".join(tools.steps(chain)[keep:])
    assert edit.after == tools.decode(edit.ids[kept:])


def test_filling_the_whole(tools):
    chain = tools.chain(SUM)
    edit = fill_whole(chain, tools.encode, tools.decode)
    assert len(edit.ids) == len(chain.ids)
    assert edit.before == SUM
    assert edit.after.startswith(" ... ...")
    assert fill_whole(chain, tools.encode, tools.decode, length=5).ids == edit.ids[:5]


def test_lengths_nest_and_end_at_the_longest_chain():
    assert filler_lengths(12) == [0, 5, 10, 12]
    assert filler_lengths(10) == [0, 5, 10]
    assert filler_lengths(0) == [0]
    assert filler_lengths(1000, most=11) == list(range(0, 1001, 100))


@given(st.integers(0, 2000), st.integers(1, 20), st.integers(2, 40))
def test_thinned_lengths_keep_their_ends(longest, step, most):
    every, thin = filler_lengths(longest, step), filler_lengths(longest, step, most)
    assert len(every) == -(-longest // step) + 1
    assert len(thin) == min(most, len(every))
    assert set(thin) <= set(every)
    assert (thin[0], thin[-1]) == (0, longest)
    assert thin == sorted(set(thin))


def test_settings_that_make_no_sense(tools):
    with pytest.raises(SettingError, match="has none"):
        filler_ids(tools.encode, 3, "")
    with pytest.raises(SettingError, match="-1"):
        filler_ids(tools.encode, -1)
    with pytest.raises(SettingError):
        filler_lengths(10, most=1)


@pytest.mark.parametrize("kind", [FILL_TAIL, FILL_TAIL_UNDERSCORES])
@pytest.mark.parametrize(("num_steps", "kept"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 1, 2, 3]), (9, [0, 2, 4, 7])])
def test_the_untouched_chain_is_never_among_the_fills(tools, kind, num_steps, kept):
    """At one and two steps it once was, so that half of the fills of a chain of one step changed nothing."""
    chain = tools.chain("".join(f"{n} + 1 = {n + 1}\n" for n in range(num_steps)))
    edits = kind.make(chain, Supplies(tools.pieces(chain.ids), tools.encode, tools.decode))
    assert [edit.step or 0 for edit in edits] == kept
    assert all(edit.ids != chain.ids and edit.kind == kind.name for edit in edits)
