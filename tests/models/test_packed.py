"""Packed passes of any size give the same numbers, and leave the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundness.models.packed import CannotPack, _with_sink, gather, read_packed, window_of
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


@pytest.mark.parametrize("kind", ["llama", "gemma3", "gemma2"])
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


# --- who may see whom -------------------------------------------------------------------------------------------------------


def causal(batch, head, query, key):
    return key <= query


@pytest.mark.parametrize("window", [1, 2, 16, 4096, 131072])
def test_the_window_of_a_mask_is_found(window):
    assert window_of(causal) is None
    assert window_of(lambda batch, head, query, key: (key <= query) & (key > query - window)) == window


@pytest.mark.parametrize(
    "pattern",
    [
        lambda b, h, query, key: (key <= query) & (key // 16 == query // 16),  # chunks, as in Llama 4
        lambda b, h, query, key: (key <= query) | (key < 20),  # a prefix seen both ways, as in PaliGemma
        lambda b, h, query, key: (key <= query) & ((key > query - 16) | (key < 4)),  # a window and the first tokens
        lambda b, h, query, key: (key <= query) & (key > query - 16) & (key % 2 == 0),
        lambda b, h, query, key: key <= query + 1,
        lambda b, h, query, key: (key <= query) & (key > query - 0),  # sees nothing
        lambda b, h, query, key: torch.ones(8, dtype=torch.bool)[key] & (key <= query),  # looks into a tensor of its own
    ],
)
def test_any_other_pattern_is_refused(pattern):
    with pytest.raises(CannotPack, match="its mask"):
        window_of(pattern)


def test_a_mask_that_no_layer_uses_may_be_of_any_pattern(tiny):
    """Qwen2-MoE without a window makes one of width 0 that no layer is given."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

    module = tiny.load("llama").module
    inner = module.model.forward

    def forward(*arguments, **options):
        ALL_MASK_ATTENTION_FUNCTIONS[module.config._attn_implementation](
            batch_size=1, q_length=2, kv_length=2, mask_function=lambda b, h, query, key: key < 0 * query, device=CPU
        )
        return inner(*arguments, **options)

    module.model.forward = forward
    try:
        nats, _ = read_packed(module, build([Probe((4, 5), (6, 7))]), device=CPU, max_tokens=9, max_scored=9)
    finally:
        del module.model.forward
    np.testing.assert_allclose(nats, read_plain(module, build([Probe((4, 5), (6, 7))]), device=CPU)[0], atol=1e-4, rtol=0)


def test_a_window_that_mask_and_call_name_otherwise_is_refused(tiny, monkeypatch):
    module = tiny.load("mistral").module
    monkeypatch.setattr("soundness.models.packed.window_of", lambda mask: 7)
    with pytest.raises(CannotPack, match="names a window of 12 and its mask one of 7"):
        read_packed(module, build([Probe((4, 5), (6, 7))]), device=CPU, max_tokens=9, max_scored=9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", [True, False])
def test_a_sink_takes_its_share_of_the_softmax(masked, dtype):
    draw = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 9, 16, generator=draw)
    key, value = (torch.randn(1, 2, 9, 16, generator=draw) for _ in range(2))
    sink = torch.tensor([-3.0, 0.0, 1.7, 40.0])
    hidden = torch.ones(9, 9).triu(1).bool() if not masked else torch.rand(9, 9, generator=draw) < 0.3
    hidden.fill_diagonal_(False)
    mask = torch.zeros(9, 9).masked_fill(hidden, torch.finfo(dtype).min)
    scores = query @ key.repeat_interleave(2, dim=1).transpose(2, 3) * 0.25 + mask
    weights = torch.cat([scores, sink[None, :, None, None].expand(1, 4, 9, 1)], dim=-1).softmax(-1)[..., :-1]
    wanted = weights @ value.repeat_interleave(2, dim=1)
    given = [tensor.to(dtype) for tensor in (query, key, value)]
    found = _with_sink(*given, mask.to(dtype) if masked else None, 0.25, sink.to(dtype))
    torch.testing.assert_close(found.float(), wanted, atol=1e-5 if dtype is torch.float32 else 0.03, rtol=0)
