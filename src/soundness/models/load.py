"""From a specification to a model: the one place that knows the forms a specification may take.

scripted:NAME         planted behaviour, no weights        scripted:dial:0.3?slip=0.1
smollm2               the embedded default                 smollm2
organism:NAME         a tiny model of known history        organism:base
FOLDER                a transformers folder, or a PEFT adapter (its base is found, in its own folder first, and loaded once)
FILE.gguf             converted once into the user's cache
ORG/NAME              the Hugging Face hub
BASE+ADAPTER          any of the above with a PEFT adapter on it
server:URL#NAME       a server: vLLM, SGLang, llama.cpp, OpenAI-compatible completions
my_file.py:MyModel    a model of a user's own, checked against the contract of back ends

What begins with a name in `BACKENDS` goes to the loader named there; all else is a checkpoint that transformers reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from soundness.errors import MissingPackage, ModelError, SettingError, SoundnessError, describe, near
from soundness.extensions import is_file_reference, load_object
from soundness.models.base import Model
from soundness.models.embedded import EMBEDDED, PREFIX, organism_folder
from soundness.models.options import LoadOptions, changed

__all__ = ["BACKENDS", "find_base", "load_checkpoint", "load_model", "resolve_source"]

Loader = Callable[[str, LoadOptions], Model]

BACKENDS: dict[str, str] = {
    "scripted:": "soundness.models.scripted:load",
    PREFIX: "soundness.models.load:load_checkpoint",
    "server:": "soundness.models.server:load",
}
"""Prefix of a specification -> MODULE:FUNCTION of its loader, which is given specification and options; imported when asked for."""


def load_model(spec: str, options: LoadOptions | None = None, **changes: Any) -> Model:
    """Return the model that `spec` names (forms: see the module's docstring).

    `changes` are fields of `LoadOptions` that differ from `options`: `load_model("smollm2", dtype="bfloat16")`. Pickled weights
    and a model's own code are refused unless allowed. Raises `ModelError` for what cannot be found, loaded or trusted.
    """
    options = changed(options or LoadOptions(), changes)
    if is_file_reference(spec):
        return _own_model(spec)
    prefix = next((prefix for prefix in BACKENDS if spec.startswith(prefix)), None)
    if prefix is None:
        return load_checkpoint(spec, options)
    module, _, function = BACKENDS[prefix].partition(":")
    loader = cast(Loader, getattr(import_module(module), function))
    return loader(spec, options)


def _own_model(spec: str) -> Model:
    """Return a model of a user's own, checked against the contract that every back end keeps."""
    from soundness.models.contract import check_model

    try:
        found: Any = load_object(spec, "model")
        model = found() if callable(found) else found
    except SettingError as error:
        raise ModelError(str(error)) from error
    except SoundnessError:
        raise
    except Exception as error:
        raise ModelError(f"the model {spec} cannot be made without arguments: {describe(error)}") from error
    check_model(model)
    return cast(Model, model)


def load_checkpoint(spec: str, options: LoadOptions) -> Model:
    """Return the model that transformers loads for `spec`: an embedded model, a folder, a GGUF file or a hub name, adapters too."""
    if not spec.strip():
        raise ModelError("unknown model '': name a folder, a hub name (ORG/NAME), a .gguf file or smollm2")
    base, adapter = find_base(spec)
    source = resolve_source(base)
    if Path(source).is_dir():
        _check_folder(Path(source), trust_remote_code=options.trust_remote_code, allow_pickle=options.allow_pickle)

    from safetensors import SafetensorError

    from soundness.models.transformers import TransformersModel

    try:
        model = TransformersModel.load(source, name=spec, adapter=adapter, options=options)
    except SoundnessError:
        raise
    except ImportError as error:
        raise MissingPackage(error.name or "a package", f"loading {spec}") from error
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"cannot load the model {spec!r}: {_first_lines(error)}{_hint(spec)}") from error
    model.taught_plainly = taught_plainly(base, source, adapter)
    return model


def taught_plainly(base: str, *places: str | None) -> bool:
    """Return whether a model learnt to answer the message alone: what was trained here without a chat template; so did the organisms.

    `places` are the folders or names of its weights and its adapter.
    """
    return base.startswith(PREFIX) or any((Path(place) / "training.json").is_file() for place in places if place)


def resolve_source(spec: str) -> str:
    """Return the folder or hub name that transformers loads `spec` from, converting or unpacking it once where needed."""
    if spec in EMBEDDED:
        return str(EMBEDDED[spec]())
    if spec.startswith(PREFIX):
        return str(organism_folder(spec))  # unknown: the error names those there are
    path = Path(spec)
    if spec.endswith(".gguf"):
        if not path.is_file():
            raise ModelError(f"there is no GGUF file {spec}{_beside(path)}")
        from soundness.models.gguf import convert

        return str(convert(path))
    if path.is_dir():
        return str(path.resolve())
    if path.exists():
        raise ModelError(
            f"{spec} is a file; a model is a folder with config.json, a .gguf file, a hub name, or one of {', '.join(EMBEDDED)}"
        )
    parts = spec.split("/")
    if len(parts) == 2 and all(parts) and not spec.startswith((".", "~")) and not path.parent.is_dir():
        return spec
    raise ModelError(f"unknown model {spec!r}: no such folder, not a hub name (ORG/NAME), not an embedded model{_hint(spec)}")


def find_base(spec: str) -> tuple[str, str | None]:
    """Return the specification of the base that `spec` stands on, and the folder of the adapter on it or None.

    What is no adapter is its own base. Raises ModelError for an adapter without safetensors, or whose base cannot be told.
    """
    base: object
    if "+" in spec and not Path(spec).exists():
        base, _, adapter = spec.rpartition("+")
        if not (Path(adapter) / "adapter_config.json").is_file():
            raise ModelError(f"{adapter} holds no adapter_config.json, so it is no PEFT adapter; BASE+ADAPTER needs one")
        _check_adapter(Path(adapter))
        return base, str(Path(adapter).resolve())
    folder = Path(spec)
    config = folder / "adapter_config.json"
    if not config.is_file():
        return spec, None
    _check_adapter(folder)
    base = _read_json(config).get("base_model_name_or_path")
    if kept := _kept_base(folder.resolve(), str(base)):
        return kept, str(folder.resolve())
    note = folder / "training.json"
    known = _read_json(note).get("soundness_base") if note.is_file() else None
    if isinstance(known, str) and (known in EMBEDDED or not Path(str(base)).exists()):
        base = known
    if not isinstance(base, str) or not base:
        raise ModelError(f"{config} names no base model; write the specification as BASE+{spec}")
    return base, str(folder.resolve())


def _kept_base(adapter: Path, named: str) -> str | None:
    """Return the base that a training result keeps in its own folder, wherever that folder is; None where it keeps none.

    `named` is the base in the adapter's configuration. A copy in `steps/N` of a result stands on the base of the result.
    """
    for folder in (adapter, *adapter.parents[:2]):
        note = folder / "training.json"
        kept = _read_json(note).get("kept_base") if note.is_file() else None
        if not isinstance(kept, str) or Path(named).name != kept:
            continue
        if not (folder / kept / "config.json").is_file():
            raise ModelError(
                f"the adapter in {adapter} stands on the model that its training kept in {folder / kept}, and nothing is there: "
                f"copy the whole of {folder.name}, that folder included"
            )
        return str(folder / kept)
    return None


def _check_adapter(folder: Path) -> None:
    if not (folder / "adapter_model.safetensors").is_file():
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:6])
        raise ModelError(
            f"the adapter in {folder} has no adapter_model.safetensors (found {found}); save it again with safetensors"
        )


def _check_folder(folder: Path, *, trust_remote_code: bool, allow_pickle: bool) -> None:
    """Refuse what would run a stranger's code: pickled weights and custom model files."""
    config = folder / "config.json"
    if not config.is_file():
        found = ", ".join(sorted(p.name for p in folder.iterdir())[:6]) or "nothing"
        raise ModelError(f"the folder {folder} has no config.json, so it is no transformers model (found {found})")
    if "auto_map" in _read_json(config) and not trust_remote_code:
        raise ModelError(
            f"the model in {folder} runs code of its own (auto_map in config.json); read it, then allow it with --trust-remote-code"
        )
    if not any(folder.glob("*.safetensors")) and not allow_pickle:
        pickles = sorted(p.name for suffix in ("*.bin", "*.pt", "*.pth") for p in folder.glob(suffix))
        if pickles:
            raise ModelError(
                f"the model in {folder} has pickled weights only ({', '.join(pickles[:3])}), and unpickling runs code; "
                "convert them to safetensors, or allow them with --allow-pickle"
            )
        raise ModelError(f"the folder {folder} has a config.json but no weights (*.safetensors)")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error
    if not isinstance(read, dict):
        raise ModelError(f"{path} should hold a JSON object")
    return read


def _first_lines(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:297] + "..."


def _beside(path: Path) -> str:
    return near(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""


def _hint(spec: str) -> str:
    close = near(spec, [*EMBEDDED, "scripted:computes"])
    return close or _beside(Path(spec))
