"""One base module in memory with the adapters that have been put on it, and how it got there."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig
from transformers.utils import logging as transformers_logging

from soundness.errors import MissingPackage, ModelError
from soundness.models.chat import turn_end
from soundness.models.options import LoadOptions
from soundness.models.rotary import Rotary

__all__ = ["SharedModule", "pick_device", "pick_dtype", "quiet"]


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
        self.adapters: list[str] = []
        self.lock = threading.RLock()
        stops = self.base.generation_config.eos_token_id
        self.stops: list[int] = [] if stops is None else [stops] if isinstance(stops, int) else list(stops)
        if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in self.stops:
            self.stops.append(tokenizer.eos_token_id)
        # Files often name another end of text than the template's: a model tuned on chat turns ends them by the template's.
        self.stops += [token for token in turn_end(tokenizer)[0] if token not in self.stops]

    @classmethod
    def load(cls, source: str, options: LoadOptions) -> SharedModule:
        """Return the module at `source`, a folder or hub name, on its device."""
        remote = options.trust_remote_code
        hub: dict[str, Any] = {"trust_remote_code": remote, "revision": options.revision}
        spread = options.device_map is not None or options.quantization is not None
        device = pick_device(options.device)
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(options.tokenizer or source, **({} if options.tokenizer else hub))
            if template := options.template_text():
                tokenizer.chat_template = template
            if options.dtype in (None, "auto"):
                with torch.device("meta"):
                    skeleton = AutoModelForCausalLM.from_config(
                        AutoConfig.from_pretrained(source, **hub), trust_remote_code=remote
                    )
                dtype = pick_dtype(None, device, sum(p.numel() for p in skeleton.parameters()))
            else:
                dtype = pick_dtype(options.dtype, device)
            module, found = AutoModelForCausalLM.from_pretrained(
                source,
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
        module = (module if spread else module.to(device)).eval()
        device = module.get_input_embeddings().weight.device if spread else device
        return cls(module, tokenizer, device=device, dtype=dtype)

    def adapter_config(self, adapter: str | None) -> Any:
        """Return the PEFT configuration of the adapter that is on while `using(adapter)`, or None where none is."""
        if adapter is not None:
            return self.module.peft_config[adapter]
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

    def add_adapter(self, folder: str) -> str:
        """Put the adapter at `folder` on the base and return its name."""
        from peft import PeftModel

        name = f"adapter{len(self.adapters)}"
        with self.lock, quiet():
            if self.adapters:
                self.module.load_adapter(folder, adapter_name=name, is_trainable=False)
            else:
                self.module = PeftModel.from_pretrained(self.base, folder, adapter_name=name, is_trainable=False)
            self.module.eval()
        self.adapters.append(name)
        return name

    def switched(self, adapter: str | None) -> Any:
        """Return the module with `adapter` on, or with every adapter off, until another one is asked for."""
        if not self.adapters:
            return self.module
        inner = self.module.base_model
        if hasattr(inner, "disable_adapter_layers"):  # adapters that only put tokens in front have no layers to switch off
            (inner.disable_adapter_layers if adapter is None else inner.enable_adapter_layers)()
        elif adapter is None:
            return self.base
        if adapter is not None and self.module.active_adapter != adapter:
            self.module.set_adapter(adapter)
        return self.module

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[Any]:
        """Give the module with `adapter` switched on, or with every adapter off, to one caller at a time."""
        with self.lock, self._without_defaults():
            if adapter is not None:
                yield self.switched(adapter)
            elif self.adapters:
                with self.module.disable_adapter():
                    yield self.module
            else:
                yield self.module

    @contextmanager
    def _without_defaults(self) -> Iterator[None]:
        """Put aside the sampling defaults that a checkpoint ships: temperature and penalties would change what is measured."""
        defaults = self.base.generation_config
        self.base.generation_config = GenerationConfig()
        try:
            yield
        finally:
            self.base.generation_config = defaults


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
