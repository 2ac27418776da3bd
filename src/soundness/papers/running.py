"""Run a reproduction seed by seed: a killed run goes on with the seeds that are missing, and ends with the same figures."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Mapping
from concurrent.futures import as_completed
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from soundness.errors import FileError, MissingPackage, RunError, SettingError, SoundnessError
from soundness.files import read_json, write_text
from soundness.papers.base import Told
from soundness.papers.catalogue import REPRODUCTIONS, Reproduction, Result, load_reproduction, load_scale, reads_data
from soundness.papers.page import write_all
from soundness.processes import one_thread, process_pool
from soundness.progress import silent

__all__ = ["reproduce", "settings_of"]

_PACKAGES = ("soundness", "torch", "transformers", "trl", "numpy", "scipy")


def reproduce(
    name: str,
    *,
    out: str | Path,
    scale: str = "tiny",
    seeds: int = 3,
    workers: int = 1,
    data: str | Path | None = None,
    on_progress: Told | None = None,
) -> Result:
    """Return the result of the reproduction `name`, written with its page and pictures to `out`/NAME/SCALE.

    `seeds` counts from 0. `workers` processes run seeds side by side, each on one thread: how many there are changes no figure.
    `data` is the folder of problems for those reproductions that read some. A seed that was finished with the same settings is
    not run again. Raises SettingError for names, scales and folders that do not fit, RunError where another process writes there.
    """
    if seeds < 1:
        raise SettingError(f"--seeds is {seeds}; a reproduction needs at least one seed, and two for an interval")
    if workers < 1:
        raise SettingError(f"--workers is {workers}; at least one process has to run")
    module = load_reproduction(name)
    sizes = load_scale(module, scale)
    if data is not None:
        if not reads_data(name):
            raise SettingError(f"{name} reads no data, so --data says nothing to it; leave it out")
        if not Path(data).is_dir():
            raise SettingError(f"--data {data} is no folder; name the one that holds the problems")
        sizes = replace(sizes, data=str(data))
    folder = _folder(Path(out), name, scale)
    told = on_progress or silent
    try:
        with FileLock(folder / ".lock", timeout=0):
            return _finish(module, sizes, scale, seeds, folder, workers, told)
    except Timeout:
        raise RunError(f"another process is writing to {folder}; wait for it, or choose another --out") from None


def _folder(out: Path, name: str, scale: str) -> Path:
    """Return the folder of this run, made if need be. Raises SettingError where `out` holds other things than reproductions."""
    if out.exists() and not out.is_dir():
        raise SettingError(f"--out {out} is a file; name a folder")
    other = (
        sorted(one.name for one in out.iterdir() if one.name not in REPRODUCTIONS and one.name[0] != ".")
        if out.is_dir()
        else []
    )
    if other:
        raise SettingError(
            f"{out} holds other things ({', '.join(other[:4])}); choose an empty folder or that of a reproduction"
        )
    folder = out / name / scale
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made ({error.strerror or error}); choose another --out") from error
    return folder


def settings_of(module: Reproduction, sizes: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the sizes as JSON values, the folder of data left out, and the digests of the data."""
    values = json.loads(json.dumps({key: value for key, value in asdict(sizes).items() if key != "data"}))
    inputs = getattr(module, "inputs", None)
    return values, dict(inputs(sizes)) if inputs is not None else {}


def _digest(module: Reproduction, sizes: Any) -> str:
    text = json.dumps([module.PAPER.name, module.PAPER.revision, *settings_of(module, sizes)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _finish(module: Reproduction, sizes: Any, scale: str, seeds: int, folder: Path, workers: int, told: Told) -> Result:
    """Run the seeds that are missing and write everything."""
    digest = _digest(module, sizes)
    missing = [seed for seed in range(seeds) if _kept(folder, seed, digest) is None]
    where = REPRODUCTIONS[module.PAPER.name]
    if workers > 1 and len(missing) > 1:
        _run_side_by_side(where, sizes, missing, folder, digest, min(workers, len(missing)), told)
    else:
        for seed in missing:
            _run_seed(where, sizes, seed, folder, digest, _prefixed(told, f"seed {seed}: "))
    kept = [cast("dict[str, Any]", _kept(folder, seed, digest)) for seed in range(seeds)]
    values, inputs = settings_of(module, sizes)
    result = Result(
        name=module.PAPER.name,
        scale=scale,
        sizes=values,
        revision=module.PAPER.revision,
        inputs=inputs,
        date=max(one["date"] for one in kept),
        command=f"soundness reproduce {module.PAPER.name} --scale {scale} --seeds {seeds}",
        machine=_machine(),
        versions={"python": platform.python_version(), **{package: metadata.version(package) for package in _present()}},
        seconds=[one["seconds"] for one in kept],
        processor_seconds=[one.get("processor_seconds") for one in kept],
        seeds=[{"seed": seed, **one["found"]} for seed, one in enumerate(kept)],
    )
    write_text(folder / "results.json", result.text())
    write_all(module, result, folder)
    return result


def _run_seed(where: str, sizes: Any, seed: int, folder: Path, digest: str, told: Told) -> None:
    """Run one seed on one thread and keep what it gave."""
    module = cast("Reproduction", import_module(where))
    with one_thread():
        start, worked = time.perf_counter(), time.process_time()
        own = folder / f"seed-{seed}" / digest[:12]
        own.mkdir(parents=True, exist_ok=True)
        found = module.run(sizes, seed, own, told)
    lacking = [one.figure for one in module.PAPER.expectations if one.figure not in found["figures"]]
    assert not lacking, (
        f"{where} gave no {', '.join(lacking)}: a figure that cannot be computed is None, with a reason in skipped"
    )
    kept = {
        "settings": digest,
        "seconds": round(time.perf_counter() - start, 1),
        "processor_seconds": round(time.process_time() - worked, 1),
        "date": datetime.now(UTC).date().isoformat(),
        "found": found,
    }
    write_text(_file(folder, seed), json.dumps(kept, allow_nan=False) + "\n")


def _run_side_by_side(where: str, sizes: Any, seeds: list[int], folder: Path, digest: str, workers: int, told: Told) -> None:
    with process_pool(workers) as pool:
        asked = [pool.submit(_run_apart, where, sizes, seed, folder, digest) for seed in seeds]
        told("seeds", 0, len(asked))
        for done, one in enumerate(as_completed(asked), 1):
            one.result()
            told("seeds", done, len(asked))


def _run_apart(where: str, sizes: Any, seed: int, folder: Path, digest: str) -> None:
    try:
        _run_seed(where, sizes, seed, folder, digest, silent)
    except MissingPackage as error:
        raise SoundnessError(str(error)) from None  # its constructor takes two arguments, so it cannot travel between processes


def _file(folder: Path, seed: int) -> Path:
    return folder / f"seed-{seed}.json"


def _kept(folder: Path, seed: int, digest: str) -> Mapping[str, Any] | None:
    """Return what a seed gave under the same settings, or None."""
    path = _file(folder, seed)
    if not path.is_file():
        return None
    try:
        kept = read_json(path)
    except FileError as error:
        raise RunError(f"{path} is damaged ({error}); remove it and run the same command again") from error
    return kept if kept.get("settings") == digest else None


def _prefixed(told: Told, words: str) -> Told:
    return lambda what, done, total: told(words + what, done, total)


def _machine() -> str:
    """Return cores and devices in words, and nothing that names the machine."""
    import torch

    devices = sorted({torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())})
    return f"{os.cpu_count()} cores, {', '.join(devices) or 'CPU'}"


def _present() -> list[str]:
    found = {distribution.name.lower() for distribution in metadata.distributions() if distribution.name}
    return [package for package in _PACKAGES if package in found]
