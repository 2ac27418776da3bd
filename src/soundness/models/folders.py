"""Folders and hub repositories of models, looked at before any library opens them: what is there, and what must not be run.

A folder is a stranger's. Weights can be pickles, which run code when they are loaded; configurations can name code, kernels and
sizes. All of that stands in small JSON files that are read here, within limits, so that what is refused was never opened. No torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from soundness.errors import FileError, MissingPackage, ModelError, near
from soundness.files import read_json
from soundness.models.options import ATTENTIONS, LoadOptions

__all__ = [
    "ADAPTER_CONFIG",
    "adapter_weights",
    "check_adapter",
    "check_folder",
    "has_weights",
    "hub_folder",
    "is_hub_name",
    "listing",
    "read_object",
    "split_revision",
]

ADAPTER_CONFIG = "adapter_config.json"

_MOST_JSON = 64 << 20
"""Bytes of a configuration or index that are read: indexes of the largest models have some 10 MB."""

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

_IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation(_internal)?")
"""Fields that choose an implementation; a value with a slash in it is fetched from the hub as a kernel, and run."""

_EXPERTS = ("eager", "batched_mm", "grouped_mm")
"""Names of expert layers that transformers itself implements."""

_BOUNDS = (
    (
        re.compile(r"position|length|context|window|seq|theta|seed|topk|max_"),
        1_000_000_000,
    ),  # numbers that nothing is as large as
    (re.compile(r"vocab|size|dim|width|channel|_id"), 20_000_000),  # the largest vocabularies have some 300,000 tokens
    (re.compile(r"layer|block|depth|stage"), 2_000),  # the deepest published models have about 130 layers
    (re.compile(r"head|expert|group|label|beam"), 20_000),
    (re.compile(r""), 20_000_000),
)
"""Names of numbers in a configuration -> the most that they may be. transformers builds lists as long as some of them say."""

_PACKAGES = {
    "bitsandbytes": ("bitsandbytes",),
    "gptq": ("gptqmodel", "optimum"),
    "awq": ("gptqmodel",),
    "compressed-tensors": ("compressed_tensors",),
    "aqlm": ("aqlm",),
    "hqq": ("hqq",),
    "quanto": ("optimum.quanto",),
    "torchao": ("torchao",),
    "auto-round": ("auto_round",),
    "spqr": ("spqr_quant",),
    "vptq": ("vptq",),
}
"""`quant_method` of a quantised folder -> packages that load it (transformers' quantizers, 5.23)."""

_INSTALL = {"compressed_tensors": "compressed-tensors", "auto_round": "auto-round", "optimum.quanto": "optimum-quanto"}
"""Package -> its name for pip, where that is another."""


def check_folder(folder: Path, options: LoadOptions) -> None:
    """Raise ModelError for a folder that is no model, would run a stranger's code, or names sizes that nobody has.

    Raises MissingPackage for quantised weights whose package is absent.
    """
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"the folder {folder} has no config.json, so it is no transformers model (found {listing(folder)})")
    _check_weights(folder, allow_pickle=options.allow_pickle)
    described = read_object(config)
    if not options.trust_remote_code:
        for path in (config, *(folder / name for name in ("tokenizer_config.json", "generation_config.json"))):
            if path.is_file() and any(name == "auto_map" and value for name, value in _walk(read_object(path))):
                raise ModelError(
                    f"the model in {folder} runs code of its own (auto_map in {path.name}); read it, then allow it with "
                    "--trust-remote-code"
                )
    _check_implementations(described, config)
    _check_sizes(described, config)
    _check_quantization(described, folder)


def check_adapter(folder: Path, *, allow_pickle: bool = False) -> None:
    """Raise ModelError for an adapter without weights, or with pickled ones where those are not allowed."""
    read_object(folder / ADAPTER_CONFIG)
    if adapter_weights(folder) is None and not (allow_pickle and (folder / "adapter_model.bin").is_file()):
        pickled = (folder / "adapter_model.bin").is_file()
        raise ModelError(
            f"the adapter in {folder} has no adapter_model.safetensors (found {listing(folder)}); save it again with safetensors"
            f"{', or allow its pickled weights with --allow-pickle' if pickled else ''}"
        )


def adapter_weights(folder: Path) -> Path | None:
    """Return the file with an adapter's weights, or None where there is none that is no pickle."""
    path = folder / "adapter_model.safetensors"
    return path if path.is_file() else None


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds a whole model: a configuration, and weights that are no adapter's."""
    whole = [path.name for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_")]
    return (folder / "config.json").is_file() and bool(whole)


def _check_weights(folder: Path, *, allow_pickle: bool) -> None:
    """Raise ModelError unless all that would be loaded as weights is safetensors, index files looked into."""
    named = read_object(folder / "config.json").get("transformers_weights")
    if named is not None and not (isinstance(named, str) and re.fullmatch(r"[\w.-]+\.safetensors(\.index\.json)?", named)):
        raise ModelError(
            f"config.json of {folder} names {_short(named)} as its weights, which is no safetensors file beside it"
        )
    for index in sorted(folder.glob("*.safetensors.index.json")):
        shards = read_object(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise ModelError(f"{index} should map weights to files, and does not; download or save the model again")
        for shard in sorted(set(shards.values())):
            if "/" in shard or "\\" in shard or shard in (".", ".."):
                raise ModelError(f"{index} maps weights to {_short(shard)}, which is no file beside it")
            if not shard.endswith(".safetensors") and not allow_pickle:
                raise ModelError(
                    f"{index.name} of {folder} maps weights to {_short(shard)}, which is no safetensors file, and unpickling runs "
                    "code; convert it to safetensors, or allow it with --allow-pickle"
                )
            if not (folder / shard).is_file():
                raise ModelError(
                    f"the weights of {folder} are incomplete: {_short(shard)} is missing; download the model again"
                )
    if not any(folder.glob("*.safetensors")) and not allow_pickle:
        pickles = sorted(path.name for suffix in _PICKLES for path in folder.glob(suffix))
        if pickles:
            raise ModelError(
                f"the model in {folder} has pickled weights only ({', '.join(map(_short, pickles[:3]))}), and unpickling runs code; "
                "convert them to safetensors, or allow them with --allow-pickle"
            )
        raise ModelError(f"the folder {folder} has a config.json but no weights (*.safetensors)")


def _check_implementations(described: dict[str, Any], path: Path) -> None:
    for name, value in _walk(described):
        if name in ("use_kernels", "kernel_config") and value:
            raise ModelError(f"{path} asks for kernels of its own ({name}); take that line out of it")
        if not _IMPLEMENTATION.fullmatch(name):
            continue
        known = _EXPERTS if "experts" in name else ATTENTIONS
        for chosen in value.values() if isinstance(value, dict) else (value,):
            if chosen is not None and chosen not in known:
                raise ModelError(
                    f"{path} names {_short(chosen)} as {name}, which transformers would fetch and run; known are "
                    f"{', '.join(known)}: take that line out of it"
                )


def _check_sizes(described: dict[str, Any], path: Path) -> None:
    for name, value in _walk(described):
        numbers = value if isinstance(value, list) else [value]
        for number in numbers:
            if not isinstance(number, int) or isinstance(number, bool):
                continue
            most = next(most for pattern, most in _BOUNDS if pattern.search(name.lower()))
            if abs(number) > most:
                raise ModelError(f"{path} says {_short(name)} is {_short(number)}, and no model has more than {most:,}")


def _check_quantization(described: dict[str, Any], folder: Path) -> None:
    given = described.get("quantization_config")
    method = str(given.get("quant_method", "")) if isinstance(given, dict) else ""
    for package in _PACKAGES.get(method, ()):
        if not _installed(package):
            raise MissingPackage(
                package, f"loading {folder}, whose weights are quantised ({method}),", _INSTALL.get(package, package)
            )


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # the parent of a dotted name is absent
        return False


def _walk(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every (name, value) of a nested object, lists of objects included."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from _walk(inner, str(key))
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, (dict, list)):
                yield from _walk(inner, name)


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file. Raises ModelError, in one line."""
    try:
        found = read_json(path, most_bytes=_MOST_JSON)
    except FileError as error:
        raise ModelError(str(error)) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} should hold a JSON object")
    return found


def listing(folder: Path) -> str:
    """Return the first names in a folder, for a message."""
    return ", ".join(_short(path.name) for path in sorted(folder.iterdir())[:6]) or "nothing"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- the hub -----------------------------------------------------------------------------------------------------------------

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
"""ORGANISATION/NAME as the hub allows it; a revision stands behind an @, which no name contains."""

_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken"]
_UNWANTED = ["*/*", "consolidated*", "training_args.bin", "optimizer*"]
"""Files of a repository that are fetched and left: what lies in folders is another format of the same weights."""


def split_revision(spec: str) -> tuple[str, str | None]:
    """Return a hub name and the revision behind its @, or None.

    >>> split_revision("org/name@step-100"), split_revision("org/name")
    (('org/name', 'step-100'), ('org/name', None))
    """
    name, at, revision = spec.partition("@")
    return name, (revision or None) if at else None


def is_hub_name(spec: str) -> bool:
    """Return whether `spec` can be a name on the hub, with or without a revision.

    >>> is_hub_name("org/name"), is_hub_name("org/name@main"), is_hub_name("./name"), is_hub_name("a/b/c")
    (True, True, False, False)
    """
    name, _ = split_revision(spec)
    return _HUB_NAME.fullmatch(name) is not None and not name.startswith(".")


def hub_folder(spec: str, options: LoadOptions, *, revision: str | None = None) -> Path:
    """Return the folder of the local copy of a hub repository, fetched where it is not there yet.

    Weights that are no safetensors are fetched only where pickles are allowed, Python files only where a model's own code is. Raises
    ModelError where it cannot be had.
    """
    from huggingface_hub import snapshot_download

    name, named = split_revision(spec)
    wanted = named or revision or options.revision
    patterns = [*_WANTED, *(_PICKLES if options.allow_pickle else ()), *(("*.py",) if options.trust_remote_code else ())]
    try:
        return Path(snapshot_download(name, revision=wanted, allow_patterns=patterns, ignore_patterns=_UNWANTED))
    except Exception as error:  # no network, no such repository, no such revision, no access, a full disk
        reason = " ".join(str(error).split()) or type(error).__name__
        at = f" at revision {wanted}" if wanted else ""
        raise ModelError(
            f"cannot load the model {spec!r}{at} from the hub, and there is no local copy: {reason[:200]}; check name and network, "
            f"or give a folder{_beside(Path(name))}"
        ) from error


def _beside(path: Path) -> str:
    return near(path.name, [found.name for found in path.parent.iterdir()]) if path.parent.is_dir() else ""
