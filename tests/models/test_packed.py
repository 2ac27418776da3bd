"""Packed passes of any size give the same numbers, and leave the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.models.packed import CannotPack, gather, read_packed
from soundness.models.unpacked import read_plain
from soundness.probes.forest import build, plan_passes
from soundness.records import Probe

CPU = torch.device("cpu")


def chain_like(seed: int, num_steps: int, step: int) -> list[Probe]:
    """Return the probes of a ladder on one chain with two answers, and a few of another chain on the same prompt."""
    rng = np.random.default_rng(seed)
    prompt, chain, other = (rng.integers(3, 259, size).tolist() for size in (15, num_steps * step, 2 * step))
    probes = [Probe((*prompt, *chain[: i * step], 7), tail) for i in range(num_steps + 1) for tail in ((8, 9, 10), (8, 11))]
    return [*probes, Probe((*prompt, *other, 7), (8, 9, 10)), Probe((5,), (6,))]


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gemma2", "mistral"])
@settings(max_examples=5, deadline=None, database=None)
@given(max_tokens=st.integers(9, 90), max_scored=st.integers(3, 12), seed=st.integers(0, 99))
def test_passes_of_any_size_agree_with_the_plain_reading(tiny, kind, max_tokens, max_scored, seed):
    module = tiny.load(kind).module
    forest = build(chain_like(seed, 4, 10))
    assert len(plan_passes(forest, max_tokens=max_tokens, max_scored=max_scored)) > 1
    nats, top = read_packed(module, forest, device=CPU, max_tokens=max_tokens, max_scored=max_scored)
    wanted, wanted_top = read_plain(module, forest, device=CPU)
    np.testing.assert_allclose(nats, wanted, atol=1e-4, rtol=0)
    assert (top == wanted_top).all()


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_a_long_trunk_is_read_causally_within_the_window(tiny, kind):
    module = tiny.load(kind).module
    forest = build(chain_like(0, 75, 15))
    passes = plan_passes(forest, max_tokens=4096, max_scored=512)
    assert any(block.causal and block.stop - block.start > tiny.window for one in passes for block in one.blocks)
    nats, _ = read_packed(module, forest, device=CPU, max_tokens=4096, max_scored=512)
    np.testing.assert_allclose(nats, read_plain(module, forest, device=CPU)[0], atol=1e-4, rtol=0)


def test_many_prompts_without_a_common_start_stay_apart(tiny):
    module = tiny.load("llama").module
    rng = np.random.default_rng(1)
    probes = [Probe(tuple(rng.integers(3, 259, rng.integers(1, 90)).tolist()), (4, 5)) for _ in range(12)]
    forest = build(probes)
    nats, _ = read_packed(module, forest, device=CPU, max_tokens=4096, max_scored=512)
    alone = [read_packed(module, build([probe]), device=CPU, max_tokens=4096, max_scored=512)[0] for probe in probes]
    np.testing.assert_allclose(nats, np.concatenate(alone), atol=1e-4, rtol=0)


def test_the_model_attends_as_before_afterwards(tiny):
    module = tiny.load("llama").module
    before = module.config._attn_implementation
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        wanted = module(input_ids=ids).logits
        read_packed(module, build([Probe((4, 5), (6, 7))]), device=CPU, max_tokens=9, max_scored=9)
        assert module.config._attn_implementation == before
        assert torch.equal(module(input_ids=ids).logits, wanted)


def test_the_model_attends_as_before_after_a_failure(tiny, monkeypatch):
    module = tiny.load("llama").module
    before = module.config._attn_implementation
    monkeypatch.setattr("soundness.models.packed._HARMLESS", set())
    monkeypatch.setattr(module.model.layers[1].self_attn, "is_causal", False)
    with pytest.raises(CannotPack, match="its attention takes"):
        read_packed(module, build([Probe((4, 5), (6, 7))]), device=CPU, max_tokens=9, max_scored=9)
    assert module.config._attn_implementation == before


def test_attention_that_is_not_asked_through_the_interface_is_noticed(tiny):
    module = tiny.load("mamba").module
    with pytest.raises((CannotPack, TypeError)):
        read_packed(module, build([Probe((4, 5), (6, 7))]), device=CPU, max_tokens=9, max_scored=9)


def test_gather_takes_the_log_of_the_softmax_at_the_target(monkeypatch):
    logits = torch.log(torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]))
    monkeypatch.setattr("soundness.models.packed._WIDENED", 3)  # a row at a time
    nats, top = gather(logits, np.array([0, 1, 1, 0]), np.array([2, 0, 2, 0]))
    np.testing.assert_allclose(np.exp(nats), [0.5, 0.6, 0.1, 0.2], rtol=1e-6)
    assert top.tolist() == [True, True, False, False]
    assert nats.dtype == np.float64
