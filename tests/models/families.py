"""Tiny random models of the families of transformers, and bare forward passes to hold readings against.

Widths are shrunk, windows are 16 and weights are drawn wide, so that attention matters: what a token reads depends on all that it
may see by nats.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from soundness.records import Probe

VOCABULARY = 259  # the byte tokenizer of conftest
LAYERS = 4
WINDOW = 16

SHRUNK: dict[str, Any] = {
    # widths, by every name that families give them
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "dim", "embedding_size", "word_embed_proj_dim"), 64),
    **dict.fromkeys(("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", "d_ff"), 96),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "expert_ffn_hidden_size"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "num_layers", "n_layers"), LAYERS),
    **dict.fromkeys(("num_attention_heads", "n_head", "num_heads", "n_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads"), 2),
    **dict.fromkeys(("head_dim", "global_head_dim", "attention_head_dim"), 16),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "seq_length", "max_seq_len", "context_length"), 512),
    **dict.fromkeys(("sliding_window", "attention_window_size", "attention_chunk_size", "window_size"), WINDOW),
    # experts
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_topk", "moe_k", "num_experts_per_token"), 2),
    **dict.fromkeys(("n_group", "topk_group"), 1),
    "first_k_dense_replace": 1,
    # latent attention
    **dict.fromkeys(("kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim"), 16),
    # states
    **dict.fromkeys(("mamba_d_state", "state_size", "ssm_state_size"), 8),
    **dict.fromkeys(("mamba_n_heads", "mamba_num_heads"), 8),
    **dict.fromkeys(("mamba_d_head", "mamba_head_dim"), 16),
    **dict.fromkeys(("n_groups", "mamba_n_groups"), 1),
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    # Gemma 3n and 4
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": VOCABULARY,
    "laurel_rank": 4,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "tie_word_embeddings": False,
}
"""Field of a configuration -> its value in a tiny one, where the configuration has the field and gives it a value."""

ALTERNATING = ["sliding_attention", "full_attention"] * (LAYERS // 2)
_LATENT = {"num_key_value_heads": 4}
_LONG = {
    "max_position_embeddings": 128,
    "original_max_position_embeddings": 32,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "long_factor": [4.0] * 8,
        "short_factor": [1.0] * 8,
        "original_max_position_embeddings": 32,
    },
}

_SCALED = {"factor": 4.0, "rope_theta": 10000.0}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    name: (name, {})
    for name in (
        "afmoe apertus arcee biogpt bitnet bloom cohere cohere2 cohere2_moe cwm diffllama doge ernie4_5 ernie4_5_moe "
        "exaone4 exaone_moe falcon falcon_mamba flex_olmo gemma gemma2 gemma3_text gemma4_text glm glm4 glm4_moe gpt2 gpt_bigcode "
        "gpt_neox gpt_neox_japanese gpt_oss granite granite_swa granitemoe granitemoe_swa granitemoeshared helium hyperclovax "
        "internlm3 jetmoe laguna lfm3 llama llama4_text mamba mellum mimo_v2_flash minimax minimax_m2 ministral3 mistral "
        "mixtral modernbert-decoder mpt nanochat nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe opt persimmon phi phi3 phimoe qwen2 "
        "qwen2_moe qwen3 qwen3_5_moe_text qwen3_5_text qwen3_moe qwen3_next recurrent_gemma rwkv seed_oss smollm3 solar_open "
        "stablelm starcoder2 vaultgemma xglm zamba zamba2"
    ).split()
}
FAMILIES |= {name: (name, _LATENT) for name in ("axk1", "deepseek_v3", "glm4_moe_lite", "minicpm3", "youtu")}
FAMILIES |= {
    "bamba": ("bamba", {"attn_layer_indices": [1, 3]}),
    "codegen": ("codegen", {"rotary_dim": 8}),
    "deepseek_v2": ("deepseek_v2", {**_LATENT, "num_experts_per_tok": 2, "n_routed_experts": 4}),
    "dots1": ("dots1", {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "moe_intermediate_size": 48}),
    "falcon_h1": ("falcon_h1", {"mamba_d_ssm": 128}),
    "gemma3n_text": (
        "gemma3n_text",
        {"layer_types": ALTERNATING, "num_kv_shared_layers": 2, "activation_sparsity_pattern": None},
    ),
    "gpt_neo": ("gpt_neo", {"attention_types": [[["global", "local"], 2]]}),
    "gptj": ("gptj", {"rotary_dim": 8}),
    "granitemoehybrid": ("granitemoehybrid", {"layer_types": ["mamba", "attention"] * 2}),
    "hunyuan_v1_dense": ("hunyuan_v1_dense", {"head_dim": 16}),
    "hunyuan_v1_moe": ("hunyuan_v1_moe", {"head_dim": 16}),
    "jamba": ("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False}),
    "lfm2": ("lfm2", {"layer_types": ["conv", "full_attention"] * 2}),
    "lfm2_moe": ("lfm2_moe", {"layer_types": ["conv", "full_attention"] * 2, "num_dense_layers": 1}),
    "mamba2": ("mamba2", {"num_heads": 8, "head_dim": 16}),
    "ministral": ("ministral", {"head_dim": 16, "layer_types": ALTERNATING}),
    "nemotron": ("nemotron", {"head_dim": 16, "num_key_value_heads": 2}),
    "xlstm": ("xlstm", {"num_heads": 4, "chunk_size": 16, "qk_dim_factor": 1.0}),
    # what a scaling, a window or a flag makes of a family
    "llama, yarn": (
        "llama",
        {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 32}},
    ),
    "llama, dynamic": (
        "llama",
        {"max_position_embeddings": 48, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}},
    ),
    "phi3, longrope": ("phi3", _LONG),
    "phimoe, longrope": (
        "phimoe",
        {**_LONG, "rope_parameters": {**_LONG["rope_parameters"], "long_mscale": 1.3, "short_mscale": 1.1}},
    ),
    "qwen2, window": ("qwen2", {"use_sliding_window": True, "max_window_layers": 2}),
    "qwen2_moe, window": ("qwen2_moe", {"use_sliding_window": True, "max_window_layers": 4}),
    "qwen3_moe, window": ("qwen3_moe", {"use_sliding_window": True}),
    "llama4_text, full attention": ("llama4_text", {"layer_types": ["full_attention"] * LAYERS, "floor_scale": 8}),
}
"""Name -> (transformers' name of the family, fields that differ)."""

INDEXED: dict[str, tuple[str, dict[str, Any]]] = {name: (name, _LATENT) for name in ("axk2", "deepseek_v32", "glm_moe_dsa")} | {
    "hy_v4": ("hy_v4", {}),
    "deepseek_v4": ("deepseek_v4", {}),
}
"""Families that attend through an index: a prefix reads otherwise than the same tokens in a longer text."""


def build(family: str, seed: int = 0) -> Any:
    """Return a tiny module of a family, weights N(0, 0.25)."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    kind, fields = (FAMILIES | INDEXED)[family]
    made = CONFIG_MAPPING[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        default = made().to_dict()
        given = {name: value for name, value in SHRUNK.items() if default.get(name) is not None} | {"vocab_size": VOCABULARY}
        for name in ("layer_types", "layers_block_type", "block_types", "mlp_layer_types"):
            if isinstance(default.get(name), list):
                given[name] = (list(dict.fromkeys(default[name])) * LAYERS)[:LAYERS]
        config = made(**{**given, **fields})
        with torch.device("meta"):
            size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
        assert size < 4_000_000, f"{family} has {size} parameters: shrink it"
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32).float().eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.dim() >= 2:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.25)
            elif "sink" in name:
                weight.copy_(torch.randn(weight.shape, generator=draw))
    return module


def probes(seed: int = 1) -> list[Probe]:
    """Return probes of one trunk of 82 tokens and a branch of 100, beyond every window and limit, one twice."""
    rng = np.random.default_rng(seed)
    trunk = rng.integers(3, 250, 82).tolist()

    def answer(length: int) -> tuple[int, ...]:
        return tuple(rng.integers(3, 250, length).tolist())

    shapes = ((1, 2), (5, 3), (20, 25), (33, 1), (33, 2), (50, 4), (66, 25), (82, 3), (82, 25))
    asked = [Probe(tuple(trunk[:prefix]), answer(length)) for prefix, length in shapes]
    branch = (*trunk[:10], *rng.integers(3, 250, 90).tolist())
    return [*asked, Probe(branch, answer(5)), Probe(branch[:60], answer(4)), asked[2], Probe((0,), answer(7))]


def bare(module: Any, asked: Sequence[Probe]) -> np.ndarray:
    """Return nats of every continuation token, each probe by one forward pass over nothing else."""
    import torch

    from soundness.models.rotary import Rotary

    nats = []
    rotary = Rotary(module)
    for probe in asked:
        with torch.inference_mode():
            with rotary.fixed(1):
                pass  # frequencies that an earlier, longer text left behind
            logits = module(input_ids=torch.tensor([[*probe.prefix, *probe.continuation]])[:, :-1]).logits[0]
        likelihood = logits.double().log_softmax(-1)
        places = range(len(probe.prefix) - 1, len(probe.prefix) + len(probe.continuation) - 1)
        nats += [likelihood[place, token].item() for place, token in zip(places, probe.continuation, strict=True)]
    return np.array(nats)
