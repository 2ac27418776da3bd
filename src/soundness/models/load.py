"""From a specification to a model: the one place that knows the forms a specification may take.

scripted:NAME         planted behaviour, no weights        scripted:dial:0.3?slip=0.1
smollm2               the embedded default                 smollm2
organism:NAME         a tiny model of known history        organism:base
FOLDER                a transformers folder, or a PEFT adapter (its base is found, in its own folder first, and loaded once)
FILE.gguf             converted once into the user's cache
ORG/NAME              the Hugging Face hub, a model or an adapter; ORG/NAME@REVISION for a branch, tag or commit
BASE+ADAPTER          any of the above with a PEFT adapter on it
server:URL#NAME       a server: vLLM, SGLang, llama.cpp, OpenAI-compatible completions
my_file.py:MyModel    a model of a user's own, checked against the contract of back ends

What begins with a name in `BACKENDS` goes to the loader named there; all else is a checkpoint that transformers reads.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from soundness.errors import MissingPackage, ModelError, SettingError, SoundnessError, describe, near
from soundness.extensions import is_file_reference, load_object
from soundness.models.base import Model
from soundness.models.embedded import EMBEDDED, PREFIX, organism_folder
from soundness.models.folders import (
    ADAPTER_CONFIG,
    check_adapter,
    check_folder,
    has_weights,
    hub_folder,
    is_hub_name,
    read_object,
    split_revision,
)
from soundness.models.gguf import RECORD, convert
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
    """Return the model that transformers loads for `spec`: an embedded model, a folder, a GGUF file or a hub name, adapters too.

    Whatever a library raises on what lies in the files becomes one line.
    """
    if not spec.strip():
        raise ModelError("unknown model '': name a folder, a hub name (ORG/NAME), a .gguf file or smollm2")
    base, adapter = find_base(spec, allow_pickle=options.allow_pickle, fetch=options)
    source = _folder_of(base, options, adapter if "+" not in spec else None)
    notes = []
    if (Path(source) / ADAPTER_CONFIG).is_file():
        notes.append(
            f"{base} holds a whole model and an adapter beside it; the whole model is used (BASE+{base} for the adapter)"
        )
    if base.endswith(".gguf") and options.dtype is None:
        # Rounded to 16 bits, the values that were unpacked from the file would be others: 0.03 nats a token in the mean.
        options = changed(options, {"dtype": str(read_object(Path(source) / RECORD).get("dtype", "float32"))})
    try:
        from soundness.models.transformers import TransformersModel

        model = TransformersModel.load(source, name=spec, adapter=adapter, options=options)
    except (SoundnessError, KeyboardInterrupt, SystemExit):
        raise
    except ImportError as error:
        if error.name is not None:
            raise MissingPackage(error.name.partition(".")[0], f"loading {spec}") from error
        raise ModelError(f"cannot load the model {spec!r}: {_one_line(error)}") from error
    except BaseException as error:  # tokenizers' code in Rust raises what is no Exception where a file makes it panic
        raise ModelError(f"cannot load the model {spec!r}: {_one_line(error)}{_hint(spec)}") from error
    for note in notes:
        model.add_note(note)
    model.taught_plainly = taught_plainly(base, source, adapter)
    return model


def _folder_of(base: str, options: LoadOptions, adapter: str | None) -> str:
    """Return the checked folder of a base; `adapter` is the one that names it, if it was named so."""
    try:
        source = resolve_source(base)
        if not Path(source).is_dir():
            source = str(hub_folder(source, options))
    except ModelError as error:
        if adapter is None:
            raise
        raise ModelError(
            f"the adapter in {adapter} stands on {base!r}, which cannot be found ({error}); where that model lies elsewhere, "
            f"write BASE+{adapter}"
        ) from error
    if (Path(source) / ADAPTER_CONFIG).is_file() and not has_weights(Path(source)):
        raise ModelError(f"{base} is an adapter itself, and an adapter stands on a whole model: merge it into its base first")
    check_folder(Path(source), options)
    return source


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
        return str(convert(path))
    if path.is_dir():
        return str(path.resolve())
    if path.exists():
        raise ModelError(
            f"{spec} is a file; a model is a folder with config.json, a .gguf file, a hub name, or one of {', '.join(EMBEDDED)}"
        )
    # A folder named like the organisation hides no hub name, unless what is asked for is nearly in it.
    if is_hub_name(spec) and not (path.parent.is_dir() and _beside(path)):
        return spec
    raise ModelError(f"unknown model {spec!r}: no such folder, not a hub name (ORG/NAME), not an embedded model{_hint(spec)}")


def find_base(spec: str, *, allow_pickle: bool = False, fetch: LoadOptions | None = None) -> tuple[str, str | None]:
    """Return the specification of the base that `spec` stands on, and the folder of the adapter on it or None.

    What is no adapter is its own base; so is a merged model that still holds its adapter's files. A hub name is looked at only
    where `fetch` says how to fetch it. Raises ModelError for an adapter without weights, or whose base cannot be told.
    """
    if "+" in spec and not Path(spec).exists():
        base, _, named = spec.rpartition("+")
        folder = _adapter_folder(named, fetch)
        if not (folder / ADAPTER_CONFIG).is_file():
            raise ModelError(f"{named} holds no adapter_config.json, so it is no PEFT adapter; BASE+ADAPTER needs one")
        check_adapter(folder, allow_pickle=allow_pickle)
        return base, str(folder.resolve())
    folder = Path(spec)
    if fetch is not None and not folder.exists() and is_hub_name(spec) and resolve_source(spec) == spec:
        folder = hub_folder(spec, fetch)
    if not (folder / ADAPTER_CONFIG).is_file() or has_weights(folder):
        return spec, None
    check_adapter(folder, allow_pickle=allow_pickle)
    return _named_base(folder, spec), str(folder.resolve())


def _adapter_folder(named: str, fetch: LoadOptions | None) -> Path:
    """Return the folder of an adapter that is named by its folder or on the hub."""
    if fetch is None or Path(named).exists() or not is_hub_name(named):
        return Path(named)
    return hub_folder(named, fetch)


def _named_base(folder: Path, spec: str) -> str:
    """Return the specification of the base that an adapter's own files name."""
    described = read_object(folder / ADAPTER_CONFIG)
    base = described.get("base_model_name_or_path")
    if kept := _kept_base(folder.resolve(), str(base)):
        return kept
    note = folder / "training.json"
    known = read_object(note).get("soundness_base") if note.is_file() else None
    if isinstance(known, str) and (known in EMBEDDED or not Path(str(base)).exists()):
        base = known
    if not isinstance(base, str) or not base:
        raise ModelError(f"{folder / ADAPTER_CONFIG} names no base model; write the specification as BASE+{spec}")
    revision = described.get("revision")
    if (
        isinstance(revision, str)
        and revision
        and is_hub_name(base)
        and split_revision(base)[1] is None
        and not Path(base).exists()
    ):
        return f"{base}@{revision}"
    return base


def _kept_base(adapter: Path, named: str) -> str | None:
    """Return the base that a training result keeps in its own folder, wherever that folder is; None where it keeps none.

    `named` is the base in the adapter's configuration. A copy in `steps/N` of a result stands on the base of the result.
    """
    for folder in (adapter, *adapter.parents[:2]):
        note = folder / "training.json"
        kept = read_object(note).get("kept_base") if note.is_file() else None
        if not isinstance(kept, str) or Path(named).name != kept:
            continue
        if not (folder / kept / "config.json").is_file():
            raise ModelError(
                f"the adapter in {adapter} stands on the model that its training kept in {folder / kept}, and nothing is there: "
                f"copy the whole of {folder.name}, that folder included"
            )
        return str(folder / kept)
    return None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, (KeyError, TypeError, AttributeError, IndexError)):  # their messages alone say little
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= 300 else text[:297] + "..."


def _beside(path: Path) -> str:
    return near(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""


def _hint(spec: str) -> str:
    close = near(spec, [*EMBEDDED, "scripted:computes"])
    return close or _beside(Path(spec))
