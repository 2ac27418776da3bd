"""One base module in memory with the adapters that have been put on it, and how it got there."""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
from transformers.utils import logging as transformers_logging

from soundness.errors import MissingPackage, ModelError
from soundness.models.adapters import AdapterFolder, grow_rows, put_on
from soundness.models.folders import ADAPTER_CONFIG
from soundness.models.options import LoadOptions
from soundness.models.rotary import Rotary

__all__ = ["SharedModule", "load_tokenizer", "pick_device", "pick_dtype", "quiet"]


def pick_device(device: str | None) -> torch.device:
    """Return the asked device, or the first of CUDA, MPS, CPU that is there."""
    if device and device != "auto":
        try:
            chosen = torch.device(device)
            torch.empty(0, device=chosen)
        except (RuntimeError, AssertionError) as error:
            raise ModelError(
                f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); leave --device out"
            ) from error
        return chosen
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def pick_dtype(dtype: str | None, device: torch.device, num_parameters: int | None = None) -> torch.dtype:
    """Return the asked dtype, or bfloat16 where the device computes it fast and the model is not tiny, else float32."""
    if dtype and dtype != "auto":
        chosen = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}.get(dtype)
        if chosen is None:
            raise ModelError(f"unknown dtype {dtype!r}: use float32, bfloat16, float16 or auto")
        return chosen
    if num_parameters is not None and num_parameters < 20_000_000:
        return torch.float32
    return torch.bfloat16 if _has_bfloat16(device) else torch.float32


def _has_bfloat16(device: torch.device) -> bool:
    """Return whether the device has bfloat16 of its own: cards before Ampere (T4, V100) emulate it, at a crawl."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


class SharedModule:
    """One base module in memory, with the adapters that have been put on it; swapping them costs nothing.

    One caller at a time: which adapter is on, and how attention runs, is state of the module, so `using` holds its lock.
    """

    def __init__(self, module: Any, tokenizer: Any, *, device: torch.device, dtype: torch.dtype) -> None:
        self.module = module
        self.base = module.get_base_model() if hasattr(module, "get_base_model") else module
        """The module without the PEFT wrapper."""
        self.tokenizer = tokenizer
        self.device = device
        self.dtype = dtype
        self.adapters: dict[str, AdapterFolder] = {}
        """Name -> adapter on the layers of the base; off unless asked for."""
        self.soft_prompts: dict[str, Any] = {}
        """Name -> PEFT module that puts tokens in front of a text for the base."""
        self.lock = threading.RLock()
        ends = self.base.generation_config.eos_token_id
        self.ends: list[int] = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        """Tokens that end a text by the module's own files."""

    @classmethod
    def load(cls, source: str, options: LoadOptions) -> SharedModule:
        """Return the module at `source`, a folder or hub name, on its device."""
        remote = options.trust_remote_code
        hub: dict[str, Any] = {"trust_remote_code": remote, "revision": options.revision}
        spread = options.device_map is not None or options.quantization is not None
        device = pick_device(options.device)
        with quiet():
            tokenizer = load_tokenizer(options.tokenizer or source, options)
            config = AutoConfig.from_pretrained(source, **hub)
            kind = _class_of(config, source, remote=remote)
            if options.dtype in (None, "auto"):
                with torch.device("meta"):
                    skeleton = kind.from_config(config, trust_remote_code=remote)
                dtype = pick_dtype(None, device, sum(p.numel() for p in skeleton.parameters()))
            else:
                dtype = pick_dtype(options.dtype, device)
            with _without_adapter_files(source) as folder:
                module, found = kind.from_pretrained(
                    folder,
                    dtype=dtype,
                    output_loading_info=True,
                    use_safetensors=None if options.allow_pickle else True,
                    attn_implementation=options.attn_implementation,
                    device_map=options.device_map or (str(device) if options.quantization else None),
                    quantization_config=_quantization(options.quantization, dtype),
                    **hub,
                )
        if lacking := sorted(found["missing_keys"]):
            # transformers would go on with random numbers in their place.
            raise ModelError(
                f"the weights of {source} are incomplete: {', '.join(lacking[:3])}{' and more' if len(lacking) > 3 else ''} "
                "cannot be found in its files; download or save the model again"
            )
        spread = spread or getattr(module, "is_quantized", False)  # bitsandbytes places its weights itself
        module = (module if spread else module.to(device)).eval()
        device = module.get_input_embeddings().weight.device if spread else device
        return cls(module, tokenizer, device=device, dtype=dtype)

    def accepts(self, about: AdapterFolder) -> bool:
        """Return whether an adapter can stand here beside those that do; if not, it needs a base of its own.

        Weights of the base that an adapter keeps would change it for all; kinds that PEFT cannot hold at once stay apart.
        """
        if about.changes_base:
            return False
        return about.soft or not self.adapters or (about.plain and all(one.plain for one in self.adapters.values()))

    def add_adapter(self, about: AdapterFolder) -> str:
        """Put an adapter on the base and return its name. Raises ModelError where it does not belong to it, or fits in part."""
        name = f"adapter{len(self.adapters) + len(self.soft_prompts)}"
        with self.lock, quiet():
            if about.rows is not None and not about.soft:
                grow_rows(self.base, about.rows)
            wrapped = put_on(self.base if about.soft else self.module, about, name).eval()
        if about.soft:
            self.soft_prompts[name] = wrapped
        else:
            self.module, self.adapters[name] = wrapped, about
        return name

    def adapter_config(self, adapter: str | None) -> Any:
        """Return the PEFT configuration of the adapter that is on while `using(adapter)`, or None where none is."""
        if adapter is not None:
            return self.soft_prompts.get(adapter, self.module).peft_config[adapter]
        # A module that came with adapters on has them on; one that we put adapters on is then the base alone.
        return None if self.adapters else getattr(self.module, "active_peft_config", None)

    @cached_property
    def rotary(self) -> Rotary:
        """How positions depend on the length of a text."""
        return Rotary(self.base)

    @property
    def config(self) -> Any:
        """The configuration of the language model."""
        return self.base.config.get_text_config()

    def switched(self, adapter: str | None) -> Any:
        """Return the module with `adapter` on, or with every adapter off, until another one is asked for."""
        if self.adapters:
            on = adapter in self.adapters
            (self.module.base_model.enable_adapter_layers if on else self.module.base_model.disable_adapter_layers)()
            if on and self.module.active_adapter != adapter:
                self.module.set_adapter(adapter)
        return self.module if adapter is None else self.soft_prompts.get(adapter, self.module)

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """Give the module with `adapter` switched on, or with every adapter off, to one caller at a time."""
        with self.lock, self._without_defaults():
            if adapter in self.adapters:
                yield self.switched(adapter)
            elif self.adapters:
                with self.module.disable_adapter():
                    yield self.module if adapter is None else self.soft_prompts[adapter]
            else:
                yield self.module if adapter is None else self.soft_prompts[adapter]

    @contextmanager
    def _without_defaults(self) -> Iterator[None]:
        """Put aside the sampling defaults that a checkpoint ships: temperature and penalties would change what is measured."""
        defaults = self.base.generation_config
        self.base.generation_config = GenerationConfig()
        try:
            yield
        finally:
            self.base.generation_config = defaults


def load_tokenizer(source: str, options: LoadOptions) -> Any:
    """Return the tokenizer at `source`, with the chat template that the options give in place of its own."""
    hub: dict[str, Any] = {"trust_remote_code": options.trust_remote_code, "revision": options.revision}
    tokenizer = AutoTokenizer.from_pretrained(source, **({} if options.tokenizer else hub))
    if template := options.template_text():
        tokenizer.chat_template = template
    return tokenizer


def _class_of(config: Any, source: str, *, remote: bool) -> Any:
    """Return the class of transformers that loads a configuration as a language model that writes.

    Models of several senses (Mistral Small 3, Qwen-VL, Gemma 3) are loaded whole and asked in text alone.
    """
    kind = type(config)
    if kind in MODEL_FOR_CAUSAL_LM_MAPPING or (remote and getattr(config, "auto_map", None)):
        return AutoModelForCausalLM
    if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and not getattr(config, "is_encoder_decoder", False):
        return AutoModelForImageTextToText
    made = ", ".join(getattr(config, "architectures", None) or ()) or kind.__name__
    why = (
        "it reads with an encoder and writes with a decoder"
        if getattr(config, "is_encoder_decoder", False)
        else "it does not write text"
    )
    raise ModelError(f"{source} is {made}, which is no causal language model: {why}; give a decoder-only model")


@contextmanager
def _without_adapter_files(source: str) -> Iterator[str]:
    """Give a folder without the adapter files that a merged model may still hold: transformers would load those in place of it."""
    folder = Path(source)
    if not (folder / ADAPTER_CONFIG).is_file():
        yield source
        return
    with tempfile.TemporaryDirectory() as view:
        for path in folder.iterdir():
            if path.is_file() and not path.name.startswith("adapter_"):
                (Path(view) / path.name).symlink_to(path.resolve())
        yield view


def _quantization(name: str | None, dtype: torch.dtype) -> Any:
    """Return the transformers configuration that quantises while loading, or None."""
    if name is None:
        return None
    if find_spec("bitsandbytes") is None:
        raise MissingPackage("bitsandbytes", f"quantization={name}")
    from transformers import BitsAndBytesConfig

    if name == "bnb-8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=dtype, bnb_4bit_quant_type="nf4")


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the progress bars and remarks of transformers while something is loaded."""
    level = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()
