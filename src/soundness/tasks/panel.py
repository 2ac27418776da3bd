"""A panel of other tasks, so that a gain on one is seen beside what it cost elsewhere.

[[task]]
name = "arithmetic"        # a short name, unique in the panel
file = "gsm8k.jsonl"       # a JSON Lines file beside the panel; or hub = "NAME:CONFIG:SPLIT"; or world = "chain-sum:operators=3"
limit = 100                # the first problems; optional
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundness.errors import FileError, TaskError, near
from soundness.files import read_toml
from soundness.tasks.base import Task, load_task

__all__ = ["KEYS", "PanelTask", "load_panel"]

SOURCES = ("file", "hub", "world")
KEYS = ("name", *SOURCES, "limit")
"""What a [[task]] may say."""

_EXAMPLE = 'write\n[[task]]\nname = "sums"\nworld = "chain-sum"\nlimit = 50'


@dataclass(frozen=True, slots=True)
class PanelTask:
    """One task of a panel."""

    name: str
    """Its name in tables."""
    task: Task
    """Its problems."""


def load_panel(path: str | Path, *, seed: int = 0) -> tuple[PanelTask, ...]:
    """Return the tasks of the TOML file `path`, in order; `seed` draws the items of worlds.

    Raises TaskError, naming the place, for a file that is missing or no TOML, unknown keys, missing or double sources and names, and
    for tasks that cannot be loaded.
    """
    path = Path(path)
    if not path.is_file():
        raise TaskError(f"there is no panel {path}: a panel is a TOML file, {_EXAMPLE}")
    try:
        document = read_toml(path)
    except FileError as error:
        raise TaskError(f"the panel cannot be used: {error}; {_EXAMPLE}") from error
    unknown = next((key for key in document if key != "task"), None)
    if unknown is not None:
        raise TaskError(
            f"the panel {path} has an unknown table {unknown!r}{near(unknown, ['task'])}; it holds [[task]] tables only"
        )
    rows = document.get("task")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise TaskError(f"the panel {path} has no [[task]]; {_EXAMPLE}")
    found: dict[str, PanelTask] = {}
    for number, row in enumerate(rows, 1):
        one = _load(row, path, f"the panel {path}, task {number}", seed)
        if one.name in found:
            raise TaskError(f"the panel {path} names two tasks {one.name!r}; names must differ")
        found[one.name] = one
    return tuple(found.values())


def _load(row: Mapping[str, Any], path: Path, place: str, seed: int) -> PanelTask:
    unknown = next((key for key in row if key not in KEYS), None)
    if unknown is not None:
        raise TaskError(f"{place}: unknown key {unknown!r}{near(unknown, KEYS)}; there are {', '.join(KEYS)}")
    name = row.get("name")
    if not isinstance(name, str) or not name.strip():
        raise TaskError(f"{place}: needs a name, and it is {name!r}")
    given = [key for key in SOURCES if key in row]
    if len(given) != 1:
        raise TaskError(f"{place} ({name}): needs one of {', '.join(SOURCES)}, and has {', '.join(given) or 'none'}")
    source, limit = row[given[0]], row.get("limit")
    if not isinstance(source, str) or not source.strip():
        raise TaskError(f"{place} ({name}): {given[0]} needs a text, and it is {source!r}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise TaskError(f"{place} ({name}): limit needs a whole number of at least 1, and it is {limit!r}")
    if given[0] == "file":
        where = path.parent / Path(source).expanduser()
        if not where.is_file():
            raise TaskError(f"{place} ({name}): there is no file {where}; a path counts from the panel's own folder")
        spec = str(where)
    else:
        spec = f"hub:{source.removeprefix('hub:')}" if given[0] == "hub" else source
    try:
        return PanelTask(name, load_task(spec, limit=limit, seed=seed))
    except TaskError as error:
        raise TaskError(f"{place} ({name}): {error}") from error
