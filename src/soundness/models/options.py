"""How a model is loaded: one value that the command line, TOML and Python share. No torch."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass

from soundness.errors import ModelError, near

__all__ = ["ATTENTIONS", "LoadOptions", "Quantization", "Reader", "changed"]

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Reader = Literal["auto", "packed", "cached", "plain"]
Quantization = Literal["bnb-4bit", "bnb-8bit"]

ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
"""Names of attention that transformers itself implements; any other is looked up on the hub as a kernel and run."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(strict=True, extra="forbid", use_attribute_docstrings=True))
class LoadOptions:
    """Options of `soundness.models.load.load_model`. Raises ModelError for a value that makes no sense."""

    dtype: str | None = None
    """float32, bfloat16 or float16; None (or auto) takes bfloat16 where the device computes it fast, else float32."""
    device: str | None = None
    """A torch device such as cuda:1; None (or auto) takes the first of CUDA, MPS and CPU that is there."""
    device_map: str | None = None
    """How a model too large for one device is spread: auto, balanced, balanced_low_0 or sequential (needs accelerate)."""
    attn_implementation: str | None = None
    """Attention outside packed reading: eager, sdpa, flash_attention_2, flash_attention_3 or flex_attention."""
    quantization: str | None = None
    """Quantise while loading: bnb-4bit or bnb-8bit (needs bitsandbytes)."""
    reader: str = "auto"
    """How probes are read: auto, packed, cached or plain."""
    trust_remote_code: bool = False
    """Run Python code that comes with a model."""
    allow_pickle: bool = False
    """Load pickled weights, which can run code."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub."""
    tokenizer: str | None = None
    """Folder or hub name of another tokenizer than the model's own."""
    chat_template: str | None = None
    """A chat template (Jinja) in place of the tokenizer's, or the path of a file that holds one."""

    def __post_init__(self) -> None:
        if self.dtype is not None:
            _check("dtype", self.dtype, get_args(Dtype))
        _check("reader", self.reader, get_args(Reader))
        if self.quantization is not None:
            _check("quantization", self.quantization, get_args(Quantization))
        if self.attn_implementation is not None:
            _check("attention", self.attn_implementation, ATTENTIONS)
        if self.device_map is not None:
            _check("device_map", self.device_map, ("auto", "balanced", "balanced_low_0", "sequential"))
            if self.device is not None:
                raise ModelError(
                    f"device_map={self.device_map} spreads a model over devices, so device={self.device} says nothing"
                )

    def template_text(self) -> str | None:
        """Return the chat template that was given, read from its file where it is a path; None where none was given."""
        if self.chat_template is None or "{" in self.chat_template:
            return self.chat_template
        try:
            return Path(self.chat_template).expanduser().read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ModelError(f"cannot read the chat template {self.chat_template}: {error}") from error


def _check(what: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        listed = f"{', '.join(known[:-1])} or {known[-1]}"
        raise ModelError(f"unknown {what} {value!r}: use {listed}{near(str(value), known)}")


def changed(options: LoadOptions, changes: dict[str, Any]) -> LoadOptions:
    """Return `options` with some fields changed. Raises ModelError for an unknown name or a value that makes no sense."""
    known = [one.name for one in fields(LoadOptions)]
    for name in changes:
        if name not in known:
            raise ModelError(f"there is no load option {name!r}{near(name, known)}; there are {', '.join(known)}")
    try:
        return replace(options, **changes)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ModelError(f"load option {first['loc'][0]}: {first['msg']}, and it is {first['input']!r}") from None
