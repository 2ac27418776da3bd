"""A causal language model of the transformers library, whole or with a PEFT adapter, behind our few verbs."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from typing import Any, cast
from weakref import WeakValueDictionary

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.utils import logging as transformers_logging

from soundness.errors import MissingPackage, ModelError
from soundness.models.chat import render_prompt, template_of, turn_end
from soundness.models.options import LoadOptions, Reader
from soundness.models.packed import CannotPack, read_packed
from soundness.models.tokens import decode, encode_fragment, token_pieces, vocabulary_digest
from soundness.models.unpacked import read_cached, read_plain
from soundness.probes.forest import Forest, build
from soundness.records import Generation, Probe, Prompt, Reading, Stop, Turn
from soundness.tasks.prompts import Prompting

__all__ = ["Reader", "TransformersModel", "encode_fragment", "pick_device", "pick_dtype", "render_prompt"]

log = logging.getLogger("soundness")

# Whole tokens of the forest per packed pass, and places whose logits exist at once: places x vocabulary is the usual memory failure.
_PASS_TOKENS = {"cpu": 4096, "cuda": 16384}
_PASS_SCORED = 512

_LOOK_BACK = 96
"""Tokens at the end of a text in which its end is looked for at every step; an answer line is shorter."""


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
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def _cpu_has_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))


class _Shared:
    """One base module in memory, with the adapters that have been put on it; swapping them costs nothing."""

    def __init__(self, source: str, options: LoadOptions) -> None:
        remote = options.trust_remote_code
        hub: dict[str, Any] = {"trust_remote_code": remote, "revision": options.revision}
        spread = options.device_map is not None or options.quantization is not None
        device = pick_device(options.device)
        with quiet():
            self.tokenizer = AutoTokenizer.from_pretrained(options.tokenizer or source, **({} if options.tokenizer else hub))
            if template := options.template_text():
                self.tokenizer.chat_template = template
            if options.dtype in (None, "auto"):
                with torch.device("meta"):
                    skeleton = AutoModelForCausalLM.from_config(
                        AutoConfig.from_pretrained(source, **hub), trust_remote_code=remote
                    )
                self.dtype = pick_dtype(None, device, sum(p.numel() for p in skeleton.parameters()))
            else:
                self.dtype = pick_dtype(options.dtype, device)
            self.module, found = AutoModelForCausalLM.from_pretrained(
                source,
                dtype=self.dtype,
                output_loading_info=True,
                use_safetensors=None if options.allow_pickle else True,
                attn_implementation=options.attn_implementation,
                device_map=options.device_map or (str(device) if options.quantization else None),
                quantization_config=_quantization(options.quantization, self.dtype),
                **hub,
            )
        if lacking := sorted(found["missing_keys"]):
            # transformers would go on with random numbers in their place.
            raise ModelError(
                f"the weights of {source} are incomplete: {', '.join(lacking[:3])}{' and more' if len(lacking) > 3 else ''} "
                "cannot be found in its files; download or save the model again"
            )
        self.module = (self.module if spread else self.module.to(device)).eval()
        self.device = self.module.get_input_embeddings().weight.device if spread else device
        self.base = self.module  # the module without the PEFT wrapper
        self.adapters: list[str] = []
        own = self.module.generation_config
        stops = own.eos_token_id if own.eos_token_id is not None else self.tokenizer.eos_token_id
        self.stops: list[int] = [] if stops is None else [stops] if isinstance(stops, int) else list(stops)
        if self.tokenizer.eos_token_id is not None and self.tokenizer.eos_token_id not in self.stops:
            self.stops.append(self.tokenizer.eos_token_id)
        # Files often name another end of text than the template's: a model tuned on chat turns ends them by the template's.
        self.stops += [token for token in turn_end(self.tokenizer)[0] if token not in self.stops]
        # Sampling defaults that a checkpoint ships (temperature, penalties) would silently change what is measured.
        self.module.generation_config = GenerationConfig()

    def add_adapter(self, folder: str) -> str:
        """Put the adapter at `folder` on the base and return its name."""
        from peft import PeftModel

        name = f"adapter{len(self.adapters)}"
        with quiet():
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
        """Give the module with `adapter` switched on, or with every adapter off."""
        if adapter is not None:
            yield self.switched(adapter)
        elif self.adapters:
            with self.module.disable_adapter():
                yield self.module
        else:
            yield self.module


_loaded: WeakValueDictionary[tuple[str, LoadOptions], _Shared] = WeakValueDictionary()


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


class _Draw(LogitsProcessor):
    """Picks each row's next token by that row's own random numbers, so that neighbours in the batch do not matter."""

    def __init__(self, keys: Sequence[str], temperature: float, top_p: float, max_tokens: int, prompt_length: int):
        draws = [
            np.random.Generator(
                np.random.Philox(key=int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest()))
            ).random(max_tokens)
            for key in keys
        ]
        self.uniform = torch.from_numpy(np.stack(draws))
        self.temperature = temperature
        self.top_p = top_p
        self.prompt_length = prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        probability = torch.softmax(scores.float() / self.temperature, dim=-1)  # (rows, vocabulary)
        if self.top_p < 1.0:
            ranked, order = probability.sort(dim=-1, descending=True)
            outside = ranked.cumsum(dim=-1) - ranked >= self.top_p
            probability = probability.masked_fill(outside.scatter(1, order, outside), 0.0)
        chosen = pick_tokens(probability, self.uniform[:, input_ids.shape[1] - self.prompt_length])
        return torch.full_like(scores, -torch.inf).scatter_(1, chosen[:, None], 0.0)


def pick_tokens(probability: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Return for each row of probabilities, (rows, vocabulary), the token at which their sum passes `uniform`, (rows,).

    Sums are float64, so that one draw picks one token in any batch; MPS has none, so there the CPU sums.
    """
    mass = (probability.cpu() if probability.device.type == "mps" else probability).double().cumsum(dim=-1)
    passed = uniform.to(mass.device)[:, None] * mass[:, -1:]
    chosen = torch.searchsorted(mass, passed, right=True)[:, 0].clamp_(max=mass.shape[1] - 1)
    return chosen.to(probability.device)


class _Until(StoppingCriteria):
    """Ends each row once its own text contains a string, or what a `Stop` looks for."""

    def __init__(self, model: TransformersModel, until: str | Stop, prompt_length: int):
        self.model, self.until, self.prompt_length = model, until, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        written = input_ids[:, self.prompt_length :].tolist()
        return torch.tensor([self._ends(row) for row in written], device=input_ids.device)

    def _ends(self, row: list[int]) -> bool:
        if isinstance(self.until, str):
            return self.until in self.model.decode(row)
        if row and row[-1] in self.until.ids:
            return True
        # The end of the text first, which is cheap; what seems to begin there may have begun earlier.
        return self.until.end(self.model.decode(row[-_LOOK_BACK:])) is not None and (
            len(row) <= _LOOK_BACK or self.until.end(self.model.decode(row)) is not None
        )


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _plain_key(key: str, adapter: str | None) -> str:
    """Return a parameter's name as it was before PEFT wrapped its module."""
    for part in ("base_model.model.", ".base_layer", ".original_module"):
        key = key.replace(part, "", 1)
    return key.replace(f".{adapter}", "", 1) if adapter else key


class TransformersModel:
    """A transformers model as a `soundness.models.base.Model`."""

    def __init__(self, shared: _Shared, name: str, *, adapter: str | None = None, adapter_folder: str | None = None):
        self._shared = shared
        self._adapter = adapter
        self._adapter_folder = adapter_folder
        self.name = name
        self.reader: Reader = "auto"
        self.tokenizer = shared.tokenizer
        self.device = shared.device
        self.dtype = shared.dtype
        self.notes: list[str] = []
        self.taught_plainly = False
        self._works: Reader | None = None

    @classmethod
    def load(
        cls, source: str, *, name: str | None = None, adapter: str | None = None, options: LoadOptions | None = None
    ) -> TransformersModel:
        """Return the model at `source` (folder or hub name), with the PEFT adapter at `adapter` on it where one is given.

        Weights that a living model has loaded from the same source with the same options are used, not loaded again.
        """
        options = options or LoadOptions()
        device = None if options.device_map else str(pick_device(options.device))
        key = (source, replace(options, reader="auto", device=device))
        shared = _loaded.get(key)
        if shared is None:
            shared = _loaded[key] = _Shared(source, options)
        model = cls._on(shared, source, name, adapter)
        model.reader = cast(Reader, options.reader)
        return model

    @classmethod
    def _on(cls, shared: _Shared, source: str, name: str | None, adapter: str | None) -> TransformersModel:
        if adapter is None:
            return cls(shared, name or source)
        model = cls(shared, name or f"{source}+{adapter}", adapter=shared.add_adapter(adapter), adapter_folder=adapter)
        if not model._adapter_changes_logits():
            note = f"the adapter {adapter} changes no logit of its base: the tuned model equals the base"
            model.notes.append(note)
            log.warning(note)
        return model

    @cached_property
    def context_length(self) -> int | None:
        """The number of positions that the model was made for, or None where its configuration names none."""
        config = self._shared.base.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        return positions if isinstance(positions, int) and positions > 0 else None

    @property
    def module(self) -> Any:
        """The transformers (or PEFT) module, with this model's adapter switched on and all others off."""
        return self._shared.switched(self._adapter)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of every weight (an exact integer checksum of each tensor and a sample of its bytes), dtype and vocabulary."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.vocabulary}/{self.dtype}".encode())
        named: dict[str, torch.Tensor] = {}
        for key, tensor in self._shared.module.state_dict().items():
            owner = next((name for name in self._shared.adapters if f".{name}." in f"{key}."), None)
            if owner in (None, self._adapter):
                named[_plain_key(key, owner)] = tensor
        for key, tensor in sorted(named.items()):
            bits = tensor.detach().contiguous().view(_BITS[tensor.element_size()]).flatten()
            checksum = int(bits.sum(dtype=torch.int64))  # integers add up to the same in any order, on any number of threads
            sample = bits[:: max(1, bits.numel() // 1024)].cpu().numpy().tobytes()
            digest.update(f"{key}/{tuple(tensor.shape)}/{tensor.dtype}/{checksum}".encode() + sample)
        return digest.hexdigest()

    @cached_property
    def vocabulary(self) -> str:
        """Digest of the token strings in id order."""
        return vocabulary_digest(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a fragment of text: no special tokens added, no dummy space in front."""
        return encode_fragment(self.tokenizer, text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, special tokens shown."""
        return decode(self.tokenizer, ids)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Return one string per id whose join is `decode(ids)`; a character split over ids belongs to the last of them."""
        return token_pieces(self.decode, ids)

    @property
    def instructed(self) -> bool:
        """Whether it was taught to answer a message: a model with neither chat template nor training by us was not."""
        return template_of(self.tokenizer) is not None or self.taught_plainly

    def render(self, message: str | Sequence[Turn], prompting: Prompting | None = None) -> Prompt:
        """Return the prompt that asks `message`: the chat template where there is one, plain text otherwise."""
        return render_prompt(self.tokenizer, message, prompting)

    def generate(
        self,
        prefixes: Sequence[Sequence[int]],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        keys: Sequence[str] | None = None,
        until: str | Stop | None = None,
    ) -> list[Generation]:
        """Return one continuation per prefix; all prefixes run as one batch, left-padded."""
        if not prefixes:
            return []
        rows = [list(prefix) or [self.start_id] for prefix in prefixes]
        longest = max(map(len, rows))
        pad = self.pad_id
        ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows], device=self.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=self.device)
        processors = LogitsProcessorList()
        if temperature > 0:
            if keys is None:
                raise ValueError("sampling at a temperature needs one draw key per prefix")
            processors.append(_Draw(keys, temperature, top_p, max_tokens, longest))
        stopping = StoppingCriteriaList([_Until(self, until, longest)] if until else [])
        config = GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=self._shared.stops or None,
            pad_token_id=pad,
            use_cache=True,
        )
        with self._shared.using(self._adapter) as module, torch.inference_mode(), quiet():
            output = module.generate(
                input_ids=ids,
                attention_mask=mask,
                generation_config=config,
                logits_processor=processors,
                stopping_criteria=stopping,
            )
        return [self._finish(row, until, max_tokens) for row in output[:, longest:].tolist()]

    def _finish(self, ids: list[int], until: str | Stop | None, max_tokens: int) -> Generation:
        """Return the generation that `ids` hold, padding, end-of-text and what a `Stop` ends cut off."""
        if isinstance(until, Stop):
            ends = {*self._shared.stops, *until.ids}
            end = next((position for position, token in enumerate(ids) if token in ends), None)
            written = ids[: max_tokens if end is None else end]
            kept = until.kept(self.pieces(written))
            if kept is not None:
                return Generation(tuple(written[:kept]), "stop")
            return Generation(tuple(written), "length" if end is None else "stop")
        for position, token in enumerate(ids):
            if token in self._shared.stops:
                return Generation(tuple(ids[:position]), "stop")
            if until and until in self.decode(ids[: position + 1]):
                return Generation(tuple(ids[: position + 1]), "stop")
        return Generation(tuple(ids[:max_tokens]), "length")

    @property
    def start_id(self) -> int:
        """The id that stands before a text: beginning-of-text where there is one, else end-of-text."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, *self._shared.stops):
            if token is not None:
                return int(token)
        raise ModelError(f"{self.name} has neither a beginning-of-text nor an end-of-text token, so nothing can precede a text")

    @property
    def pad_id(self) -> int:
        """The id that fills rows of a batch; masked, so that any id does where the tokenizer has none."""
        return next((int(t) for t in (self.tokenizer.pad_token_id, *self._shared.stops) if t is not None), 0)

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        """Return what the model believes of each probe, in the order asked; an empty prefix means the start of a text."""
        if not probes:
            return []
        forest = build([p if p.prefix else Probe((self.start_id,), p.continuation) for p in probes])
        nats, top = self._read(forest)
        bounds = forest.scored.offsets.tolist()
        nats_list, top_list = nats.tolist(), top.tolist()
        return [
            Reading(tuple(nats_list[low:high]), tuple(top_list[low:high]))
            for low, high in zip(bounds, bounds[1:], strict=False)
        ]

    def _read(self, forest: Forest) -> tuple[np.ndarray, np.ndarray]:
        if self.reader != "auto":
            try:
                return self._read_with(self.reader, forest)
            except CannotPack as error:
                others = "cached or plain" if self.reader == "packed" else "plain"
                raise ModelError(f"{self.name} cannot be read {self.reader}: {error}; use --reader {others}") from error
        if self._works is None:
            self._works = self._find_reader()
        return self._read_with(self._works, forest)

    def _read_with(self, reader: Reader, forest: Forest) -> tuple[np.ndarray, np.ndarray]:
        with self._shared.using(self._adapter) as module:
            if reader == "packed":
                self._check_layers()
                size = _PASS_TOKENS.get(self.device.type, 4096)
                return read_packed(module, forest, device=self.device, max_tokens=size, max_scored=_PASS_SCORED)
            if reader == "cached":
                self._check_adapter()
                return read_cached(module, forest, device=self.device)
            return read_plain(module, forest, device=self.device, pad=self.pad_id)

    def _check_layers(self) -> None:
        """Raise `CannotPack` for models that are known to look at their past in another way than full or windowed attention."""
        config = self._shared.base.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ())
        unknown = kinds - {"full_attention", "sliding_attention"}
        if unknown:
            raise CannotPack(f"it has layers of type {', '.join(sorted(unknown))}")
        if not self._shared.base._supports_attention_backend:
            raise CannotPack("its attention does not go through the attention interface")
        self._check_adapter()

    def _check_adapter(self) -> None:
        """Raise `CannotPack` for an adapter that adds tokens to every call, so that a text cannot be read piece by piece."""
        adapter = self._shared.module.peft_config[self._adapter] if self._adapter is not None else None
        if adapter is not None and adapter.is_prompt_learning:
            raise CannotPack("its adapter puts virtual tokens in front")

    def _find_reader(self) -> Reader:
        """Return the fastest way of reading that agrees with the plain one on a few probes; say so where it is not the packed one."""
        size = min(int(self._shared.base.config.get_text_config().vocab_size), 1000)
        rng = np.random.default_rng(0)
        trunk = rng.integers(0, size, 40).tolist()
        probes = [Probe((*trunk[:n], 5), tuple(rng.integers(0, size, 2).tolist())) for n in (4, 19, 33, 40)]
        forest = build(probes)
        wanted, _ = self._read_with("plain", forest)
        tolerance = 1e-3 if self.dtype == torch.float32 else 0.25  # mean difference; another mask moves random text by nats
        why = []
        for reader in ("packed", "cached"):
            try:
                found, _ = self._read_with(reader, forest)
            except (CannotPack, TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
                why.append(f"{reader}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
                continue
            difference = float(np.mean(np.abs(found - wanted)))
            if difference <= tolerance:
                break
            why.append(f"{reader}: differs from the plain reading by {difference:.3f} nats")
        else:
            reader = "plain"
        if why:
            note = f"{self.name} is read {reader}, which is slower ({'; '.join(why)})"
            self.notes.append(note)
            log.warning(note)
        return reader  # type: ignore[return-value]

    def _adapter_changes_logits(self) -> bool:
        ids = torch.arange(3, 19, device=self.device)[None] % int(self._shared.base.config.get_text_config().vocab_size)
        with torch.inference_mode():
            with self._shared.using(self._adapter) as module:
                tuned = module(input_ids=ids).logits
            with self._shared.using(None) as module:
                base = module(input_ids=ids).logits
        return not torch.equal(tuned, base)


class _Held(_Shared):
    """A module that a program holds, as it is: nothing is loaded, moved or converted."""

    def __init__(self, module: Any, tokenizer: Any) -> None:
        self.module = self.base = module.eval()
        self.tokenizer = tokenizer
        weight = module.get_input_embeddings().weight
        self.device, self.dtype = weight.device, weight.dtype
        self.adapters: list[str] = []
        ends = (
            module.generation_config.eos_token_id
            if module.generation_config.eos_token_id is not None
            else tokenizer.eos_token_id
        )
        self.stops = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def hold(module: Any, tokenizer: Any, *, name: str | None = None) -> TransformersModel:
    """Return a transformers module and its tokenizer as a model of ours. Raises ModelError for what is none.

    The weights are looked at when they are asked and fingerprinted, so they must not change while the model is used.
    """
    if not hasattr(module, "get_input_embeddings") or not hasattr(tokenizer, "get_vocab"):
        raise ModelError(
            f"a model in memory is given as (module, tokenizer), and this is ({type(module).__name__}, {type(tokenizer).__name__})"
        )
    where = getattr(getattr(module, "config", None), "_name_or_path", "") or type(module).__name__
    return TransformersModel(_Held(module, tokenizer), name or str(where))
