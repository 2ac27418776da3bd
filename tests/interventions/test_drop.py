from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.errors import SettingError
from soundness.interventions import NoEdit
from soundness.interventions.drop import drop

SUM = "3 + 4 = 7\n7 - 2 = 5\nAnswer: 5"
texts = st.lists(st.sampled_from(["3 + 4 = 7", "So on.", "é and 🙂", "Answer: 5"]), min_size=1, max_size=6).map("\n".join)


@given(texts, st.data())
def test_drop_takes_one_step_out_and_keeps_the_other_ids(tools, text, data):
    chain = tools.chain(text)
    step = data.draw(st.integers(0, len(chain.steps) - 1))
    edit = drop(chain, step, tools.pieces(chain.ids))
    start, stop = chain.steps[step]
    assert edit.ids == chain.ids[:start] + chain.ids[stop:]
    assert edit.before == tools.steps(chain)[step]
    assert edit.step == step


def test_steps_that_are_not_there(tools):
    chain, empty = tools.chain(SUM), tools.chain("")
    with pytest.raises(SettingError, match="step 3 .* 3 steps allow 0 to 2"):
        drop(chain, 3, tools.pieces(chain.ids))
    with pytest.raises(SettingError):
        drop(chain, -1, tools.pieces(chain.ids))
    assert drop(empty, 0, []) == NoEdit("drop", "the chain has no steps")
