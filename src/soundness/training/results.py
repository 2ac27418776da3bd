"""The folder that a training writes: it appears whole, says how it was made, and can be gone on with after a kill.

Work goes on in a hidden folder beside the result, which takes its place at the end.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from soundness.errors import FileError, RunError
from soundness.files import read_json, write_json, write_text
from soundness.tasks.base import Task
from soundness.training.settings import Settings

__all__ = [
    "RECORD",
    "base_name",
    "check_disk",
    "check_out",
    "checkpoints",
    "digest",
    "is_first",
    "other_training",
    "peak_memory",
    "plain",
    "read_record",
    "staged",
    "versions",
    "wait_for_others",
    "write_rows",
]

RECORD = "training.json"
"""File in a trained folder that says how it was made."""

_STARTED = "started.json"
"""File in an unfinished folder that says which run its checkpoints belong to."""

_PACKAGES = ("soundness", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


def read_record(folder: Path) -> dict[str, Any]:
    """Return what a training result says of itself. Raises RunError where `folder` holds none."""
    if not (folder / RECORD).is_file():
        raise RunError(f"{folder} holds no training result ({RECORD} is missing): train into it first, or name another folder")
    try:
        record = read_json(folder / RECORD)
    except FileError as error:
        raise RunError(f"{folder / RECORD} is damaged ({error}): train into another folder, or remove this one") from error
    if not isinstance(record, dict):
        raise RunError(f"{folder / RECORD} is damaged (no JSON object): train into another folder, or remove this one")
    return record


def checkpoints(folder: Path) -> dict[int, Path]:
    """Return the kept checkpoints of a trained model by optimiser step, in order, the final model (`folder` itself) last.

    Raises RunError where `folder` holds no training result.
    """
    last = int(read_record(folder)["num_steps"])
    kept = {int(step.name): step for step in folder.glob("steps/[0-9]*")}
    return {step: kept[step] for step in sorted(kept) if step < last} | {last: folder}


def other_training(
    folder: Path, method: str, model: str, task: Task, config: Any, settings: Settings, method_source: str | None
) -> list[str]:
    """Return the names of what differs between the training in `folder` and the one that is asked for; none where it is that one.

    `method_source` is a hash of the method's code where it is a user's own. What the run chose itself (rate, dtype, device) differs
    only from what is asked for by name.
    """
    record = read_record(folder)
    asked = plain(asdict(settings))
    free = {name for name in ("learning_rate", "dtype", "device") if asked[name] is None}
    shown = [name for name in asked if name not in {"overwrite", "report_to", "save_every", *free}]
    before = {
        **{name: record.get(name) for name in ("method", "method_source", "config")},
        "task": record.get("asked_fingerprint", record.get("task_fingerprint")),
        "model": record.get("soundness_base"),
        "settings": {name: record.get("settings", {}).get(name) for name in shown},
    }
    now = {
        "method": method,
        "method_source": method_source,
        "config": plain(asdict(config)),
        "task": task.fingerprint,
        "model": base_name(model),
        "settings": {name: asked[name] for name in shown},
    }
    return _differences(before, now)


def base_name(model: str) -> str:
    """Return how a record names what was tuned: a folder by its whole path."""
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


# --- the folder -------------------------------------------------------------------------------------------------------


def is_first() -> bool:
    """Return whether this is the process that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def wait_for_others(device: str) -> None:
    """Wait until every process of an `accelerate launch` is here."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import PartialState

        PartialState(cpu=device == "cpu").wait_for_everyone()


def _staging(out: Path) -> Path:
    return out.parent / f".{out.name}.partial"


def check_out(out: Path, overwrite: bool) -> None:
    """Raise RunError unless a result may be written to `out`: it is not there, empty, or a result that may be replaced."""
    if not out.exists():
        return
    if not out.is_dir():
        raise RunError(f"{out} is a file, and a folder is to be written there: choose another")
    if not any(out.iterdir()):
        return
    if not (out / RECORD).is_file():
        raise RunError(f"{out} holds files that are no training result, and will not be replaced: choose another folder")
    if not overwrite:
        raise RunError(
            f"{out} already holds a training result: choose another folder, or pass overwrite (--overwrite) to replace it"
        )


@contextmanager
def staged(out: Path, started: Mapping[str, Any], settings: Settings, device: str) -> Iterator[Path]:
    """Give a folder beside `out` to fill, which takes the place of `out` at the end.

    `started` says which run it is. After a failure the folder stays as long as it holds a checkpoint to go on from.
    """
    staging = _staging(out)
    wait_for_others(device)
    try:
        if is_first():
            out.parent.mkdir(parents=True, exist_ok=True)
            _clear_unless_same(staging, started, settings.overwrite)
            staging.mkdir(exist_ok=True)
            write_json(staging / _STARTED, started)
        wait_for_others(device)
        yield staging
        wait_for_others(device)
        if is_first():
            for leftover in [*staging.glob("checkpoint-*"), staging / _STARTED]:
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
            check_out(out, settings.overwrite)
            if out.exists():
                shutil.rmtree(out)
            staging.replace(out)
        wait_for_others(device)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error}") from error
    finally:
        if is_first() and staging.is_dir() and not any(staging.glob("checkpoint-*")):
            shutil.rmtree(staging, ignore_errors=True)


def _clear_unless_same(staging: Path, started: Mapping[str, Any], overwrite: bool) -> None:
    """Remove an unfinished folder of another run; raise RunError where that would lose checkpoints unasked."""
    note = staging / _STARTED
    if not staging.exists():
        return
    try:
        before = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = None
    if before is not None and before == json.loads(json.dumps(started)):
        return
    if before is not None and any(staging.glob("checkpoint-*")) and not overwrite:
        other = _differences(before, started)
        raise RunError(
            f"{staging} holds checkpoints of an unfinished run with another {', '.join(other)}: use the settings of that run to go "
            "on with it, or pass overwrite (--overwrite) to begin anew"
        )
    shutil.rmtree(staging)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names under which two records differ, those inside a table in place of the table's."""
    differing = []
    for part in now:
        old, new = before.get(part), json.loads(json.dumps(now[part]))
        if isinstance(old, dict) and isinstance(new, dict):
            differing += [name for name in {**old, **new} if old.get(name) != new.get(name)]
        elif old != new:
            differing.append(part)
    return differing


def check_disk(folder: Path, module: Any) -> None:
    """Raise RunError where two checkpoints (weights and two moments each) and the result would not fit on the disk."""
    trained = sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)
    needed = 7 * trained  # 3 for each of two checkpoints, 1 for the result
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise RunError(
            f"training writes about {needed / 1e9:.1f} GB of checkpoints and weights beside {folder.parent}, and {free / 1e9:.1f} GB "
            "are free there: free some, or choose another folder"
        )


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines to `path`, whole or not at all; only the first process writes."""
    if is_first():
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


# --- what a record holds ----------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return `value` as JSON has it: paths and infinite numbers as text, tuples as lists."""
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, Path) or (isinstance(value, float) and math.isinf(value)):
        return str(value)
    return value


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a training depends on."""
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def digest(*parts: Any) -> str:
    """Return a short hash of JSON values, to name what is kept between attempts."""
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def peak_memory() -> float:
    """Return the most memory that this process has held so far, in bytes: of the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated())
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(used if sys.platform == "darwin" else used * 1024)
