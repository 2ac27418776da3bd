from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.chains.steps import answer_key
from soundness.errors import SettingError
from soundness.interventions.swap import NEAREST, donors, swap

described = st.lists(st.tuples(st.integers(0, 12), st.sampled_from(["1", "2", "3.0", "3", None])), max_size=14)


def built(tools, rows):
    chains = [tools.chain("x" * length, problem_id=f"p{index}", answer=answer) for index, (length, answer) in enumerate(rows)]
    return chains, {f"p{index}": "3" if index % 3 == 0 else None for index in range(len(rows))}


@given(described, st.integers(0, 3), st.integers())
def test_donors_are_other_problems_with_other_answers_whatever_the_order(tools, rows, seed, mix):
    chains, answers = built(tools, rows)
    found = donors(chains, seed=seed, answers=answers)
    assert set(found) == {(chain.problem_id, chain.sample) for chain in chains}
    shuffled = random.Random(mix).sample(chains, len(chains))
    assert donors(shuffled, seed=seed, answers=answers) == found

    def known(chain):
        return {answer_key(answer) for answer in (chain.answer, answers[chain.problem_id]) if answer}

    for chain in chains:
        fitting = [
            other
            for other in chains
            if other.problem_id != chain.problem_id
            and other.ids
            and known(other)
            and known(chain)
            and not known(chain) & known(other)
        ]
        donor = found[chain.problem_id, 0]
        assert (donor is None) == (not fitting)
        if donor is not None:
            assert donor in fitting
            gaps = sorted(abs(len(other.ids) - len(chain.ids)) for other in fitting)
            assert abs(len(donor.ids) - len(chain.ids)) <= gaps[min(NEAREST, len(gaps)) - 1]
            edit = swap(chain, donor)
            assert edit.ids == donor.ids
            assert (edit.kind, edit.before, edit.after) == ("swap", chain.text, donor.text)


def test_samples_of_one_problem_do_not_stand_in_for_each_other(tools):
    chains = [tools.chain("xx", problem_id="p", sample=sample, answer=str(sample)) for sample in range(4)]
    assert set(donors(chains, seed=0, answers={}).values()) == {None}


def test_chains_of_one_length_are_spread_over_many_donors(tools):
    chains = [tools.chain("xxxx", problem_id=f"p{index}", answer=str(index)) for index in range(100)]
    found = donors(chains, seed=0, answers={})
    assert len({donor.problem_id for donor in found.values()}) > 50
    assert found != donors(chains, seed=1, answers={})


def test_two_writers_at_once_are_refused(tools):
    chain = tools.chain("x", answer="1")
    with pytest.raises(SettingError, match="one writer at a time"):
        donors([chain, chain], seed=0, answers={})
