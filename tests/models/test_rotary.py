"""Frequencies that depend on the length of a text: which texts may share a call, and what a call is told."""

from __future__ import annotations

import pytest
import torch
from tests.models.families import build

from soundness.models.rotary import Rotary

IDS = torch.arange(3, 63)[None]


@pytest.mark.parametrize(
    ("family", "limit", "groups"),
    [
        ("llama", None, {1: 1, 5000: 1}),
        ("llama, yarn", None, {1: 1, 5000: 1}),
        ("phi3, longrope", 32, {1: 1, 32: 1, 33: 33, 90: 33}),
        ("phimoe, longrope", 32, {32: 1, 33: 33, 90: 33}),
        ("llama, dynamic", 48, {48: 1, 49: 49, 90: 90}),
    ],
)
def test_texts_with_equal_frequencies_share_a_group(family, limit, groups):
    rotary = Rotary(build(family))
    assert rotary.limit == limit
    assert {length: rotary.group(length) for length in groups} == groups


@pytest.mark.parametrize("family", ["phi3, longrope", "phimoe, longrope", "llama, dynamic"])
def test_a_call_has_the_frequencies_that_it_is_told(family):
    module = build(family)
    rotary = Rotary(module)
    with torch.inference_mode():
        bare = {length: module(IDS[:, :length]).logits for length in (60, 20)}  # the short one last: dynamic forgets then
        alone = module(IDS[:, :10]).logits
        with rotary.fixed(rotary.group(60)):
            assert not torch.allclose(module(IDS[:, :20]).logits, bare[20], atol=0.1), "the long text's frequencies"
            torch.testing.assert_close(module(IDS).logits, bare[60], atol=1e-5, rtol=0)
        with rotary.fixed(rotary.group(20)):
            torch.testing.assert_close(module(IDS[:, :20]).logits, bare[20], atol=1e-5, rtol=0)
        torch.testing.assert_close(module(IDS[:, :10]).logits, alone, atol=1e-5, rtol=0)


def test_hooks_are_gone_after_an_error():
    module = build("phi3, longrope")
    rotary = Rotary(module)
    with torch.inference_mode():
        wanted = module(IDS[:, :20]).logits
        with pytest.raises(KeyboardInterrupt), rotary.fixed(60):
            raise KeyboardInterrupt
        torch.testing.assert_close(module(IDS[:, :20]).logits, wanted, atol=0, rtol=0)
