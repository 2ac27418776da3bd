"""PEFT adapters as trainers leave them: what a folder holds, whether all of it fits its base, and what may share one base.

PEFT loads whatever has a name that it knows and goes on without the rest, with a warning at most. A model of which nothing or a part
was loaded is neither base nor tuned, so here an adapter fits wholly or is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from soundness.errors import ModelError
from soundness.models.folders import ADAPTER_CONFIG, adapter_weights, read_object

__all__ = ["AdapterFolder", "check_fit", "grow_rows", "inspect_adapter", "put_on"]

_SOFT = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT")
"""Kinds that put tokens in front of a text and leave the layers alone."""

_ROWS = re.compile(
    r"(embed_tokens|lm_head|wte|word_embeddings|embed_in|embed_out|output_layer)\.((base_layer|original_module)\.)?weight"
)
"""Ends of the names of weights with one row per token, in the families of transformers."""

_RUNAWAY = re.compile(r"\([^()]*[+*][^()]*\)\s*[+*{]")
"""A repetition of a repetition, (a+)+: a regular expression that can take for ever on a short name."""


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """What stands in an adapter's files."""

    folder: Path
    """Where."""
    kind: str
    """PEFT's name of the method, in capitals."""
    shapes: dict[str, tuple[int, ...]]
    """Name -> shape of every weight in its file; empty where the file is a pickle."""
    rows: int | None
    """Tokens that it has embeddings of its own for, all of the vocabulary included; None where it keeps none."""
    has_tokenizer: bool
    """Whether a tokenizer was saved with it."""
    plain: bool
    """Whether it is a low-rank adapter of ordinary layers and nothing else, so that several may stand on one base."""
    changes_base: bool
    """Whether putting it on changes weights of the base, so that it needs one of its own."""

    @property
    def soft(self) -> bool:
        """Whether it puts tokens in front of a text."""
        return self.kind in _SOFT


def inspect_adapter(folder: Path) -> AdapterFolder:
    """Return what an adapter's folder holds, read from its small files and the header of its weights.

    Raises ModelError for what cannot be an adapter.
    """
    described = read_object(folder / ADAPTER_CONFIG)
    kind = str(described.get("peft_type") or "").upper()
    if not kind:
        raise ModelError(f"{folder / ADAPTER_CONFIG} names no peft_type, so it is no PEFT adapter; save it again with PEFT")
    for name in ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern"):
        pattern = described.get(name)
        if isinstance(pattern, str) and (len(pattern) > 10_000 or _RUNAWAY.search(pattern)):
            raise ModelError(
                f"{name} of the adapter in {folder} is a regular expression that can take for ever; name the layers"
            )
    path = adapter_weights(folder)
    shapes = _shapes(path) if path is not None else {}
    if path is not None and not shapes:
        raise ModelError(
            f"the adapter in {folder} is empty: there is no weight in {path.name}; save it again (DeepSpeed leaves such files)"
        )
    ranks = [described.get("r"), *(described.get("rank_pattern") or {}).values()] if kind == "LORA" else []
    most = max((min(shape) for shape in shapes.values() if len(shape) > 1), default=None)
    for rank in ranks:
        if isinstance(rank, int) and most is not None and rank > most and rank > 1024:
            raise ModelError(
                f"the adapter in {folder} says its rank is {rank}, and its largest weight has {most}; save it again"
            )
    own = [shape[0] for name, shape in shapes.items() if _ROWS.search(name) and len(shape) == 2]
    extras = ("modules_to_save", "trainable_token_indices", "target_parameters", "layer_replication")
    plain = (
        kind == "LORA"
        and described.get("bias", "none") == "none"
        and not any(described.get(name) for name in extras)
        and not own
        and all(".lora_" in name for name in shapes)
    )
    tokenizer = any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json"))
    # PiSSA and its like take their start out of the base's weights, and do so again whenever they are put on; biases stay in the
    # base when an adapter is switched off.
    drawn = described.get("init_lora_weights", True)
    taken = isinstance(drawn, str) and drawn.lower() not in ("gaussian", "eva", "orthogonal")
    rows = max(own) if own else None
    biased = described.get("bias", "none") != "none"
    changes = kind not in _SOFT and (rows is not None or taken or biased)
    return AdapterFolder(folder, kind, shapes, rows, tokenizer, plain and not taken, changes)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is no safetensors file ({str(error)[:120]}); save the adapter again") from error


def put_on(module: Any, about: AdapterFolder, name: str) -> Any:
    """Return `module` with the adapter on it under `name`: a PEFT module, the same one where it was one already.

    Raises ModelError where the adapter does not belong to it or fits in part; `module` is then as it was.
    """
    from peft import PeftConfig, PeftModel, get_peft_model

    added = isinstance(module, PeftModel) and not about.soft
    wrapped: Any = module if added else None
    try:
        if not added:
            config = PeftConfig.from_pretrained(str(about.folder))
            config.inference_mode = True
            wrapped = get_peft_model(module, config, adapter_name=name)
        wrapped.load_adapter(str(about.folder), adapter_name=name, is_trainable=False)
        check_fit(wrapped, about, name)
    except Exception as error:
        if added and name in wrapped.peft_config:
            wrapped.delete_adapter(name)
        elif wrapped is not None and not added and not about.soft:
            wrapped.unload()
        if isinstance(error, (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError)):
            raise ModelError(f"the adapter in {about.folder} does not belong to this base: {_reason(error)}") from error
        raise
    return wrapped


def _reason(error: Exception) -> str:
    """Return the telling line of an error: of a list of tensors that do not fit, the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if line.startswith("size mismatch")), lines[0])[:200]


def check_fit(module: Any, about: AdapterFolder, name: str) -> None:
    """Raise ModelError unless every weight of the adapter's file was loaded, and every weight of the adapter came from it."""
    from peft import get_peft_model_state_dict

    if not about.shapes:
        return
    loaded = get_peft_model_state_dict(module, adapter_name=name, save_embedding_layers=False)
    present = set(loaded)
    # Embeddings that PEFT saves beside an adapter are weights of the base, and are loaded into it.
    base = {f"base_model.model.{key}" for key, _ in module.get_base_model().named_parameters()}
    given = {_saved_name(key) for key in about.shapes}
    strange = sorted(key for key in given - present if not (_ROWS.search(key) and _as_base(key) & base))
    lacking = sorted(present - given)
    if strange or lacking:
        problem = (
            f"{len(strange)} of its {len(given)} weights have no place in the base, such as {strange[0]}"
            if strange
            else f"{len(lacking)} of the {len(present)} weights that it should have are missing, such as {lacking[0]}"
        )
        raise ModelError(
            f"the adapter in {about.folder} does not fit its base: {problem}; it was trained on another model, or saved by another "
            "version: train or save it again, or merge it into the base it was trained on"
        )


def _saved_name(key: str) -> str:
    """Return a weight's name as PEFT saves it now; earlier versions left marks of their wrappers in it."""
    return key.replace(".modules_to_save.", ".").replace(".default.", ".")


def _as_base(key: str) -> set[str]:
    """Return the names that a base's weight may have once PEFT has wrapped its module."""
    bare = key.replace(".base_layer.", ".")
    return {bare, bare.replace(".weight", ".base_layer.weight"), bare.replace(".weight", ".original_module.weight")}


def grow_rows(module: Any, rows: int) -> None:
    """Give a base as many rows of embeddings as an adapter was trained with; the new ones are filled from the adapter's file."""
    if rows != module.get_input_embeddings().weight.shape[0]:
        with torch.no_grad():
            module.resize_token_embeddings(rows, mean_resizing=False)
