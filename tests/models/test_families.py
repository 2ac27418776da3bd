"""Every family of transformers is read as bare forward passes read it, by the fastest reader that is right for it, or refused."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.models.families import FAMILIES, INDEXED, bare, build, probes

from soundness.errors import ModelError
from soundness.models.modules import SharedModule
from soundness.models.transformers import TransformersModel

TOLERANCE = 1e-3
"""Nats a token in float32; families with a recurrent state sum in another order, the others are within 1e-4."""

PAGE = Path(__file__).parents[2] / "docs" / "families.md"


def wrap(module: Any, tokenizer: Any, name: str = "tiny", dtype: torch.dtype = torch.float32) -> TransformersModel:
    return TransformersModel(SharedModule(module, tokenizer, device=torch.device("cpu"), dtype=dtype), name)


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR, logger="soundness")


PACKED = (
    "qwen2_moe, window",  # windows that stand in the mask alone
    "phimoe",
    "qwen3_moe",  # experts
    "gpt_oss",  # sinks
    "gemma3n_text",  # layers that share keys
    "phi3, longrope",  # frequencies by the length of the text
    "phimoe, longrope",
    "llama, dynamic",
    "deepseek_v3",  # latent attention
)
FALLS_BACK = {
    "doge": ("cached", "another mask"),
    "llama4_text": ("cached", "chunked_attention"),
    "llama4_text, full attention": ("cached", "temperature tuning"),
    "diffllama": ("cached", "share keys"),
    "falcon": ("cached", "attention interface"),
    "qwen3_next": ("cached", "linear_attention"),
    "jamba": ("plain", "nats off a bare pass"),
}


@pytest.mark.parametrize("family", [*PACKED, *FALLS_BACK])
def test_a_family_is_read_as_bare_passes_read_it(tiny, family):
    module, asked = build(family), probes()
    model = wrap(module, tiny.byte_tokenizer(), family)
    wanted = bare(module, asked)
    found = np.concatenate([reading.token_nats for reading in model.read(asked)])
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=0)
    reader, why = FALLS_BACK.get(family, ("packed", ""))
    assert model.choice.reader == reader
    assert any(why in line for line in model.choice.why or [""])


@pytest.mark.parametrize("reader", ["packed", "cached", "plain"])
@pytest.mark.parametrize("family", ["phi3, longrope", "llama, dynamic"])
def test_texts_on_both_sides_of_a_limit_are_read_as_alone(tiny, family, reader):
    """0.1 was off by nats in all three ways, so that no comparison of readers could notice."""
    module, asked = build(family), probes()
    model = wrap(module, tiny.byte_tokenizer())
    model.reader = reader
    wanted = bare(module, asked)
    for order in (asked, asked[::-1]):
        found = {probe: reading for probe, reading in zip(order, model.read(order), strict=True)}
        np.testing.assert_allclose(np.concatenate([found[p].token_nats for p in asked]), wanted, atol=1e-4, rtol=0)
    assert bare(module, asked) == pytest.approx(wanted, abs=1e-6), "and the module is left as it was"


@pytest.mark.parametrize("family", ["jamba", "bamba"])
def test_a_state_that_is_dropped_is_seen_in_bfloat16_too(tiny, family):
    for seed in range(3):
        model = wrap(build(family, seed).to(torch.bfloat16), tiny.byte_tokenizer(), dtype=torch.bfloat16)
        model.read([probes()[0]])
        assert model.choice.reader == "plain"


@pytest.mark.parametrize("family", ["llama", "qwen3_moe", "gpt_oss", "granite_swa"])
def test_rounding_alone_makes_no_model_slow(tiny, family):
    for seed in range(2):
        model = wrap(build(family, seed).to(torch.bfloat16), tiny.byte_tokenizer(), dtype=torch.bfloat16)
        model.read([probes()[0]])
        assert (model.choice.reader, model.notes) == ("packed", [])


def test_autocast_that_the_weights_do_not_show_makes_no_model_slow(tiny):
    """As in a TRL run with bf16=True: parameters are float32, every forward pass runs under autocast."""
    module = build("llama")
    inner = module.forward

    def forward(*arguments, **options):
        with torch.autocast("cpu", torch.bfloat16):
            return inner(*arguments, **options)

    module.forward = forward
    model = wrap(module, tiny.byte_tokenizer())
    model.read([probes()[0]])
    assert model.choice.reader == "packed"
    assert model.choice.apart > 1e-3, "it was rounded"


@pytest.mark.parametrize("family", ["deepseek_v32", "glm_moe_dsa"])
def test_an_index_is_exact_while_it_holds_the_whole_text_and_refused_beyond(tiny, family, monkeypatch):
    module, asked = build(family), probes()
    model = wrap(module, tiny.byte_tokenizer(), family)
    short = asked[:4]
    found = np.concatenate([reading.token_nats for reading in model.read(short)])
    np.testing.assert_allclose(found, bare(module, short), atol=TOLERANCE, rtol=0)
    monkeypatch.setattr(module.config, "index_topk", 64)
    with pytest.raises(ModelError, match="attends through an index of 64 tokens"):
        model.read(asked)


def test_compressed_attention_is_refused_with_the_reason(tiny):
    with pytest.raises(ModelError, match="compressed"):
        wrap(build("deepseek_v4"), tiny.byte_tokenizer()).read(probes()[:2])


def row(family: str, tokenizer: Any) -> str:
    """Return a line of the table: who reads the family, and why nobody faster does."""
    module, asked = build(family), probes()
    model = wrap(module, tokenizer, family)
    wanted = bare(module, asked)
    try:
        found = np.concatenate([reading.token_nats for reading in model.read(asked)])
    except ModelError as error:
        return f"| {family} | refused | {str(error).partition(': ')[2]} |"
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE, rtol=0, err_msg=family)
    why = "; ".join(line for line in model.choice.why if not line.startswith("cached: up to"))
    dropped = any(line.startswith("cached: up to") for line in model.choice.why)
    return f"| {family} | {model.choice.reader} | {why}{'; cached: its code drops the state' if dropped else ''} |"


@pytest.mark.slow
def test_the_table_of_families_is_what_is_measured(tiny, request):
    tokenizer = tiny.byte_tokenizer()
    rows = [row(family, tokenizer) for family in sorted(FAMILIES | INDEXED)]
    head, mark, _ = PAGE.read_text(encoding="utf-8").partition("<!-- table -->\n")
    page = f"{head}{mark}| family | reader | why not a faster one |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    if request.config.getoption("--write-families", default=False):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page, "docs/families.md is stale: run this test with --write-families"
