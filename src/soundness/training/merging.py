"""Training that starts from an adapter: its base with the adapter merged into the weights, kept as an ordinary folder.

What is trained then stands on whole weights, so that "the adapter off" is the model that training started from.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

from soundness.errors import ModelError, RunError
from soundness.files import read_json, write_json, write_text
from soundness.training.start import loading

__all__ = ["BASE", "NOTE", "adapter_digest", "merge_adapter", "settle_base"]

BASE = "base"
"""Folder of the merged model inside a result."""

NOTE = "merging.json"
"""File beside the merged weights that says what was merged."""

_LEAST_KEPT = 0.75
"""Least share of an adapter's change that has to outlive the rounding to the dtype of the training."""


def adapter_digest(folder: str) -> str:
    """Return a short hash of an adapter's configuration and weights."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        with (Path(folder) / name).open("rb") as file:
            while block := file.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()


def merge_adapter(spec: str, source: str, adapter: str, into: Path, *, tokenizer: Any, computed: str, stored: str) -> None:
    """Write the model at `source` with the adapter at `adapter` merged into its weights to the folder `into`, whole or not at all.

    The model is held in the dtype of its files, and each layer is merged in float32 and rounded to `stored`, so that no whole model
    is ever held in float32 that is not stored in it. `computed` is the dtype that training multiplies in; how much of the adapter's
    change outlives the rounding to it is noted beside the weights (`share_kept`, 0..1). Raises ModelError where the adapter cannot
    be merged, changes nothing, or is lost in that rounding; RunError where the disk is too full.
    """
    import torch
    from peft import PeftConfig, PeftModel
    from transformers import AutoModelForCausalLM

    from soundness.models.transformers import quiet

    with loading(spec):
        config = PeftConfig.from_pretrained(adapter)
        if config.is_prompt_learning:
            raise ModelError(
                f"{spec} is a soft prompt: tokens in front of the text cannot be merged into weights, so nothing can be trained on "
                "top of it. Start from its base, or train the first stage with LoRA or full"
            )
        module = AutoModelForCausalLM.from_pretrained(
            source, dtype="auto", use_safetensors=True, trust_remote_code=False
        ).eval()
        tuned = PeftModel.from_pretrained(module, adapter)
    ids = torch.arange(3, 19)[None] % int(module.config.get_text_config().vocab_size)
    with torch.inference_mode():
        wanted = tuned(input_ids=ids).logits.float()
        with tuned.disable_adapter():
            if torch.equal(wanted, tuned(input_ids=ids).logits.float()):
                raise ModelError(
                    f"the adapter {spec} changes no logit of {source}: start from {source}, or name the adapter's own base"
                )
    own = module.dtype
    _check_tied(spec, source, tuned)
    kept = _merge(spec, tuned, config, computed=getattr(torch, computed), stored=getattr(torch, stored))
    with quiet():
        merged = tuned.base_model.unload()  # what was merged layer by layer stays merged
    merged = merged.to(getattr(torch, stored))
    with torch.inference_mode():
        off = (merged(input_ids=ids).logits.float() - wanted).abs().max() / wanted.abs().max()
    # In half precision products of 16 tokens through all layers are off by a percent or two of themselves.
    if not off < (1e-3 if own == merged.dtype == torch.float32 else 0.1):
        raise ModelError(
            f"with the adapter {spec} merged into its weights {source} says other things than with it on (logits differ by "
            f"{off:.1%}): start from a whole model"
        )
    if kept < _LEAST_KEPT:
        raise ModelError(
            f"merged into {computed} weights, only {kept:.0%} of what the adapter {spec} changes would outlive the rounding: train "
            "with dtype float32, and audit the result in it too"
        )
    needed, free = merged.get_memory_footprint(), shutil.disk_usage(into.parent).free
    if free < needed:
        raise RunError(
            f"the base with the adapter merged in takes {needed / 1e9:.1f} GB beside {into.parent.parent}, and {free / 1e9:.1f} GB "
            "are free there: free some, or choose another folder"
        )
    writing = into.with_name(f"{into.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    with quiet():
        merged.save_pretrained(writing)
        tokenizer.save_pretrained(writing)
    note = {"base": source, "adapter": adapter, "dtype": computed, "share_kept": round(kept, 4)}
    write_json(writing / NOTE, note)
    writing.replace(into)


def _check_tied(spec: str, source: str, tuned: Any) -> None:
    """Raise ModelError where a layer that the adapter changes has its weights in common with another one, which would change too."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = {name: layer.get_base_layer() for name, layer in tuned.named_modules() if isinstance(layer, BaseTunerLayer)}
    changed = {id(weight): name for name, layer in adapted.items() for weight in layer.parameters(recurse=False)}
    mine = {id(layer) for layer in adapted.values()}
    for name, layer in tuned.named_modules():
        shared = next((weight for weight in layer.parameters(recurse=False) if id(weight) in changed), None)
        if shared is not None and id(layer) not in mine:
            raise ModelError(
                f"the adapter {spec} changes weights that two layers share in {source} ({changed[id(shared)]} and {name}), so that "
                "merged it would change both: start from a whole model"
            )


def _merge(spec: str, tuned: Any, config: Any, *, computed: Any, stored: Any) -> float:
    """Merge layer by layer; return how much of the adapter's change is left when the weights are rounded to `computed`, 0..1.

    The share is <rounded change, change> / <change, change> over all weights: 1 where rounding is only noise, towards 0 where steps
    of the dtype are larger than the change. Merged weights are kept in `stored`.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    along = square = 0.0
    for layer in [one for one in tuned.modules() if isinstance(one, BaseTunerLayer)]:
        base = layer.get_base_layer()
        for weight in layer.parameters():
            weight.data = weight.data.float()
        before = {name: weight.detach().clone() for name, weight in base.named_parameters(recurse=False)}
        try:
            layer.merge(safe_merge=True)
        except (ValueError, NotImplementedError, AttributeError) as error:
            kind = getattr(config.peft_type, "value", config.peft_type)
            raise ModelError(
                f"{spec}, an adapter of type {kind}, cannot be merged into its base ({error}), so nothing can be trained on top of "
                "it: start from its base, or train the first stage with LoRA or full"
            ) from error
        for name, weight in base.named_parameters(recurse=False):
            change = weight.detach() - before[name]
            rounded = weight.detach().to(computed).float() - before[name].to(computed).float()
            along += float((rounded * change).sum(dtype=torch.float64))
            square += float((change * change).sum(dtype=torch.float64))
            weight.data = weight.data.to(stored)
    return along / square if square else 1.0


def settle_base(folder: Path, out: Path) -> bool:
    """Make what is in `folder` ready to be renamed to `out`; return whether the merged base stays in it.

    It stays where an adapter stands on it, and the adapter's configuration then names it by its whole path in `out`.
    """
    staged, final = str((folder / BASE).resolve()), str(out.resolve() / BASE)
    stays = False
    for config in sorted(folder.rglob("adapter_config.json")):
        said = read_json(config)
        if said.get("base_model_name_or_path") != staged or config.relative_to(folder).parts[0].startswith("checkpoint-"):
            continue
        stays = True
        said["base_model_name_or_path"] = final
        write_json(config, said, indent=2, sort_keys=True)
        card = config.with_name("README.md")
        if card.is_file():
            write_text(card, card.read_text(encoding="utf-8").replace(staged, final))
    if not stays:
        shutil.rmtree(folder / BASE)
    return stays
