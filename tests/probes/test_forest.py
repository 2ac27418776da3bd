"""The forest against brute force: every token knows its ancestors, every pass shows each query exactly them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundness.probes.forest import build, plan_passes
from soundness.records import Probe

ids = st.integers(0, 3)  # few ids: much is shared
probes = st.builds(
    Probe,
    st.lists(ids, min_size=1, max_size=40).map(tuple),
    st.lists(ids, min_size=1, max_size=5).map(tuple),
)


def chain_like(num_steps: int, step: int, prompt: int = 20) -> list[Probe]:
    """Return the probes of early answering on one chain: a long trunk with short leaves."""
    rng = np.random.default_rng(num_steps)
    text = rng.integers(0, 50, size=prompt + num_steps * step).tolist()
    return [Probe((*text[: prompt + i * step], 99), (7, 8, 9)) for i in range(num_steps + 1)]


def context(forest, place):
    """Return the ids from the root to layout position `place`, found through `is_ancestor` alone."""
    everyone = np.arange(forest.num_tokens)
    above = everyone[forest.is_ancestor(everyone, np.array([place]))[0]]
    above = above[np.argsort(forest.depth[above])]
    assert forest.depth[above].tolist() == list(range(len(above)))
    return tuple(forest.ids[above].tolist())


@given(st.lists(probes, min_size=1, max_size=25))
def test_every_scored_place_has_exactly_the_probe_before_it(asked):
    forest = build(asked)
    for index, probe in enumerate(asked):
        low, high = forest.scored.offsets[index : index + 2]
        assert forest.scored.target[low:high].tolist() == list(probe.continuation)
        for token, place in enumerate(forest.scored.place[low:high]):
            assert context(forest, place) == probe.prefix + probe.continuation[:token]


@given(st.lists(probes, min_size=1, max_size=25))
def test_each_token_in_context_stands_once(asked):
    forest = build(asked)
    needed = {(p.prefix + p.continuation[:-1])[: i + 1] for p in asked for i in range(len(p.prefix + p.continuation) - 1)}
    assert forest.num_tokens == len(needed)
    assert {context(forest, place) for place in range(forest.num_tokens)} == needed


def check_passes(forest, max_tokens, max_scored):
    """Assert that the passes read every token once and show each query exactly its ancestors."""
    passes = plan_passes(forest, max_tokens=max_tokens, max_scored=max_scored)
    assert [p.start for p in passes] == [0, *(p.stop for p in passes[:-1])]
    assert passes[-1].stop == forest.num_tokens
    kept = np.empty(0, dtype=np.int64)
    for one in passes:
        assert 0 < one.stop - one.start <= max_tokens
        places = forest.scored_places
        assert ((places >= one.start) & (places < one.stop)).sum() <= max_scored
        assert np.array_equal(one.kept, kept)
        seen = one.seen()
        assert [b.start for b in one.blocks] == [0, *(b.stop for b in one.blocks[:-1])]
        assert one.blocks[-1].stop == one.stop - one.start
        for block in one.blocks:
            queries = np.arange(one.start + block.start, one.start + block.stop)
            columns = np.concatenate([np.arange(low, high) for low, high in block.keys])
            assert len(np.unique(columns)) == len(columns)
            keys = seen[columns]
            visible = forest.is_ancestor(keys, queries)
            if block.causal:
                assert np.array_equal(keys, queries)
                assert np.array_equal(visible, np.tril(np.ones(visible.shape, bool)))
            assert np.array_equal(visible.sum(axis=1), forest.depth[queries] + 1), "a query misses an ancestor"
        kept = seen[one.keep]
    assert len(kept) == 0
    return passes


@given(st.lists(probes, min_size=1, max_size=25), st.integers(1, 60), st.integers(1, 20))
def test_passes_show_each_query_its_ancestors(asked, max_tokens, max_scored):
    check_passes(build(asked), max_tokens, max_scored)


@pytest.mark.parametrize("max_tokens", [50, 300, 5000])
def test_passes_on_long_chains(max_tokens):
    shared = [Probe((3, 3, 3, *p.prefix), p.continuation) for n in (3, 40) for p in chain_like(n, 30)]
    passes = check_passes(build(shared), max_tokens, 64)
    if max_tokens == 5000:
        blocks = [block for one in passes for block in one.blocks]
        assert any(block.causal and block.stop - block.start > 1000 for block in blocks), "the longest path needs no mask"
        assert all(block.stop - block.start <= 256 for block in blocks if not block.causal)


def test_cost_is_one_trunk_and_the_leaves():
    forest = build(chain_like(8, 20, prompt=100))
    assert forest.num_tokens == 100 + 8 * 20 + 9 * 3  # cue and two of three answer tokens a leaf
    assert forest.num_plain_tokens == sum(100 + i * 20 + 3 for i in range(9))


def test_the_order_of_probes_does_not_matter():
    asked = chain_like(6, 10) + chain_like(4, 7)
    one, two = build(asked), build(asked[::-1])
    assert np.array_equal(one.ids, two.ids)
    assert np.array_equal(one.enter, two.enter)


def test_an_empty_prefix_is_refused():
    with pytest.raises(ValueError, match="start token"):
        build([Probe((), (1,))])


def test_many_probes_are_planned_fast_enough_to_stand_beside_a_model():
    asked = [p for n in range(100) for p in chain_like(10 + n % 7, 15)]
    forest = build(asked)
    assert forest.num_tokens < forest.num_plain_tokens / 4
    check_passes(forest, 4096, 512)
