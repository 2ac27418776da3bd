"""A causal language model of the transformers library, whole or with a PEFT adapter, behind our few verbs."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList, StoppingCriteriaList

from soundness.errors import ModelError
from soundness.models.adapters import AdapterFolder, inspect_adapter
from soundness.models.chat import render_prompt, template_of, turn_end
from soundness.models.modules import SharedModule, load_tokenizer, pick_device, pick_dtype, quiet
from soundness.models.options import LoadOptions, Reader
from soundness.models.packed import CannotPack, read_packed
from soundness.models.readers import PLAIN_BATCH, Choice, check_probes, choose_reader
from soundness.models.sampling import Draw, Until, pick_tokens
from soundness.models.tokens import decode, encode_fragment, token_pieces, vocabulary_digest
from soundness.models.unpacked import read_cached, read_plain
from soundness.probes.forest import build
from soundness.records import Generation, Probe, Prompt, Reading, Stop, Turn
from soundness.tasks.prompts import Prompting

__all__ = [
    "Reader",
    "TransformersModel",
    "encode_fragment",
    "pick_device",
    "pick_dtype",
    "pick_tokens",
    "quiet",
    "render_prompt",
]

log = logging.getLogger("soundness")

# Whole tokens of the forest per packed pass, and places whose logits exist at once: places x vocabulary is the usual memory failure.
_PASS_TOKENS = {"cpu": 4096, "cuda": 16384}
_PASS_SCORED = 512

_loaded: WeakValueDictionary[tuple[str, Any, LoadOptions], SharedModule] = WeakValueDictionary()


def _stamp(source: str) -> tuple[tuple[str, int, int], ...]:
    """Return names, sizes and times of a folder's model files, so that a folder that was written anew is loaded anew."""
    folder = Path(source)
    if not folder.is_dir():
        return ()
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".bin", ".jinja"))
    return tuple((path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files)


def _stops(ends: Sequence[int], tokenizer: Any) -> list[int]:
    """Return the tokens that end a text: by the module's files, by the tokenizer, and by the chat template.

    Files often name another end of text than the template's; a model tuned on chat turns ends them by the template's.
    """
    own = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    return list(dict.fromkeys([*ends, *own, *turn_end(tokenizer)[0]]))


_STRANGERS = 0.01
"""Share of an adapter's tokens that may have other ids in its base: trainers rename reserved tokens, a hundred at most."""


def _check_tokenizer(own: Any, shared: SharedModule, about: AdapterFolder) -> None:
    """Raise ModelError where an adapter's tokenizer is of another vocabulary than its base, or has tokens without embeddings."""
    base, mine = shared.tokenizer.get_vocab(), own.get_vocab()
    other = [token for token, number in mine.items() if base.get(token, number) != number]
    if len(other) > max(16, _STRANGERS * len(mine)):
        raise ModelError(
            f"the adapter in {about.folder} does not belong to this base: {len(other)} of the {len(mine)} tokens of its tokenizer "
            f"have other ids there, such as {other[0]!r}; give the base it was trained on as BASE+ADAPTER"
        )
    rows = max(about.rows or 0, shared.base.get_input_embeddings().weight.shape[0])
    if mine and max(mine.values()) >= rows:
        raise ModelError(
            f"the adapter in {about.folder} does not fit its base: its tokenizer has {max(mine.values()) + 1} tokens and there are "
            f"embeddings for {rows}; train it again with the embeddings of its new tokens saved (modules_to_save)"
        )


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def _plain_key(key: str, adapter: str | None) -> str:
    """Return a parameter's name as it was before PEFT wrapped its module."""
    for part in ("base_model.model.", ".base_layer", ".original_module"):
        key = key.replace(part, "", 1)
    return key.replace(f".{adapter}", "", 1) if adapter else key


class TransformersModel:
    """A transformers model as a `soundness.models.base.Model`."""

    def __init__(self, shared: SharedModule, name: str, *, adapter: str | None = None, tokenizer: Any = None) -> None:
        self.shared = shared
        self._adapter = adapter
        self.name = name
        self.reader: Reader = "auto"
        self.tokenizer = shared.tokenizer if tokenizer is None else tokenizer
        self.device = shared.device
        self.dtype = shared.dtype
        self.notes: list[str] = []
        self.taught_plainly = False
        self.choice: Choice | None = None
        self.stops = _stops(shared.ends, self.tokenizer)
        """Tokens that end what it writes."""

    @classmethod
    def load(
        cls, source: str, *, name: str | None = None, adapter: str | None = None, options: LoadOptions | None = None
    ) -> TransformersModel:
        """Return the model at `source` (folder or hub name), with the PEFT adapter at `adapter` on it where one is given.

        Weights that a living model has loaded from the same files with the same options are used, not loaded again. Raises
        ModelError for an adapter that does not fit wholly.
        """
        options = options or LoadOptions()
        device = None if options.device_map else str(pick_device(options.device))
        key = (source, _stamp(source), replace(options, reader="auto", device=device))
        about = inspect_adapter(Path(adapter)) if adapter is not None else None
        shared = _loaded.get(key)
        if shared is None:
            shared = _loaded[key] = SharedModule.load(source, options)
        if about is None:
            model = cls(shared, name or source)
        else:
            if not shared.accepts(about):
                shared = SharedModule.load(source, options)
            model = cls._with_adapter(shared, about, name or f"{source}+{adapter}", options)
        model.reader = cast(Reader, options.reader)
        return model

    @classmethod
    def _with_adapter(cls, shared: SharedModule, about: AdapterFolder, name: str, options: LoadOptions) -> TransformersModel:
        own = None
        if about.has_tokenizer and options.tokenizer is None:
            with quiet():
                own = load_tokenizer(str(about.folder), options)
            _check_tokenizer(own, shared, about)
        model = cls(shared, name, adapter=shared.add_adapter(about), tokenizer=own)
        if own is not None and template_of(own) != template_of(shared.tokenizer):
            model.add_note(f"{name} is asked in the chat template saved with its adapter, which is not its base's")
        if not model._adapter_changes_logits():
            model.add_note(f"the adapter {about.folder} changes no logit of its base: the tuned model equals the base")
        return model

    def add_note(self, note: str) -> None:
        """Keep a remark that belongs on the page, and say it now."""
        self.notes.append(note)
        log.warning(note)

    @cached_property
    def context_length(self) -> int | None:
        """The number of positions that the model was made for, or None where its configuration names none."""
        config = self.shared.config
        positions = getattr(config, "max_position_embeddings", None)
        return positions if isinstance(positions, int) and positions > 0 else None

    @property
    def module(self) -> Any:
        """The transformers (or PEFT) module, with this model's adapter switched on and all others off."""
        return self.shared.switched(self._adapter)

    @cached_property
    def fingerprint(self) -> str:
        """Digest of every weight (an exact integer checksum of each tensor and a sample of its bytes), dtype and vocabulary."""
        digest = hashlib.blake2b(digest_size=16)
        digest.update(f"{self.vocabulary}/{self.dtype}".encode())
        named: dict[str, torch.Tensor] = {}
        module = self.shared.soft_prompts.get(self._adapter or "", self.shared.module)
        for key, tensor in module.state_dict().items():
            owner = next((name for name in self.shared.adapters if f".{name}." in f"{key}."), None)
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
            processors.append(Draw(keys, temperature, top_p, max_tokens, longest))
        stopping = StoppingCriteriaList([Until(self.decode, until, longest)] if until else [])
        config = GenerationConfig(
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=self.stops or None,
            pad_token_id=pad,
            use_cache=True,
        )
        with self.shared.using(self._adapter) as module, torch.inference_mode(), quiet():
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
            ends = {*self.stops, *until.ids}
            end = next((position for position, token in enumerate(ids) if token in ends), None)
            written = ids[: max_tokens if end is None else end]
            kept = until.kept(self.pieces(written))
            if kept is not None:
                return Generation(tuple(written[:kept]), "stop")
            return Generation(tuple(written), "length" if end is None else "stop")
        for position, token in enumerate(ids):
            if token in self.stops:
                return Generation(tuple(ids[:position]), "stop")
            if until and until in self.decode(ids[: position + 1]):
                return Generation(tuple(ids[: position + 1]), "stop")
        return Generation(tuple(ids[:max_tokens]), "length")

    @property
    def start_id(self) -> int:
        """The id that stands before a text: beginning-of-text where there is one, else end-of-text."""
        for token in (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id, *self.stops):
            if token is not None:
                return int(token)
        raise ModelError(f"{self.name} has neither a beginning-of-text nor an end-of-text token, so nothing can precede a text")

    @property
    def pad_id(self) -> int:
        """The id that fills rows of a batch; masked, so that any id does where the tokenizer has none."""
        return next((int(t) for t in (self.tokenizer.pad_token_id, *self.stops) if t is not None), 0)

    def read(self, probes: Sequence[Probe]) -> list[Reading]:
        """Return what the model believes of each probe, in the order asked; an empty prefix means the start of a text.

        That is what a forward pass over the probe alone gives: where rotary frequencies depend on the length of the text, they
        are those of prefix and continuation.
        """
        if not probes:
            return []
        probes = [probe if probe.prefix else Probe((self.start_id,), probe.continuation) for probe in probes]
        self._check_index(max(len(probe.prefix) + len(probe.continuation) - 1 for probe in probes))
        choice = self._chosen()
        try:
            nats, top = self._read(choice.reader, probes, choice.plain_batch)
        except CannotPack as error:
            others = "cached or plain" if choice.reader == "packed" else "plain"
            raise ModelError(f"{self.name} cannot be read {choice.reader}: {error}; use --reader {others}") from error
        except IndexError as error:
            longest = max(len(probe.prefix) + len(probe.continuation) for probe in probes)
            raise ModelError(
                f"{self.name} has {self.context_length} positions, and a text of {longest} tokens was to be read: {error}"
            ) from error
        bounds = np.cumsum([0, *(len(probe.continuation) for probe in probes)]).tolist()
        nats_list, top_list = nats.tolist(), top.tolist()
        return [
            Reading(tuple(nats_list[low:high]), tuple(top_list[low:high]))
            for low, high in zip(bounds, bounds[1:], strict=False)
        ]

    def _chosen(self) -> Choice:
        """Return how the model is read: as asked, or the fastest way that is right; said once where that is not the packed one."""
        if self.reader != "auto":
            return Choice(self.reader, PLAIN_BATCH)
        if self.choice is None:
            probes = check_probes(int(self.shared.config.vocab_size), self._windows())
            self.choice = choose_reader(lambda reader, some, size: self._read(reader, some, size)[0], probes, self.dtype)
            if self.choice.why:
                note = f"{self.name} is read {self.choice.reader}, which is slower ({'; '.join(self.choice.why)})"
                self.add_note(note)
        return self.choice

    def _check_index(self, longest: int) -> None:
        """Raise ModelError for a text whose tokens attend to a choice of tokens: it has no log-probability of its own.

        Which tokens are chosen, and how keys are pressed together, depends on what else is in the text; a prefix of a longer text
        is read otherwise than alone, and ties are broken by chance.
        """
        config = self.shared.config
        kinds = set(getattr(config, "layer_types", None) or ())
        if compressed := sorted(kind for kind in kinds if "compressed" in kind):
            raise ModelError(
                f"{self.name} cannot be read: it attends to compressed keys ({', '.join(compressed)}), so that a prefix reads "
                "otherwise inside a longer text than alone; it can write, and another model can read what it wrote"
            )
        width = getattr(config, "index_topk", None)
        if "indexed_attention" in kinds and isinstance(width, int) and longest > width:
            raise ModelError(
                f"{self.name} cannot read a text of {longest} tokens: it attends through an index of {width} tokens, and beyond "
                "those a prefix reads otherwise inside a longer text than alone; shorter chains can be read (--max-tokens)"
            )

    def _windows(self) -> list[int]:
        """Return the lengths beyond which the model looks at a text in another way."""
        config = self.shared.config
        windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "attention_window_size")]
        return [window for window in (*windows, self.shared.rotary.limit) if isinstance(window, int) and window > 0]

    def _read(self, reader: Reader, probes: Sequence[Probe], plain_batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return (nats, top) of every continuation token, probe after probe, read in one of the three ways."""
        rotary = self.shared.rotary
        lengths = [
            len(probe.prefix) + len(probe.continuation) - 1 for probe in probes
        ]  # the last token is not read, only scored
        groups: dict[int, list[int]] = {}
        for index, length in enumerate(lengths):
            groups.setdefault(rotary.group(length), []).append(index)
        starts = np.cumsum([0, *(len(probe.continuation) for probe in probes)])
        nats, top = np.empty(starts[-1]), np.empty(starts[-1], dtype=bool)
        with self.shared.using(self._adapter) as module:
            for length, members in groups.items():
                with rotary.fixed(length):
                    found = self._read_group(module, reader, [probes[index] for index in members], plain_batch)
                places = np.concatenate([np.arange(starts[index], starts[index + 1]) for index in members])
                nats[places], top[places] = found
        return nats, top

    def _read_group(
        self, module: Any, reader: Reader, probes: Sequence[Probe], plain_batch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        forest = build(probes)
        if reader == "packed":
            self._check_layers()
            size = _PASS_TOKENS.get(self.device.type, 4096)
            return read_packed(module, forest, device=self.device, max_tokens=size, max_scored=_PASS_SCORED)
        if reader == "cached":
            if self._soft_prompt() is not None:
                raise CannotPack("its adapter puts virtual tokens in front")
            return read_cached(module, forest, device=self.device, pad=self.pad_id)
        virtual = self._soft_prompt() or 0
        return read_plain(module, forest, device=self.device, batch_size=plain_batch, pad=self.pad_id, virtual_tokens=virtual)

    def _check_layers(self) -> None:
        """Raise `CannotPack` for models that are known to look at their past in another way than full or windowed attention."""
        config = self.shared.config
        kinds = set(getattr(config, "layer_types", None) or ())
        unknown = kinds - {"full_attention", "sliding_attention"}
        if unknown:
            raise CannotPack(f"it has layers of type {', '.join(sorted(unknown))}")
        if not self.shared.base._supports_attention_backend:
            raise CannotPack("its attention does not go through the attention interface")
        if getattr(config, "attn_temperature_tuning", None):
            raise CannotPack("its attention is scaled by the place in the sequence, not by the position (temperature tuning)")
        if self._soft_prompt() is not None:
            raise CannotPack("its adapter puts virtual tokens in front")

    def _soft_prompt(self) -> int | None:
        """Return how many logits stand before those of a text, or None where no adapter puts virtual tokens in front."""
        adapter = self.shared.adapter_config(self._adapter)
        if adapter is None or not adapter.is_prompt_learning:
            return None
        return 0 if adapter.peft_type == "PREFIX_TUNING" else int(adapter.num_virtual_tokens)

    def _adapter_changes_logits(self) -> bool:
        ids = torch.arange(3, 19, device=self.device)[None] % int(self.shared.config.vocab_size)
        with torch.inference_mode(), quiet():
            with self.shared.using(self._adapter) as module:
                tuned = module(input_ids=ids).logits
            with self.shared.using(None) as module:
                base = module(input_ids=ids).logits
        return not torch.equal(tuned, base)


def hold(module: Any, tokenizer: Any, *, name: str | None = None) -> TransformersModel:
    """Return a transformers module and its tokenizer as a model of ours. Raises ModelError for what is none.

    The weights are looked at when they are asked and fingerprinted, so they must not change while the model is used.
    """
    if not hasattr(module, "get_input_embeddings") or not hasattr(tokenizer, "get_vocab"):
        raise ModelError(
            f"a model in memory is given as (module, tokenizer), and this is ({type(module).__name__}, {type(tokenizer).__name__})"
        )
    where = getattr(getattr(module, "config", None), "_name_or_path", "") or type(module).__name__
    weight = module.get_input_embeddings().weight
    return TransformersModel(
        SharedModule(module.eval(), tokenizer, device=weight.device, dtype=weight.dtype), name or str(where)
    )
