"""The model that a training starts from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundness.errors import ModelError
from soundness.models.chat import closing_id, turn_end

__all__ = ["Start", "best_device", "default_precision", "load_network", "load_tokenizer", "loading", "with_pad"]


@dataclass(frozen=True, slots=True)
class Start:
    """What is tuned, loaded."""

    spec: str
    """As the user named it."""
    source: str
    """Folder or hub name of the weights; for an adapter, of its base with the adapter merged in."""
    tokenizer: Any
    """As it came with the model; saved beside the result."""
    padded: Any
    """A copy of it that has a token to pad with."""
    network: Any
    """The transformers module to train; the adapter is put on by the trainer."""
    precision: str
    """What products are computed in: float32 or bfloat16."""
    device: str
    """cpu, cuda or mps."""
    taught_plainly: bool = False
    """Whether it has learnt to answer a message alone, without a chat template."""

    @property
    def context(self) -> int | None:
        """Tokens that the model can read, or None where it does not say."""
        limit = getattr(self.network.config.get_text_config(), "max_position_embeddings", None)
        return int(limit) if limit is not None else None

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens that end what the model writes, as an audit takes them."""
        own = self.network.generation_config.eos_token_id
        stops = [] if own is None else [own] if isinstance(own, int) else list(own)
        if self.tokenizer.eos_token_id is not None:
            stops.append(self.tokenizer.eos_token_id)
        stops += turn_end(self.tokenizer)[0]
        return tuple(dict.fromkeys(int(token) for token in stops))


def load_tokenizer(spec: str, source: str) -> Any:
    """Return the tokenizer at `source`. Raises ModelError where there is none, or where `source` is an adapter itself."""
    from transformers import AutoTokenizer

    if (Path(source) / "adapter_config.json").is_file():
        raise ModelError(f"{spec} stands on {source}, which is an adapter itself: merge that one into its base first")
    with loading(spec):
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def load_network(spec: str, source: str, precision: str) -> Any:
    """Return the module at `source` with its weights in `precision`."""
    import torch
    from transformers import AutoModelForCausalLM

    with loading(spec):
        network = AutoModelForCausalLM.from_pretrained(
            source, dtype=getattr(torch, precision), use_safetensors=True, trust_remote_code=False
        )
    if getattr(network, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"{spec} is an adapter on the hub: download it into a folder (hf download {spec}), and give that folder"
        )
    return network


def with_pad(tokenizer: Any) -> Any:
    """Return a copy of `tokenizer` that has a token to pad with: the one that ends its texts, where it has none of its own."""
    padded = deepcopy(tokenizer)
    if padded.pad_token is None:
        padded.pad_token = padded.convert_ids_to_tokens(closing_id(tokenizer))
    return padded


def best_device() -> str:
    """Return the device that an audit would choose."""
    from soundness.models.transformers import pick_device

    return pick_device(None).type


def default_precision(spec: str, source: str, device: str) -> str:
    """Return the dtype that an audit would choose for this model on this device."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from soundness.models.transformers import pick_dtype

    with loading(spec), torch.device("meta"):
        skeleton = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(source, trust_remote_code=False))
    return str(pick_dtype(None, torch.device(device), skeleton.num_parameters())).removeprefix("torch.")


@contextmanager
def loading(spec: str) -> Iterator[None]:
    """Turn what transformers and PEFT say of a model that cannot be loaded into one line."""
    from safetensors import SafetensorError

    from soundness.models.transformers import quiet

    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError, SafetensorError) as error:
        line = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"cannot load {spec!r} for training: {line}") from error
