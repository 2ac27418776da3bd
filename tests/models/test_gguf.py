from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers.convert_slow_tokenizer import bytes_to_unicode

from soundness.errors import ModelError, SettingError
from soundness.models import gguf as ours

HEADS, KV_HEADS, HEAD_DIM, HIDDEN, INNER, LAYERS = 4, 2, 16, 64, 96, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
TEXT = "a\n\n1. b  12"
Quantised = gguf.GGMLQuantizationType


def vocabulary() -> tuple[list[str], list[str]]:
    alphabet = list(bytes_to_unicode().values())
    merges = ["Ċ Ċ", "Ġ Ġ", "1 2"]
    return SPECIAL + alphabet + [merge.replace(" ", "") for merge in merges], merges


def interleave(weight: np.ndarray, num_heads: int) -> np.ndarray:
    """Row order of GGUF's Llama files: within each head, pair (j, j + half) of rotated rows comes to lie side by side."""
    half = weight.shape[0] // num_heads // 2
    order = [head * 2 * half + side * half + j for head in range(num_heads) for j in range(half) for side in (0, 1)]
    return weight[order]


def write_gguf(path: Path, kind: Quantised, rule: str = "smollm") -> LlamaForCausalLM:
    """Write a random Llama whose matrices are stored as `kind`; return it with the weights that the file really holds."""
    tokens, merges = vocabulary()
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        initializer_range=0.2,
        tie_word_embeddings=True,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
    )
    model = LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rule)
    writer.add_token_list(tokens)
    writer.add_token_types([3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)

    def add(name: str, parameter: torch.nn.Parameter, num_heads: int = 0) -> None:
        values = parameter.detach().numpy().copy()
        if values.ndim == 1:
            writer.add_tensor(name, values)
            return
        rows = interleave(values, num_heads) if num_heads else values
        blocks = gguf.quants.quantize(rows, kind)
        writer.add_tensor(name, blocks, raw_dtype=kind)
        held = np.array(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind))  # rows are quantised one by one
        parameter.data = torch.from_numpy(held)

    add("token_embd.weight", model.model.embed_tokens.weight)
    model.tie_weights()
    add("output_norm.weight", model.model.norm.weight)
    for index, layer in enumerate(model.model.layers):
        add(f"blk.{index}.attn_norm.weight", layer.input_layernorm.weight)
        add(f"blk.{index}.ffn_norm.weight", layer.post_attention_layernorm.weight)
        add(f"blk.{index}.attn_q.weight", layer.self_attn.q_proj.weight, HEADS)
        add(f"blk.{index}.attn_k.weight", layer.self_attn.k_proj.weight, KV_HEADS)
        add(f"blk.{index}.attn_v.weight", layer.self_attn.v_proj.weight)
        add(f"blk.{index}.attn_output.weight", layer.self_attn.o_proj.weight)
        add(f"blk.{index}.ffn_gate.weight", layer.mlp.gate_proj.weight)
        add(f"blk.{index}.ffn_up.weight", layer.mlp.up_proj.weight)
        add(f"blk.{index}.ffn_down.weight", layer.mlp.down_proj.weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SOUNDNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (Quantised.Q4_1, torch.float32),
        (Quantised.Q8_0, torch.float32),
        (Quantised.F16, torch.float16),
        (Quantised.BF16, torch.bfloat16),
    ],
)
def test_reloaded_weights_are_the_files_own_and_plain(tmp_path: Path, kind: Quantised, stored: torch.dtype) -> None:
    expected = write_gguf(tmp_path / "tiny.gguf", kind)
    folder = ours.convert(tmp_path / "tiny.gguf")

    reloaded = AutoModelForCausalLM.from_pretrained(folder)
    assert reloaded.dtype == stored
    assert not hasattr(reloaded.config, "quantization_config")
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert all(type(module) is torch.nn.Linear for name, module in reloaded.named_modules() if name.endswith("_proj"))
    assert sorted(path.suffix for path in folder.iterdir()) == [
        ".jinja",
        ".json",
        ".json",
        ".json",
        ".json",
        ".json",
        ".safetensors",
    ]

    # Nothing lost: every weight equals the one that gguf's own dequantisation gives, the permuted q and k included.
    wanted = expected.state_dict()
    for name, value in reloaded.state_dict().items():
        torch.testing.assert_close(value.float(), wanted[name], rtol=0, atol=0, msg=name)
    ids = torch.tensor([[5, 60, 7, 8, 200, 11]])
    with torch.no_grad():
        torch.testing.assert_close(reloaded.float()(ids).logits, expected(ids).logits, rtol=0, atol=1e-5)


def test_reloaded_outputs_equal_those_of_the_gguf_loaded_model(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", Quantised.Q4_1)
    ids = torch.tensor([[5, 60, 7, 8, 200, 11]])
    with torch.no_grad():
        direct = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="tiny.gguf", dtype=torch.float32)(ids).logits
        reloaded = AutoModelForCausalLM.from_pretrained(ours.convert(tmp_path / "tiny.gguf"))(ids).logits
    assert torch.equal(direct, reloaded)


def test_asked_dtype_is_stored(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", Quantised.Q4_1)
    assert AutoModelForCausalLM.from_pretrained(ours.convert(tmp_path / "tiny.gguf", dtype="bfloat16")).dtype == torch.bfloat16


def test_digits_are_split_as_the_file_says_and_the_template_is_kept(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", Quantised.Q8_0)
    tokenizer = AutoTokenizer.from_pretrained(ours.convert(tmp_path / "tiny.gguf"))
    # Digits first: "\n\n" stays whole before "1", and "12" is never one token although the merges would allow it.
    assert tokenizer.tokenize(TEXT) == ["a", "ĊĊ", "1", ".", "Ġ", "b", "ĠĠ", "1", "2"]
    assert tokenizer.chat_template == TEMPLATE
    assert tokenizer.convert_ids_to_tokens([tokenizer.bos_token_id, tokenizer.eos_token_id]) == SPECIAL[1:]
    assert tokenizer(TEXT).input_ids == tokenizer(TEXT, add_special_tokens=False).input_ids


def test_plain_gpt2_files_keep_gpt2_splitting(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", Quantised.Q8_0, rule="gpt-2")
    tokenizer = AutoTokenizer.from_pretrained(ours.convert(tmp_path / "tiny.gguf"))
    assert tokenizer.tokenize(TEXT) == ["a", "Ċ", "Ċ", "1", ".", "Ġ", "b", "Ġ", "Ġ", "12"]


def test_unknown_splitting_rule_is_said(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", Quantised.Q8_0, rule="no-such-rule")
    with pytest.warns(UserWarning, match="'no-such-rule'"):
        ours.convert(tmp_path / "tiny.gguf")


def test_converted_once_for_one_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    monkeypatch.setattr(ours, "_write", lambda source, folder, dtype: written.append(source))
    one, same, other = (tmp_path / folder / "m.gguf" for folder in ("one", "same", "other"))
    for path, content in ((one, b"GGUF-a"), (same, b"GGUF-a"), (other, b"GGUF-b")):
        path.parent.mkdir()
        path.write_bytes(content)
    assert ours.convert(one) == ours.convert(one) == ours.convert(same)
    assert ours.convert(other) != ours.convert(one)
    assert ours.convert(one, dtype="float32") != ours.convert(one)
    assert written == [one, other, one]


def test_two_at_once_convert_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []
    inside = threading.Event()

    def slow(source: Path, folder: Path, dtype: str) -> None:
        written.append(folder)
        inside.wait(0.2)
        (folder / "model").write_text("whole")

    monkeypatch.setattr(ours, "_write", slow)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    threads = [threading.Thread(target=ours.convert, args=(tmp_path / "m.gguf",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written) == 1


def test_a_killed_conversion_leaves_nothing_half_made(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")

    def half(source: Path, folder: Path, dtype: str) -> None:
        (folder / "model").write_text("half")
        raise KeyboardInterrupt

    # A kill runs no clean-up at all: take it away, so that what the process had written stays.
    with monkeypatch.context() as killed:
        killed.setattr(ours, "_write", half)
        killed.setattr(ours, "shutil", SimpleNamespace(rmtree=lambda *_, **__: None))
        with pytest.raises(KeyboardInterrupt):
            ours.convert(tmp_path / "m.gguf")
    assert [path.name for path in (cache / "gguf").glob("m-*")] == []
    assert len(list((cache / "gguf").glob(".m-*.partial-*"))) == 1

    monkeypatch.setattr(ours, "_write", lambda source, folder, dtype: (folder / "model").write_text("whole") and None)
    assert (ours.convert(tmp_path / "m.gguf") / "model").read_text() == "whole"
    assert list((cache / "gguf").glob(".m-*.partial-*")) == []


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04 not a model")
    (tmp_path / "torn.gguf").write_bytes(b"GGUF\x03\x00\x00")
    with pytest.raises(ModelError, match="there is no GGUF file .*did you mean 'model.gguf'"):
        ours.convert(tmp_path / "modle.gguf")
    with pytest.raises(ModelError, match="not a GGUF file: it begins with"):
        ours.convert(tmp_path / "model.gguf")
    with pytest.raises(ModelError, match="cannot read .*torn.gguf"):
        ours.convert(tmp_path / "torn.gguf")
    with pytest.raises(SettingError, match="'bfloat16'"):
        ours.convert(tmp_path / "model.gguf", dtype="bfloat")


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("SOUNDNESS_CACHE", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="SOUNDNESS_CACHE"):
        ours.convert(tmp_path / "m.gguf")


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDNESS_CACHE", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert ours.cache_folder() == Path("/one")
    monkeypatch.delenv("SOUNDNESS_CACHE")
    assert ours.cache_folder() == Path("/two/soundness")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert ours.cache_folder() == Path.home() / ".cache" / "soundness"


def test_conversion_is_silent(tmp_path: Path, capfd: Any) -> None:
    write_gguf(tmp_path / "tiny.gguf", Quantised.Q4_1)
    capfd.readouterr()
    ours.convert(tmp_path / "tiny.gguf")
    assert capfd.readouterr() == ("", "")
